"""What a solver ended with."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from thalweg.solvers.lane import Record
from thalweg.solvers.stop import Status


@dataclass(frozen=True)
class Result:
    """The lowest point that a solver found, why it stopped, and what it took.

    `x` has the shape of the start, `grad`, too; `fun` is the objective there. `nit` counts iterations, `nfev`
    and `ngev` evaluations of the objective and of its gradient, `nhvp` products with its Hessian or its
    Jacobian. `success` is whether `status` is "converged"; `message` says it in a sentence. `history` has a
    record (evaluations, fun, gradient) for the start and after each iteration.
    """

    x: Tensor
    fun: float
    grad: Tensor
    nit: int
    nfev: int
    ngev: int
    nhvp: int
    success: bool
    status: Status
    message: str
    history: tuple[Record, ...]

    def __repr__(self) -> str:
        lines = [
            f"message: {self.message}",
            f"success: {self.success}",
            f"    fun: {self.fun:.10g}",
            f"      x: {_short(self.x)}",
            f"    nit: {self.nit}, nfev: {self.nfev}, ngev: {self.ngev}, nhvp: {self.nhvp}",
        ]
        return "\n".join(lines)


def _short(x: Tensor) -> str:
    if x.numel() <= 6:
        return f"{x.tolist()}"
    return f"{x.dtype}".removeprefix("torch.") + f" tensor of shape {tuple(x.shape)}"
