"""What a step of an optimizer over a solver ended with."""

from __future__ import annotations

import math
from dataclasses import dataclass

from thalweg.solvers.runs import Found
from thalweg.solvers.stop import Status

_SAID = {
    Status.CONVERGED: "Converged: the gradient is small.",
    Status.STALLED: "Stalled: no lower point was found, though the gradient is not small.",
    Status.ITERATIONS: "All iterations of the step are used up (max_iter).",
    Status.EVALUATIONS: "All evaluations of the step are used up (max_eval).",
    Status.UNBOUNDED: "The objective falls without end: it has no minimum, or lacks a bound.",
    Status.UNDEFINED: "The loss or its gradient is not finite where the step began.",
    Status.STOPPED: "The learning rate is 0: nothing was moved.",
    Status.INTERRUPTED: "An exception ended the step: the parameters are at the lowest point so far.",
}


@dataclass(frozen=True)
class StepResult:
    """Why a step ended, and what it took.

    `fun` is the objective at the point where the step ended, as far as it was evaluated there, negated with
    `maximize`. `nit` counts iterations, `nfev` evaluations of the closure, `nhvp` products with the Hessian
    or the Jacobian. `success` is whether `status` is "converged"; `message` says it in a sentence.
    """

    status: Status
    fun: float
    nit: int
    nfev: int
    nhvp: int = 0
    message: str = ""

    def __post_init__(self) -> None:
        if not self.message:
            object.__setattr__(self, "message", _SAID[self.status])

    @classmethod
    def interrupted(cls, found: list[Found], nfev: int, nhvp: int) -> StepResult:
        """Return what is known of a step that an exception ended."""
        f, nit = (found[0][0].f, found[0][0].iterations) if found else (math.nan, 0)
        return cls(Status.INTERRUPTED, f, nit, nfev, nhvp)

    @property
    def success(self) -> bool:
        """Whether the step ended because there is nothing left to gain."""
        return self.status is Status.CONVERGED
