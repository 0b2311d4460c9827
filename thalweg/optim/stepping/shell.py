"""Optimizers behind a shell: an object that shares an optimizer's class and passes on what it lacks.

Lightning and Fabric hand out such shells. Reading an attribute of a shell reads the optimizer's, but a method
of the shared class runs on the shell, and what it writes would stay there, where no step sees it. So methods
that write find the optimizer itself first.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

import torch

_T = TypeVar("_T")
_P = ParamSpec("_P")
_R = TypeVar("_R")

_INSIDE = "optimizer"
"""Where a wrapper, which is not a shell, has the optimizer that it wraps."""


def itself(optimizer: _T) -> _T:
    """Return the optimizer behind a shell; any other optimizer as it is."""
    kind = type(optimizer)
    for name, value in vars(optimizer).items():
        inner = type(value)
        if (
            name != _INSIDE
            and isinstance(value, torch.optim.Optimizer)
            and inner is not kind
            and issubclass(kind, inner)
        ):
            return itself(cast(_T, value))
    return optimizer


def of_itself(
    method: Callable[Concatenate[Any, _P], _R],
) -> Callable[Concatenate[Any, _P], _R]:
    """Let a method run on the optimizer itself, also when it is called on a shell (a decorator)."""

    @functools.wraps(method)
    def call(self: Any, /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        return method(itself(self), *args, **kwargs)

    return call
