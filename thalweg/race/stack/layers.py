"""Dense networks of a stack without `torch.vmap`: the calls that PyTorch needs, and no others.

A sequence of linear layers and elementwise functions, as `thalweg.tasks.mlp` builds it, is a batched
matrix product for each layer. `torch.vmap` finds these too, at four times the calls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

Dense = Callable[[Tensor, Mapping[str, Tensor], bool], "Tensor | None"]
"""(inputs, parameters of all models, whether the inputs are shared) -> outputs; None for inputs of
another kind than (rows, features)."""

_ELEMENTWISE = (
    *(nn.ReLU, nn.Tanh, nn.Sigmoid, nn.GELU, nn.SiLU, nn.ELU, nn.SELU, nn.CELU, nn.LeakyReLU),
    *(nn.Softplus, nn.Softsign, nn.Hardtanh, nn.ReLU6, nn.Mish, nn.LogSigmoid, nn.Tanhshrink),
    *(nn.Hardswish, nn.Hardsigmoid, nn.Identity),
)
_KNOW_THEIR_OUTPUT: dict[type[nn.Module], Callable[[Tensor], Tensor]] = {
    nn.ReLU: torch.relu_,
    nn.Tanh: torch.tanh_,
    nn.Sigmoid: torch.sigmoid_,
}
"""Functions whose gradient needs only the output, so that they may take the place of their input."""
_NARROW = 16
"""Below so many features the last layer is computed as W·xᵀ, all rows of a feature side by side: that takes
half the time, and the softmax over few classes wants it so.
"""
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def dense(model: nn.Module, trained: Sequence[str]) -> Dense | None:
    """Return what computes the outputs of all models, or None for a model that is not a dense network.

    `trained` names the parameters that have an axis over the models.
    """
    names = {id(p): name for name, p in model.named_parameters()}
    layers: list[tuple[str, str | None] | nn.Module] = []
    for module in _flat(model):
        kind = type(module)
        if any(getattr(module, hooks) for hooks in _HOOKS) or "forward" in vars(module):
            return None
        if getattr(module, "inplace", False) and not layers:
            return None  # it would change the data
        if kind is nn.Linear:
            weight, bias = names[id(module.weight)], names.get(id(module.bias))
            if weight not in trained or (module.bias is not None and bias not in trained):
                return None
            layers.append((weight, bias))
        elif kind in _ELEMENTWISE or (kind is nn.Flatten and _is_of_rows(module)):
            layers.append(module)
        elif kind is not nn.Sequential:
            return None
    if not any(isinstance(layer, tuple) for layer in layers):
        return None

    def outputs(x: Tensor, parameters: Mapping[str, Tensor], shared: bool) -> Tensor | None:
        fresh = False  # whether x is the output of a linear layer, which nothing else needs
        for k, layer in enumerate(layers):
            if isinstance(layer, tuple):
                if x.ndim != (2 if shared else 3):
                    return None
                weight = parameters[layer[0]]
                bias = None if layer[1] is None else parameters[layer[1]]
                x = _linear(x, weight, bias, k == len(layers) - 1 and weight.shape[1] < _NARROW)
                fresh, shared = True, False
            elif type(layer) is nn.Flatten:
                x = x.flatten(1 if shared else 2)
            elif fresh and type(layer) in _KNOW_THEIR_OUTPUT:
                x, fresh = _KNOW_THEIR_OUTPUT[type(layer)](x), False
            else:
                x, fresh = layer(x), False
        return x

    return outputs


def _flat(model: nn.Module) -> Iterator[nn.Module]:
    """Yield the model and, inside sequences, their parts in order; one that stands twice, twice."""
    yield model
    if type(model) is nn.Sequential:
        for part in model:
            yield from _flat(part)


def _is_of_rows(module: Any) -> bool:
    return bool(module.start_dim == 1 and module.end_dim == -1)


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None, narrow: bool) -> Tensor:
    if x.ndim == 2:
        x = x.expand(len(weight), -1, -1)
    outputs: Tensor = _Linear.apply(x, weight, bias, narrow)  # type: ignore[no-untyped-call]
    return outputs.transpose(1, 2) if narrow else outputs


class _Linear(torch.autograd.Function):
    """x·Wᵀ + b for each model, or W·xᵀ + b; the gradient of W comes in the order in which W is stored."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, narrow: bool) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.has_bias, ctx.narrow = bias is not None, narrow
        if narrow:
            columns = x.transpose(1, 2)
            if bias is None:
                return torch.bmm(weight, columns)
            return torch.baddbmm(bias.unsqueeze(2), weight, columns)
        if bias is None:
            return torch.bmm(x, weight.transpose(1, 2))
        return torch.baddbmm(bias.unsqueeze(1), x, weight.transpose(1, 2))

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        gradient = upstream[0].transpose(1, 2) if ctx.narrow else upstream[0]
        x, weight = ctx.saved_tensors
        of_x = torch.bmm(gradient, weight) if ctx.needs_input_grad[0] else None
        of_weight = torch.bmm(gradient.transpose(1, 2), x)
        return of_x, of_weight, gradient.sum(1) if ctx.has_bias else None, None
