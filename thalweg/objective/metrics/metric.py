"""A metric: a named figure of merit that is reported with the loss, and never differentiated."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from thalweg.errors import TaskError, ThalwegError
from thalweg.objective.blame import blame
from thalweg.objective.weighted import unweighted

MetricFunction = Callable[[Any, Any], "Tensor | float"]


@dataclass(frozen=True)
class Metric:
    """A named figure of merit of (outputs, targets).

    `direction` says which way is better. An `additive` metric of a set is the mean of its batches,
    weighted by their rows, or by what `weight` (outputs, targets) says a batch's mean was divided by.
    Any other needs the outputs of the whole set at once: they are kept, and joined at every tensor in
    them. `low` and `high` bound its values, so that a target beyond them can be refused.
    """

    name: str
    function: MetricFunction
    direction: Literal["max", "min"] = "max"
    additive: bool = True
    low: float = -math.inf
    high: float = math.inf
    weight: Callable[[Any, Any], Tensor | float] | None = dataclasses.field(
        default=None, repr=False
    )

    def __post_init__(self) -> None:
        if self.direction not in ("max", "min"):
            raise TaskError(f"A metric's direction must be 'max' or 'min'; got {self.direction!r}.")

    def __call__(self, outputs: Any, targets: Any) -> float:
        """Return the metric of a batch as a number; TaskError where the function gives none."""
        return self.number(self.function, outputs, targets)

    def weigh(self, outputs: Any, targets: Any, rows: int) -> float:
        """Return what a batch of so many rows weighs in the mean over a set."""
        if self.weight is None:
            return float(rows)
        weight = self.number(self.weight, outputs, targets)
        if not 0 <= weight < math.inf:
            raise TaskError(
                f"The weight of the metric {self.name} must be a finite number ≥ 0; got {weight:g}."
            )
        return weight

    def number(self, function: MetricFunction, outputs: Any, targets: Any) -> float:
        """Return what a function gives of outputs and targets; TaskError where it is not a number."""
        try:
            value = function(outputs, unweighted(targets))
        except (ThalwegError, MemoryError, torch.OutOfMemoryError):
            raise
        except Exception as error:  # the user's own function: anything can be wrong in it
            raise TaskError(
                f"The metric {self.name} fails on {_described(outputs, targets)}. {blame(error)}"
            ) from error
        try:
            return float(value)
        except (TypeError, ValueError, RuntimeError):
            got = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value)
            raise TaskError(
                f"The metric {self.name} must return one number; on {_described(outputs, targets)} "
                f"it gave {got if isinstance(got, str) else got.__name__}."
            ) from None  # the error itself says less


def _described(outputs: Any, targets: Any) -> str:
    return " and ".join(
        f"{role} of shape {tuple(part.shape)}"
        if isinstance(part, Tensor)
        else f"{role} ({type(part).__name__})"
        for role, part in (("outputs", outputs), ("targets", targets))
    )
