"""When a solver stops, and why."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

import torch


class Status(StrEnum):
    """Why a solver stopped."""

    CONVERGED = "converged"
    """The gradient is small."""
    STALLED = "stalled"
    """No lower point was found, though the gradient is not small."""
    ITERATIONS = "iterations"
    """All iterations that were allowed are used up."""
    EVALUATIONS = "evaluations"
    """All evaluations that were allowed are used up."""
    UNBOUNDED = "unbounded"
    """The objective falls without end."""
    UNDEFINED = "undefined"
    """The objective or its gradient is not finite where the solver started."""
    STOPPED = "stopped"
    """The callback said so."""
    INTERRUPTED = "interrupted"
    """An exception ended the run: of the objective's, or Ctrl-C."""


_ROUNDING = 16
"""A decrease of fewer roundings of the objective cannot be seen."""


Numbers = Any
"""A float, or an array with one for each of several runs."""
Flags = Any
"""A bool, or an array with one for each of several runs."""


class RunFigures(Protocol):
    """Where a run stands: the objective at first, now, its last decrease; the gradient now, and at most."""

    first: Numbers
    f: Numbers
    decrease: Numbers
    size: Numbers
    largest: Numbers


@dataclass(frozen=True)
class Stop:
    """The rules that end a run.

    With the objective's worth, its size or `tol` of all that it fell, a run has converged where

    - the gradient's largest component is at most `tol` times the largest one met on the way,
    - the last step lowered the objective by at most `tol` of its worth, and the next promises no more,
    - no parameter, moved by its own length, would change the objective by more than its worth.

    So the scales of objective and parameters do not matter. `tol=None` takes a number from the precision:
    1e-8 in float64, 1e-4 in float32. Figures are numbers of one run, or arrays of several.
    """

    tol: float | None = None
    max_iter: int = 1000
    max_evals: int | None = None

    def tolerance(self, dtype: torch.dtype) -> float:
        """Return `tol`, or what the precision allows."""
        if self.tol is not None:
            return self.tol
        return 1e-8 if torch.finfo(dtype).eps < 1e-10 else 1e-4

    def converged(self, run: RunFigures, dtype: torch.dtype) -> Flags:
        """Return whether gradient and decrease are small."""
        tol = self.tolerance(dtype)
        return (run.size <= tol * run.largest) & self._is_within(run.decrease, tol, run, tol)

    def leaves_it(
        self, run: RunFigures, promised: Numbers | None, turned: Numbers, dtype: torch.dtype
    ) -> Flags:
        """Return whether a next step that promises this is not worth it; `turned` is the largest |xᵢgᵢ|.

        Where nothing is known of the next step, `turned` has to be at most √tol of the worth.
        """
        tol = self.tolerance(dtype)
        if promised is None:
            return self._is_within(turned, math.sqrt(tol), run, tol)
        return self._is_within(promised, tol, run, tol) & self._is_within(turned, 1.0, run, tol)

    @staticmethod
    def _is_within(change: Numbers, part: float, run: RunFigures, tol: float) -> Flags:
        """Return whether a change is at most this part of the worth, max(|f|, tol·(f₀ − f))."""
        return (change <= part * abs(run.f)) | (change <= part * (tol * (run.first - run.f)))

    def verdict(
        self, run: RunFigures, promised: float, turned: float, dtype: torch.dtype
    ) -> Status:
        """Return what it means that no lower point is found though a decrease was promised."""
        over = self.is_over(run, promised, turned, dtype)
        return Status.CONVERGED if over else Status.STALLED

    def is_over(
        self, run: RunFigures, promised: Numbers, turned: Numbers, dtype: torch.dtype
    ) -> Flags:
        """Return whether a run has converged where no lower point is found though a decrease was promised.

        Rounding ends a run, too: where the gradient has fallen to √tol and no more than `tol` of the worth is
        promised, or nothing that can be told (infinity), and where the promise is within rounding.
        """
        tol = self.tolerance(dtype)
        little = self._is_within(promised, tol, run, tol) | (promised == math.inf)
        small = (run.size <= math.sqrt(tol) * run.largest) & little
        small = small | self.hides(promised, run.f, dtype)
        return self._is_within(turned, 1.0, run, tol) & small

    def hides(self, decrease: Numbers, f: Numbers, dtype: torch.dtype) -> Flags:
        """Return whether rounding of the objective hides a decrease."""
        return decrease <= _ROUNDING * torch.finfo(dtype).eps * abs(f)

    def spent(self, iterations: int, evaluations: int) -> Status | None:
        """Return which budget is used up."""
        if iterations >= self.max_iter:
            return Status.ITERATIONS
        if self.max_evals is not None and evaluations >= self.max_evals:
            return Status.EVALUATIONS
        return None


def message(status: Status, size: float, largest: float) -> str:
    """Return in a sentence why a run ended, with the gradient's largest component now and at its largest."""
    share = (
        f"{size / largest:.1e} of the largest met" if largest and math.isfinite(largest) else "0"
    )
    return {
        Status.CONVERGED: f"Converged: the gradient is {share}.",
        Status.STALLED: f"Stalled: the last direction has no lower point; the gradient is {share}.",
        Status.ITERATIONS: f"All iterations are used up (max_iter); the gradient is {share}.",
        Status.EVALUATIONS: f"All evaluations are used up (max_evals); the gradient is {share}.",
        Status.UNBOUNDED: "The objective falls without end: it has no minimum, or lacks a bound.",
        Status.UNDEFINED: "The objective or its gradient is not finite at the start.",
        Status.STOPPED: "The callback ended the run.",
        Status.INTERRUPTED: f"Interrupted by an exception; the gradient is {share}.",
    }[status]
