"""Muon under PyTorch's name, and NorMuon."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from thalweg.engine.member import called
from thalweg.optim.factory import optimizer
from thalweg.optim.routing.of_model import OfModel, is_rest
from thalweg.optim.stepping.checks import Group
from thalweg.optim.stepping.composition import Links, Spelling
from thalweg.optim.stepping.steppable import param_names
from thalweg.optim.twin import TorchTwin
from thalweg.rules import muon, normuon

_TORCHS: Any = getattr(torch.optim, "Muon", torch.optim.Optimizer)
"""PyTorch's class; versions before 2.9 have none."""

_MOST_STEPS = 100


class MuonArguments(_TORCHS):  # type: ignore[misc]
    """The constructor of `torch.optim.Muon`: its signature, defaults and checks, for tensors of any rank."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = (3.4445, -4.7750, 2.0315),
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
    ) -> None:
        _check(lr, weight_decay, momentum, ns_coefficients, ns_steps, adjust_lr_fn)
        defaults = {
            "lr": lr,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "nesterov": nesterov,
            "ns_coefficients": ns_coefficients,
            "eps": eps,
            "ns_steps": ns_steps,
            "adjust_lr_fn": adjust_lr_fn,
        }
        # PyTorch's own constructor refuses tensors of more than two dimensions
        torch.optim.Optimizer.__init__(self, params, defaults)


def _check(
    lr: Any,
    weight_decay: float,
    momentum: float,
    ns_coefficients: Any,
    ns_steps: int,
    adjust_lr_fn: str | None,
) -> None:
    """Raise PyTorch's errors, and those which it raises in a step."""
    if isinstance(lr, Tensor) and lr.numel() != 1:
        raise ValueError("Tensor lr must be 1-element")
    if not lr >= 0.0:
        raise ValueError(f"Learning rate should be >= 0 but is: {lr}")
    if not momentum >= 0.0:
        raise ValueError(f"momentum should be >= 0 but is: {momentum}")
    if not weight_decay >= 0.0:
        raise ValueError(f"weight decay should be >= 0 but is: {weight_decay}")
    if adjust_lr_fn is not None and adjust_lr_fn not in ("original", "match_rms_adamw", "spectral"):
        raise ValueError(f"Adjust learning rate function {adjust_lr_fn} is not supported")
    if ns_steps >= _MOST_STEPS:
        raise ValueError("Number of steps must be less than 100 for computational efficiency")
    if len(ns_coefficients) != 3:
        raise ValueError("Coefficients must be a tuple of exactly 3 values")


def _coefficient(k: int) -> Any:
    return lambda group: group["ns_coefficients"][k]


class OfMatrices(OfModel):
    """An optimizer that steps matrices alone; of a model the rest by AdamW."""

    def __init__(self, params: nn.Module | Iterable[Any], *args: Any, **kwargs: Any) -> None:
        names = list(inspect.signature(type(self)).parameters)[1:]
        given = {**dict(zip(names, args, strict=False)), **kwargs}
        super().__init__(self._groups_of(params, given), *args, **kwargs)

    def add_param_group(self, param_group: Group) -> None:
        """Add a group of parameters, as PyTorch does, no vectors but for AdamW, `route="rest"`."""
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        if is_rest(group):
            return
        names = param_names(group)
        before = sum(len(other["params"]) for other in self.param_groups[:-1])
        for k, p in enumerate(group["params"]):
            _must_be_matrix(type(self).__name__, called(before + k, names[k]), p)


def _must_be_matrix(who: str, name: str, p: Tensor) -> None:
    if p.ndim < 2:
        raise ValueError(
            f"{who} only supports parameters of two dimensions or more, whereas {name} has size "
            f"{tuple(p.shape)}: {who} orthogonalises matrices. Give it the weights of hidden layers, and "
            f"step biases, gains, embeddings and the last layer by AdamW, as {who}(model) does"
        )
    if p.is_complex():
        raise ValueError(f"{who} does not support complex parameters, as {name} is")


class Muon(OfMatrices, TorchTwin, MuonArguments):
    """Muon (Jordan et al. 2024): momentum, orthogonalised: all of its singular values become about 1.

        m ← μ·m + (1 − μ)·g
        u = μ·m + (1 − μ)·g  with `nesterov`, otherwise u = m;    u = U·S·Vᵀ
        p ← (1 − lr·λ)·p − lr·s·U·Vᵀ,  by `ns_steps` products in bfloat16

    s of a matrix of r rows and c columns is √max(1, r/c), with `adjust_lr_fn="match_rms_adamw"`
    0.2·√max(r, c), with "spectral" √(r/c). A tensor of more dimensions is a matrix of its first dimension ×
    the rest; a vector is an error, since Muon is for matrices. A param group may have the entries `blocks`,
    `iteration`, `precision` and `space` of the rule `muon`: {"params": qkv, "blocks": 3}.

    Given a model, `Muon(model)`, its hidden matrices are stepped so, with "match_rms_adamw" if nothing else
    is said, fused queries, keys and values each alone; and all the rest by AdamW with the same learning rate
    and weight decay. `optimizer.routes()` shows which is which.

    Paper: Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks",
    https://kellerjordan.github.io/posts/muon/; λ and "match_rms_adamw": Liu et al. 2025, arXiv:2502.16982.
    Defaults: PyTorch's: lr = 0.001, λ = 0.1, μ = 0.95, Nesterov, five steps.
    Use: for the matrices of hidden layers, beside AdamW for embeddings, the last layer, and vectors; with
    "match_rms_adamw" AdamW's learning rate and weight decay can be kept.
    Deviations: `eps` is accepted and changes nothing: a matrix of any norm but 0 is orthogonalised, where
    PyTorch hardly moves one of a norm below `eps`. Of a bfloat16 weight without Nesterov PyTorch divides the
    momentum itself by its norm; here it stays what it is. PyTorch takes matrices alone.
    """

    refuses_sparse = "Muon does not support sparse gradients"
    spelling: ClassVar[Spelling] = {
        "a": _coefficient(0),
        "b": _coefficient(1),
        "c": _coefficient(2),
        "adjust": lambda group: group["adjust_lr_fn"] or "original",
        "blocks": lambda group: group.get("blocks", 1),
    }
    state_names: ClassVar[Mapping[str, str]] = {"m": "momentum_buffer"}

    own_decay = "decoupled"
    knows_blocks = True
    of_model: ClassVar[Mapping[str, Any]] = {"adjust_lr_fn": "match_rms_adamw"}

    @classmethod
    def twin(cls) -> type[torch.optim.Optimizer]:
        """Return the class with PyTorch's constructor."""
        return MuonArguments

    def links(self, group: Group) -> Links:
        """Return Muon."""
        return (muon,)


_NORMUON: Any = optimizer(
    "NorMuon",
    normuon,
    lr=1e-3,
    dialects={"paper": (normuon,), "authors": (normuon(nesterov=True, adjust="original"),)},
)


class NorMuon(OfMatrices, _NORMUON):  # type: ignore[misc]  # noqa: D101
    __doc__ = (_NORMUON.__doc__ or "").replace("Linear(2, 1)", "Linear(2, 1, bias=False)")
