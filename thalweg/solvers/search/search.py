"""What a line search is: a generator that asks for points along a direction and is sent what is there."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, Protocol

from thalweg.solvers.search.cubic import Sample

Searching = Generator[float, tuple[float, float], "Found"]
"""Yields the step lengths α to try; is sent φ(α) and φ′(α), both NaN or infinite where nothing is defined;
returns what it found.
"""


@dataclass(frozen=True)
class Found:
    """The step length that a search ends with, among those it asked for; 0 where none was good enough.

    `holds` says whether the search's conditions hold there, or else it is the lowest point found.
    """

    alpha: float
    holds: bool


class LineSearch(Protocol):
    """A line search: φ(α) = f(x + αd), from φ(0), φ′(0) < 0 and the first step length to try."""

    def __call__(self, f: float, slope: float, first: float) -> Searching:
        """Begin a search."""
        ...

    def accepts(self, start: Sample, first: Sample) -> Any:
        """Return whether a search that begins at `start` ends with the first point that it tries.

        The samples hold numbers, or arrays of them, one for each of several searches; where the objective is
        not defined, NaN.
        """
        ...
