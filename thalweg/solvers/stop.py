"""When a solver stops, and why."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

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


@dataclass(frozen=True)
class Stop:
    """The rules that end a run.

    It has converged where the largest component of the gradient is at most `tol` times the largest one met
    on the way: so the scale of the objective does not matter, and the first gradient need not be typical.
    `tol=None` takes a number from the precision: 1e-8 in float64, 1e-4 in float32.
    """

    tol: float | None = None
    max_iter: int = 1000
    max_evals: int | None = None

    def tolerance(self, dtype: torch.dtype) -> float:
        """Return `tol`, or what the precision allows."""
        if self.tol is not None:
            return self.tol
        return 1e-8 if torch.finfo(dtype).eps < 1e-10 else 1e-4

    def small(self, size: float, largest: float, dtype: torch.dtype) -> bool:
        """Return whether a gradient of this size is small beside the largest one."""
        return size <= self.tolerance(dtype) * largest

    def verdict(self, size: float, largest: float, dtype: torch.dtype) -> Status:
        """Return what it means that no lower point is found: rounding ends a run at √tol, too."""
        small = size <= math.sqrt(self.tolerance(dtype)) * largest
        return Status.CONVERGED if small else Status.STALLED

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
    }[status]
