"""From what a user calls an optimizer to one that is bound to a model's parameters."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from thalweg.errors import TaskError, ThalwegError, sentence
from thalweg.numeric import is_real, is_schedule
from thalweg.optim import __all__ as optimizer_names
from thalweg.optim.optimizer import stepping
from thalweg.train.optimizers.choice import is_chain
from thalweg.train.optimizers.known import Rate, name_of, needs_model

_NO_SCHEDULE = (
    "A schedule instead of lr is for the optimizers of thalweg.optim; for another one give "
    "a number, and scheduler=lambda optimizer: thalweg.schedules.scheduler(optimizer, …)."
)


def build_optimizer(
    optimizer: Any,
    model: nn.Module,
    lr: Rate | None,
    hyperparameters: Mapping[str, Any] | None = None,
) -> torch.optim.Optimizer:
    """Return `optimizer` bound to the trainable parameters of `model`.

    `optimizer` is a class of `thalweg.optim` or `torch.optim`, a `functools.partial` of one, any
    function (parameters, lr=…) that returns a `torch.optim.Optimizer`, a chain of rules, or several
    by route. `lr` None leaves the learning rate to the optimizer's own default; thalweg's optimizers take a
    schedule, too. Classes of thalweg and torch get the parameters with their names; those that read
    a model's layers get the model. Those of the
    `hyperparameters` that are given go to the class, or into the groups of a chain's optimizer.

    Raises:
        TaskError: where that fails.
    """
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    if not named:
        raise TaskError("The model has no trainable parameters.")
    given = dict(hyperparameters or {}) | ({} if lr is None else {"lr": lr})
    factory = functools.partial(stepping, optimizer) if is_chain(optimizer) else optimizer
    if isinstance(optimizer, (torch.optim.Optimizer, str)) or not callable(factory):
        raise TaskError(
            "An optimizer must be given as a class such as thalweg.optim.Adam, a functools.partial of "
            f"one, a function (parameters, lr=…), or a chain; got {_describe(optimizer)}."
            f"{_class_named(optimizer)} The run binds it to a fresh model."
        )
    parameters: Any = named if _takes_names(factory) else [p for _, p in named]
    if needs_model(factory):
        parameters = model
    try:
        bound = factory(parameters, **given)
    except ThalwegError:
        raise
    except (TypeError, ValueError, IndexError) as error:
        hint = f" {_NO_SCHEDULE}" if is_schedule(lr) else ""
        said = f"{_unlike_default(factory, given)}{sentence(error)}{hint}"
        raise TaskError(f"The optimizer {name_of(optimizer)} cannot be built: {said}") from error
    if not isinstance(bound, torch.optim.Optimizer):
        raise TaskError(
            f"The optimizer function returned {type(bound).__name__}, not a torch.optim.Optimizer."
        )
    if any(is_schedule(group.get("lr")) for group in bound.param_groups):
        raise TaskError(f"The optimizer {name_of(optimizer)} takes no schedule. {_NO_SCHEDULE}")
    return bound


def _unlike_default(factory: Any, given: Mapping[str, Any]) -> str:
    """Return which of the given hyperparameters are of another kind than their defaults, each in a sentence.

    A class that is given a text for a number, or a number for a pair, fails with words of Python's own.
    """
    try:
        parameters = inspect.signature(factory).parameters
    except (
        TypeError,
        ValueError,
    ):  # a partial of arguments that it does not have, a compiled class
        return ""
    defaults = {name: parameter.default for name, parameter in parameters.items()}
    found = []
    for name, value in given.items():
        default = defaults.get(name)
        if isinstance(default, tuple):
            numbers = value if isinstance(value, (tuple, list)) else ()
            wrong = len(numbers) != len(default) or not all(map(is_real, numbers))
        else:
            wrong = is_real(default) and isinstance(value, (str, tuple, list))
        if wrong:
            expected = f"{len(default)} numbers" if isinstance(default, tuple) else "a number"
            found.append(f"{name} is {expected}, by default {default}; got {value!r}. ")
    return "".join(found)


def _takes_names(factory: Any) -> bool:
    """Return whether `factory` is known to take (name, parameter) pairs.

    torch.optim.Optimizer does, but a class of another maker may walk through the parameters before
    calling it.
    """
    inner = factory.func if isinstance(factory, functools.partial) else factory
    if inner is stepping:
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
    """Return the hint for a name that was given instead of a class."""
    if not isinstance(optimizer, str):
        return ""
    known = {name.lower(): name for name in optimizer_names}
    close = difflib.get_close_matches(optimizer.lower(), known, n=1)
    return f" Did you mean thalweg.optim.{known[close[0]]}?" if close else ""
