"""Layers whose gradient is a sum of outer products, Σ_s g_s·a_sᵀ: their inputs a and output gradients g as
rows.

A layer's inputs are brought to the shape (rows, positions, d_in), the gradients of its outputs to (rows,
positions, d_out). A linear layer on vectors has one position a row; a convolution has one for each place
of its window, and its inputs are the patches there; an embedding's inputs are the numbers of its rows.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrize

KINDS = (
    "Linear, Conv1d and Conv2d of one group, Embedding, LayerNorm, RMSNorm, GroupNorm, BatchNorm1d "
    "and BatchNorm2d"
)
"""What K-FAC knows, in words."""

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d)
_NORMS = (nn.LayerNorm, nn.RMSNorm, nn.GroupNorm, nn.BatchNorm1d, nn.BatchNorm2d)


def why_unknown(module: nn.Module) -> str | None:
    """Return why K-FAC has no block for the parameters of a module, or None where it has one.

    >>> why_unknown(nn.Conv2d(4, 4, 3, groups=2))
    'it has 2 groups'
    >>> why_unknown(nn.Linear(2, 2)) is None
    True
    """
    if parametrize.is_parametrized(module):
        return "its parameters are parametrized"
    kind = type(module)
    if kind in _CONVOLUTIONS:
        groups = int(module.groups)  # type: ignore[arg-type]
        return None if groups == 1 else f"it has {groups} groups"
    if kind is nn.Embedding:
        named = ("max_norm", "scale_grad_by_freq", "sparse")
        found = [name for name in named if getattr(module, name)]
        return f"it has {' and '.join(found)}" if found else None
    if kind is nn.Linear or kind in _NORMS:
        return None
    return f"it is a {kind.__name__}"


class KroneckerLayer:
    """Linear, convolution or embedding: W of shape (d_out, d_in), its gradient Σ_s g_s·a_sᵀ."""

    def __init__(self, name: str, module: nn.Module) -> None:
        self.name, self.module = name, module
        self.is_lookup = isinstance(module, nn.Embedding)

    @property
    def width(self) -> int:
        """d_in, without the coordinate of a bias."""
        weight: Any = self.module.weight
        return len(weight) if self.is_lookup else int(weight[0].numel())

    def inputs(self, x: Tensor) -> Tensor:
        """Return a as (rows, positions, d_in); of an embedding the numbers (rows, positions)."""
        module = self.module
        if isinstance(module, nn.Embedding):
            return x.reshape(len(x), -1) if x.ndim else x.reshape(1, 1)
        if isinstance(module, _CONVOLUTIONS):
            return _patches(module, x)
        return _rows(x)

    def gradients(self, g: Tensor, a: Tensor) -> Tensor:
        """Return g as (rows, positions, d_out), 0 where an embedding's padding stands."""
        if isinstance(self.module, _CONVOLUTIONS):
            channels = self.module.out_channels
            return g.reshape(-1, channels, g.shape[-self._dims() :].numel()).mT
        if isinstance(self.module, nn.Embedding):
            rows = g.reshape(*a.shape, g.shape[-1])
            return torch.mul(rows, self.counted(a)[..., None])
        return _rows(g)

    def counted(self, a: Tensor) -> Tensor:
        """Return 1 where an embedding's number is not padding, else 0, of shape (rows, positions)."""
        weight: Any = self.module.weight
        padding = getattr(self.module, "padding_idx", None)
        if padding is None:
            return torch.ones(a.shape[:2], dtype=weight.dtype, device=weight.device)
        found: Tensor = (a != padding).to(weight.dtype)
        return found

    def places(self, weight: Tensor) -> Tensor:
        """Return the weight's numbers as a matrix (d_out, d_in)."""
        return weight.mT if self.is_lookup else weight.reshape(len(weight), -1)

    def _dims(self) -> int:
        return 1 if isinstance(self.module, nn.Conv1d) else 2


class NormLayer:
    """Scale and shift after a normalization: γ∘x̂ + β."""

    def __init__(self, name: str, module: nn.Module) -> None:
        self.name, self.module = name, module

    def inputs(self, x: Tensor) -> Tensor:
        """Return x̂ as (rows, positions, d)."""
        return self._placed(_normalised(self.module, x))

    def gradients(self, g: Tensor, a: Tensor) -> Tensor:
        """Return the gradients of the outputs as (rows, positions, d)."""
        return self._placed(g)

    def _placed(self, x: Tensor) -> Tensor:
        weight: Any = self.module.weight
        if isinstance(self.module, (nn.LayerNorm, nn.RMSNorm)):
            rows = len(x) if x.ndim > weight.ndim else 1
            return x.reshape(rows, -1, weight.numel())
        return x.reshape(len(x), len(weight), -1).mT


FactoredLayer = KroneckerLayer | NormLayer


def layer_of_module(name: str, module: nn.Module) -> FactoredLayer:
    """Return how the gradient of a module is made, for one that `why_unknown` knows."""
    return NormLayer(name, module) if isinstance(module, _NORMS) else KroneckerLayer(name, module)


def _rows(x: Tensor) -> Tensor:
    """Bring (rows, …, d) to (rows, positions, d)."""
    return x.reshape(1, 1, -1) if x.ndim == 1 else x.reshape(len(x), -1, x.shape[-1])


def _patches(module: Any, x: Tensor) -> Tensor:
    """Return the patches that a convolution's window sees, (rows, positions, channels × window)."""
    dims = 1 if isinstance(module, nn.Conv1d) else 2
    if x.ndim == dims + 1:
        x = x[None]
    around = _padding(module)
    if any(around):
        mode = "constant" if module.padding_mode == "zeros" else module.padding_mode
        x = functional.pad(x, around, mode=mode)
    x, one = (x[:, :, None], (1,)) if dims == 1 else (x, ())
    found: Tensor = functional.unfold(
        x,
        (*one, *module.kernel_size),
        dilation=(*one, *module.dilation),
        stride=(*one, *module.stride),
    )
    return found.mT


def _padding(module: Any) -> list[int]:
    """Return what is padded before and after each axis, from the last axis on, as `pad` takes it."""
    if module.padding == "valid":
        return [0] * (2 * len(module.kernel_size))
    if module.padding == "same":
        sums = [d * (k - 1) for d, k in zip(module.dilation, module.kernel_size, strict=True)]
        ends = [(each // 2, each - each // 2) for each in sums]
    else:
        ends = [(each, each) for each in module.padding]
    return [side for pair in reversed(ends) for side in pair]


def _normalised(module: nn.Module, x: Tensor) -> Tensor:
    if isinstance(module, nn.LayerNorm):
        return functional.layer_norm(x, module.normalized_shape, None, None, module.eps)
    if isinstance(module, nn.RMSNorm):
        found: Tensor = functional.rms_norm(x, module.normalized_shape, None, module.eps)
        return found
    if isinstance(module, nn.GroupNorm):
        return functional.group_norm(x, module.num_groups, None, None, module.eps)
    batch: Any = module
    by_batch = batch.training or batch.running_mean is None
    mean, var = (None, None) if by_batch else (batch.running_mean, batch.running_var)
    return functional.batch_norm(x, mean, var, training=by_batch, eps=batch.eps)
