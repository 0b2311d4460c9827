"""Whether an optimizer still has the parameters and states that a plan was made for, the very objects."""

from __future__ import annotations

from collections.abc import Sequence
from operator import is_
from typing import Any, Protocol

from torch import Tensor

from thalweg.engine.cpu.available import fused_problem


class SameObjects(Protocol):
    """Objects that are expected to be there still."""

    def are_in(self, params: list[Any], states: dict[Any, Any]) -> bool:
        """Whether a list holds the parameters, and a dictionary the states as its values."""


def same_objects(params: Sequence[Tensor], states: Sequence[Any], compiled: bool) -> SameObjects:
    """Return what compares objects by identity: by a compiled loop, if it is wanted and can be had."""
    if compiled and fused_problem() is None:
        from thalweg.engine.cpu.objects import Same  # needs llvmlite, which may be missing

        return Same(params, states)
    return _InPython(params, states)


class _InPython:
    def __init__(self, params: Sequence[Tensor], states: Sequence[Any]) -> None:
        self._params, self._states = params, states

    def are_in(self, params: list[Any], states: dict[Any, Any]) -> bool:
        return (
            len(params) == len(self._params)
            and len(states) == len(self._states)
            and all(map(is_, params, self._params))
            and all(map(is_, states.values(), self._states))
        )
