"""Newton's direction: the Hessian as a matrix, or its products alone."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from thalweg.errors import suggest
from thalweg.solvers.direction.direction import Model
from thalweg.solvers.direction.steepest import Nothing
from thalweg.solvers.lanes import dot, norm, times, transposed_times
from thalweg.solvers.preconditioner import Preconditioner

_LEAST = 1e-10
"""Eigenvalues below this share of the largest are raised to it."""
REMEDIES = ("damped", "saddle-free")


class Newton:
    """d = −(H + αI)⁻¹·g, from all eigenvalues of H: n products with H and n³ operations a step.

    Where H is not positive definite, `remedy` says what becomes of it: "damped" takes the smallest α that
    makes it so (Goldfeld, Quandt and Trotter, 1966); "saddle-free" takes |λ| for each eigenvalue (Dauphin et
    al., 2014).
    """

    learns = False

    def __init__(self, remedy: str = "saddle-free") -> None:
        if not isinstance(remedy, str) or remedy not in REMEDIES:
            raise ValueError(
                f"There is no remedy {remedy!r}.{suggest(str(remedy), REMEDIES)} Known: "
                f"{', '.join(REMEDIES)}."
            )
        self.remedy = remedy

    def natural(self, steps: int) -> bool:
        """Return whether a step of length 1 is the expected one."""
        return True

    def init(self, x: Tensor, g: Tensor) -> Nothing:
        """Return the state before the first step."""
        return Nothing()

    def propose(self, state: Nothing, g: Tensor, model: Model) -> tuple[Tensor, Nothing]:
        """Return the direction, and the state."""
        hessian = model.dense()
        # A Hessian that is not finite gives no direction; the loop then takes −g.
        finite = torch.isfinite(hessian).all(-1).all(-1)[:, None, None]
        eigenvalues, vectors = torch.linalg.eigh(torch.where(finite, hessian, 0.0))
        least = _LEAST * eigenvalues.abs().amax(-1, keepdim=True)
        if self.remedy == "damped":
            lowest = eigenvalues[:, :1]
            # As far above zero as the lowest eigenvalue lies below: a step of its own length, not a huge one.
            wanted = torch.where(lowest < least, torch.maximum(lowest.abs(), least) - lowest, 0.0)
            eigenvalues = eigenvalues + wanted
        else:
            eigenvalues = torch.maximum(eigenvalues.abs(), least)
        return -times(vectors, transposed_times(vectors, g) / eigenvalues), state

    def update(self, state: Nothing, step: Tensor, dg: Tensor) -> Nothing:
        """Return the state after a step."""
        return state


class FirstSize(NamedTuple):
    """‖g‖ where the run began."""

    norm: Tensor


class NewtonCGDirection:
    """d ≈ −H⁻¹·g by conjugate gradients on H·d = −g, which needs products with H alone.

    They end when ‖Hd + g‖ ≤ η‖g‖, with η = min(½, √(‖g‖/‖g₀‖)), so that the run converges faster than
    linearly; and where dᵀHd ≤ 0 is met, with what was found before. A preconditioner M ≈ H⁻¹ of the inner
    iterations changes their number, not where they lead.

    Source: Nocedal and Wright, Numerical Optimization, algorithm 7.1; algorithm 5.3 for M.
    """

    learns = False

    def __init__(
        self, most: int | None = None, preconditioner: Preconditioner | None = None
    ) -> None:
        self.most, self.m = most, preconditioner

    def natural(self, steps: int) -> bool:
        """Return whether a step of length 1 is the expected one."""
        return True

    def init(self, x: Tensor, g: Tensor) -> FirstSize:
        """Return the state before the first step."""
        return FirstSize(norm(g)[:, None])

    def propose(self, state: FirstSize, g: Tensor, model: Model) -> tuple[Tensor, FirstSize]:
        """Return the direction, and the state."""
        size = norm(g)[:, None]
        eta = (size / state.norm).sqrt().clamp(max=0.5)
        most = self.most or 10 * g.shape[-1]
        return newton_by_products(g, model, eta * size, most, self.m), state

    def update(self, state: FirstSize, step: Tensor, dg: Tensor) -> FirstSize:
        """Return the state after a step."""
        return state


def newton_by_products(
    g: Tensor, model: Model, enough: Tensor, most: int, m: Preconditioner | None = None
) -> Tensor:
    """Return d with ‖Hd + g‖ ≤ `enough` in each lane, or before the first direction that bends down."""
    d = torch.zeros_like(g)
    residual, z = g, g if m is None else m(g)
    p = -z
    squared = dot(g, z)
    going = torch.ones_like(squared, dtype=torch.bool)
    first = True
    for _ in range(most):
        hp = model @ p
        bend = dot(p, hp)
        up = bend > 0
        if (
            first
        ):  # along p the objective may bend down: then as far as it would go if it bent up as much
            d = torch.where(up, d, p * torch.where(bend < 0, squared / bend.abs(), 1.0))
            first = False
        going = going & up
        alpha = torch.where(going, squared / torch.where(going, bend, 1.0), 0.0)
        d = d + alpha * p
        residual = residual + alpha * hp
        going = going & (norm(residual)[:, None] > enough)
        if not bool(going.any()):
            break
        z = residual if m is None else m(residual)
        after = dot(residual, z)
        p = torch.where(going, after / squared * p - z, p)
        squared = torch.where(going, after, squared)
    return d
