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
    """Return what compares objects by identity: by a compiled loop, if it is wanted and available."""
    if compiled and fused_problem() is None:
        from thalweg.engine.cpu.calls.objects import Same  # needs llvmlite, which may be missing

        return Same(params, states)
    return _InPython(params, states)


class SameEntries(Protocol):
    """Entries of dictionaries that are expected to hold certain objects."""

    def hold(self) -> bool:
        """Whether each entry holds the very object that it is expected to hold."""


def same_entries(entries: Sequence[tuple[dict[str, Any], str]]) -> SameEntries:
    """Return what compares entries with those of now, by identity: by a compiled loop, if it is available.

    An entry is a dictionary and a name in it.
    """
    dicts, names = [each for each, _ in entries], [name for _, name in entries]
    objects = list(map(dict.get, dicts, names))
    if fused_problem() is None:
        from thalweg.engine.cpu.calls.objects import (
            DictEntries,  # needs llvmlite, which may be missing
        )

        return DictEntries(dicts, names, objects)
    return _EntriesInPython(dicts, names, objects)


class _EntriesInPython:
    def __init__(
        self, dicts: Sequence[dict[str, Any]], names: Sequence[str], objects: Sequence[Any]
    ) -> None:
        self._dicts, self._names, self._objects = dicts, names, objects

    def hold(self) -> bool:
        return all(map(is_, map(dict.get, self._dicts, self._names), self._objects))


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
