"""Methods that `torch.compile` must not look into."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

import torch

_P = ParamSpec("_P")
_R = TypeVar("_R")


def untraced(
    method: Callable[Concatenate[Any, _P], _R],
) -> Callable[Concatenate[Any, _P], _R]:
    """Keep `torch.compile` out of a method (a decorator).

    A compiled step would lose what it writes to attributes, and so never come to its end.
    """
    disabled: Any = None

    @functools.wraps(method)
    def call(self: Any, /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        nonlocal disabled
        if disabled is None:
            disabled = uncompiled(method)
        result: _R = disabled(self, *args, **kwargs)
        return result

    return call


def uncompiled(function: Callable[..., Any]) -> Any:
    """Return a function that `torch.compile` leaves to Python; this loads the compiler."""
    return torch.compiler.disable(function)  # type: ignore[no-untyped-call]
