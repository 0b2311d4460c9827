"""From what a user calls an optimizer to one that is bound to a model's parameters."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from thalweg.errors import TaskError, ThalwegError

OptimizerFactory = Callable[..., torch.optim.Optimizer]


Rate = float | Callable[[int], float]
"""A learning rate: a number, or a schedule, a function of the number of steps taken."""


def build_optimizer(optimizer: Any, model: nn.Module, lr: Rate | None) -> torch.optim.Optimizer:
    """Return `optimizer` bound to the trainable parameters of `model`.

    `optimizer` is a class of `thalweg.optim` or `torch.optim`, a `functools.partial` of one, any
    function (parameters, lr=…) that returns a `torch.optim.Optimizer`, or a chain of rules. `lr`
    None leaves the learning rate to the optimizer's own default; thalweg's optimizers take a
    schedule, too. Classes of thalweg and torch get the parameters with their names.

    Raises TaskError where that fails.
    """
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    if not named:
        raise TaskError("The model has no trainable parameters.")
    rates = {} if lr is None else {"lr": lr}
    factory = functools.partial(_of_chain, optimizer) if is_chain(optimizer) else optimizer
    if isinstance(optimizer, (torch.optim.Optimizer, str)) or not callable(factory):
        raise TaskError(
            "An optimizer is given as a class such as thalweg.optim.Adam, a functools.partial of "
            f"one, a function (parameters, lr=…), or a chain; got {_describe(optimizer)}."
            f"{_class_named(optimizer)} The run binds it to a fresh model."
        )
    parameters: list[Any] = named if _takes_names(factory) else [p for _, p in named]
    try:
        bound = factory(parameters, **rates)
    except ThalwegError:
        raise
    except (TypeError, ValueError) as error:
        hint = f". {_NO_SCHEDULE}" if is_schedule(lr) else ""
        raise TaskError(
            f"The optimizer {name_of(optimizer)} cannot be built: {error}{hint}"
        ) from error
    if not isinstance(bound, torch.optim.Optimizer):
        raise TaskError(
            f"The optimizer function returned {type(bound).__name__}, not a torch.optim.Optimizer."
        )
    if any(is_schedule(group.get("lr")) for group in bound.param_groups):
        raise TaskError(f"The optimizer {name_of(optimizer)} takes no schedule. {_NO_SCHEDULE}")
    return bound


_NO_SCHEDULE = (
    "A schedule in the place of lr is for the optimizers of thalweg.optim; for another one give "
    "a number, and scheduler=lambda optimizer: thalweg.schedules.scheduler(optimizer, …)."
)


def is_schedule(lr: Any) -> bool:
    """Return whether a learning rate is a function of the step."""
    return callable(lr) and not hasattr(lr, "__float__") and not isinstance(lr, type)


def name_of(optimizer: Any) -> str:
    """Return a short name for what a user gave as optimizer.

    >>> name_of(functools.partial(torch.optim.SGD, momentum=0.9))
    'SGD'
    """
    inner = optimizer.func if isinstance(optimizer, functools.partial) else optimizer
    return str(
        getattr(inner, "__name__", None) or getattr(inner, "name", None) or type(inner).__name__
    )


def is_chain(optimizer: Any) -> bool:
    """Return whether `optimizer` is a chain, a link of one, or a rule."""
    from thalweg.engine.language.chain import Chain
    from thalweg.engine.language.rule import Link, Rule

    return isinstance(optimizer, (Chain, Link, Rule))


def needs_closure(optimizer: torch.optim.Optimizer) -> bool:
    """Return whether `optimizer.step` must be given the objective as a function (L-BFGS, SAM)."""
    if getattr(optimizer, "needs_closure", False):
        return True
    closure = inspect.signature(optimizer.step).parameters.get("closure")
    return closure is not None and closure.default is inspect.Parameter.empty


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


def _of_chain(chain: Any, parameters: Any, **rates: Any) -> torch.optim.Optimizer:
    from thalweg.optim import Optimizer  # the engine behind it is needed by chains alone

    optimizer: torch.optim.Optimizer = Optimizer(parameters, chain, **rates)
    return optimizer


def _takes_names(factory: Any) -> bool:
    """Return whether `factory` is known to take (name, parameter) pairs.

    torch.optim.Optimizer does, but a class of another maker may walk through the parameters before
    calling it.
    """
    inner = factory.func if isinstance(factory, functools.partial) else factory
    if inner is _of_chain:
        return True
    own_module = getattr(inner, "__module__", "") or ""
    return (
        isinstance(inner, type)
        and issubclass(inner, torch.optim.Optimizer)
        and own_module.startswith(("torch.optim.", "thalweg."))
    )


def _describe(optimizer: Any) -> str:
    if isinstance(optimizer, torch.optim.Optimizer):
        return f"{type(optimizer).__name__}, already bound to parameters"
    return repr(optimizer) if isinstance(optimizer, str) else type(optimizer).__name__


def _class_named(optimizer: Any) -> str:
    """Return the hint for a name that was given in the place of a class."""
    if not isinstance(optimizer, str):
        return ""
    from thalweg.optim import __all__ as names

    known = {name.lower(): name for name in names}
    close = difflib.get_close_matches(optimizer.lower(), known, n=1)
    return f" Did you mean thalweg.optim.{known[close[0]]}?" if close else ""
