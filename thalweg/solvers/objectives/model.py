"""A model's parameters as one vector, so that a solver can minimize over them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class FlatObjective:
    """A loss as a function of a vector: `fun(x)`, the model's present parameters `x0`, and `write(x)`.

    `write` sets the model's parameters to those of a vector.
    """

    fun: Callable[[Tensor], Any]
    x0: Tensor
    write: Callable[[Tensor], None]


def flat_objective(model: nn.Module, loss: Callable[[nn.Module], Any]) -> FlatObjective:
    """Return the loss of a model as a function of one vector of its parameters.

    `loss` takes the model and returns one number, or residuals for `least_squares`; it may call the model as
    often as it likes, and take derivatives with respect to its inputs. The vector holds the parameters that
    require gradients, one after the other in the order of `model.parameters()`: frozen ones stay as they are,
    shared ones are there once. Buffers are the model's own: a model in training mode updates them at each
    evaluation, and dropout makes the loss another one each time, so call `model.eval()` first where there are
    such layers. The model itself changes in `write` only.

    Raises:
        ValueError: where no parameter requires gradients, and where they are of several types or devices.

    >>> import torch
    >>> from thalweg.solvers import flat_objective, minimize
    >>> model = torch.nn.Linear(1, 1).double()
    >>> x = torch.linspace(0, 1, 20, dtype=torch.float64)[:, None]
    >>> flat = flat_objective(model, lambda model: (model(x) - (3 * x - 1)).square().mean())
    >>> result = minimize(flat.fun, flat.x0)
    >>> flat.write(result.x)
    >>> round(model.weight.item(), 6), round(model.bias.item(), 6)
    (3.0, -1.0)
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module; got {type(model).__name__}.")
    if not callable(loss):
        raise TypeError(f"loss must be a function of the model; got {type(loss).__name__}.")
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    _check(trained)
    # The names are those within `call`, which holds the model.
    names = [f"model.{name}" for name in trained]
    shapes = [p.shape for p in trained.values()]
    sizes = [p.numel() for p in trained.values()]
    call = _LossModule(model, loss)

    def parts(x: Tensor) -> list[Tensor]:
        if x.shape != (sum(sizes),):
            raise ValueError(
                f"The vector has shape {tuple(x.shape)}; the model has {sum(sizes)} parameters that require "
                f"gradients: pass a vector of shape ({sum(sizes)},), as x0 is."
            )
        return [part.view(shape) for part, shape in zip(torch.split(x, sizes), shapes, strict=True)]

    def fun(x: Tensor) -> Any:
        return torch.func.functional_call(call, dict(zip(names, parts(x), strict=True)), ())

    @torch.no_grad()
    def write(x: Tensor) -> None:
        for parameter, part in zip(trained.values(), parts(x), strict=True):
            parameter.copy_(part)

    x0 = torch.cat([p.detach().reshape(-1) for p in trained.values()])
    return FlatObjective(fun, x0, write)


class _LossModule(nn.Module):
    """A module whose forward pass is the loss, so that `functional_call` can give its model parameters."""

    def __init__(self, model: nn.Module, loss: Callable[[nn.Module], Any]) -> None:
        super().__init__()
        self.model = model
        self._loss = (loss,)  # in a tuple, so that a loss that is a module is not part of this one

    def forward(self) -> Any:
        return self._loss[0](self.model)


def _check(trained: dict[str, nn.Parameter]) -> None:
    if not trained:
        raise ValueError(
            "The model has no parameter that requires gradients: there is nothing to minimize over."
        )
    kinds = {(p.dtype, p.device) for p in trained.values()}
    if len(kinds) > 1:
        listed = ", ".join(sorted(f"{dtype} on {device}" for dtype, device in kinds))
        raise ValueError(
            f"The model's parameters are of several kinds ({listed}); one vector holds one kind only: use "
            "model.to(dtype) or model.to(device), or freeze the others."
        )
