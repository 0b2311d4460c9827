"""What is known of an optimizer, and of what a user calls one, without building it."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

OptimizerFactory = Callable[..., torch.optim.Optimizer]
"""A class of optimizers, or a function (parameters, lr=…) that builds one."""

Rate = float | Callable[[int], float]
"""A learning rate: a number, or a schedule, a function of the number of steps taken."""


def name_of(optimizer: Any) -> str:
    """Return a short name for what a user gave as optimizer.

    >>> name_of(functools.partial(torch.optim.SGD, momentum=0.9))
    'SGD'
    """
    inner = optimizer.func if isinstance(optimizer, functools.partial) else optimizer
    return str(
        getattr(inner, "__name__", None) or getattr(inner, "name", None) or type(inner).__name__
    )


def needs_closure(optimizer: torch.optim.Optimizer) -> bool:
    """Return whether `optimizer.step` must be given the objective as a function (L-BFGS, SAM)."""
    if getattr(optimizer, "needs_closure", False):
        return True
    closure = inspect.signature(optimizer.step).parameters.get("closure")
    return closure is not None and closure.default is inspect.Parameter.empty


def needs_residuals(optimizer: Any) -> bool:
    """Return whether the closure of an optimizer, or of a class, returns residuals and no loss."""
    return bool(getattr(optimizer, "needs_residuals", False))


def needs_model(optimizer: Any) -> bool:
    """Return whether an optimizer, or what makes one, reads a model's layers (K-FAC, routes by kind).

    It is then built from the model, not from its parameters.
    """
    while isinstance(optimizer, functools.partial):
        if any(map(needs_model, optimizer.args)):  # `stepping` with routes
            return True
        optimizer = optimizer.func
    return bool(getattr(optimizer, "needs_model", False))


def has_routes(optimizer: Any) -> bool:
    """Return whether what a user gave is several chains, one for each kind of parameter (`thalweg.route`)."""
    return isinstance(getattr(optimizer, "chains", None), Mapping)


def observer_of(optimizer: torch.optim.Optimizer) -> Callable[..., int] | None:
    """Return what is to be told of each forward pass (outputs, targets, loss), and returns what it computed.

    None for an optimizer that asks for nothing.
    """
    found = [getattr(each, "observe", None) for each in with_inner(optimizer)]
    return next((each for each in found if each is not None), None)


def with_inner(optimizer: Any) -> list[Any]:
    """Return an optimizer and those that it wraps, from the outside in."""
    found = []
    while isinstance(optimizer, torch.optim.Optimizer):
        found.append(optimizer)
        optimizer = getattr(optimizer, "optimizer", None)
    return found


def gradient_cleaner(optimizer: torch.optim.Optimizer, model: nn.Module) -> Callable[[], None]:
    """Return a function that forgets the gradients, as `optimizer.zero_grad()` does.

    PyTorch's own `zero_grad` costs several times what it does on small models, in profiler records
    and bookkeeping for each call; it is passed over where the class has not replaced it.
    """
    cls = type(optimizer)
    if cls.zero_grad is not torch.optim.Optimizer.zero_grad or "zero_grad" in vars(optimizer):
        return optimizer.zero_grad
    parameters = list(model.parameters())

    def clear() -> None:
        for parameter in parameters:
            parameter.grad = None

    return clear


def learning_rate(optimizer: torch.optim.Optimizer) -> float:
    """Return the learning rate of the first parameter group; NaN for an optimizer without one."""
    return float(optimizer.param_groups[0].get("lr", float("nan")))
