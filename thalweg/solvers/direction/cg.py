"""Nonlinear conjugate gradients: d = −M·g + β·d₋, with three choices of β, preconditioned by M ≈ H⁻¹."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from thalweg.errors import suggest
from thalweg.solvers.direction.direction import Model
from thalweg.solvers.lanes import dot
from thalweg.solvers.preconditioner import Preconditioner


class Gradient(NamedTuple):
    """g and z = M·g."""

    g: Tensor
    z: Tensor


class Conjugate(NamedTuple):
    """The last gradient and direction, M⁻¹·d, and whether there has been a step since."""

    before: Gradient
    d: Tensor
    w: Tensor
    moved: Tensor


Beta = Callable[[Gradient, Conjugate], Tensor]


def fletcher_reeves(here: Gradient, last: Conjugate) -> Tensor:
    """Return β = gᵀz / g₋ᵀz₋ (Fletcher and Reeves, 1964)."""
    return dot(here.g, here.z) / dot(last.before.g, last.before.z)


def polak_ribiere(here: Gradient, last: Conjugate) -> Tensor:
    """Return β = max(0, (g − g₋)ᵀz / g₋ᵀz₋): Polak and Ribière's (1969), restarted where negative."""
    before = last.before
    return (dot(here.g - before.g, here.z) / dot(before.g, before.z)).clamp(min=0)


def hager_zhang(here: Gradient, last: Conjugate) -> Tensor:
    """Return β = (yᵀz − 2dᵀg·yᵀMy/dᵀy) / dᵀy, not below .4·dᵀg₋/dᵀM⁻¹d (Hager and Zhang, 2005 and 2013)."""
    before, d = last.before, last.d
    y = here.g - before.g
    dy = dot(d, y)
    beta = (dot(y, here.z) - 2 * dot(d, here.g) * dot(y, here.z - before.z) / dy) / dy
    return torch.maximum(beta, 0.4 * dot(d, before.g) / dot(d, last.w))


BETAS: dict[str, Beta] = {
    "fr": fletcher_reeves,
    "pr+": polak_ribiere,
    "hz": hager_zhang,
}


class ConjugateGradient:
    """d = −z + β·d₋ with z = M·g, restarted with d = −z where d does not descend.

    `beta` is "fr", "pr+" or "hz". With M = CCᵀ these are the directions of conjugate gradients in the
    variables C⁻¹x; without a preconditioner M = I. M⁻¹·d, which "hz" needs, follows the same recursion:
    M⁻¹d = −g + β·M⁻¹d₋.

    Source: Nocedal and Wright, Numerical Optimization, chapter 5; Hager and Zhang (2006), A survey of
    nonlinear conjugate gradient methods, section 8, for M.
    """

    learns = False

    def natural(self, steps: int) -> bool:
        """Return whether a step of length 1 is the expected one."""
        return False

    def __init__(self, beta: str = "pr+", preconditioner: Preconditioner | None = None) -> None:
        if not isinstance(beta, str) or beta not in BETAS:
            raise ValueError(
                f"There is no β named {beta!r}.{suggest(str(beta), BETAS)} Known: {', '.join(BETAS)}."
            )
        self.beta, self.m = BETAS[beta], preconditioner

    def init(self, x: Tensor, g: Tensor) -> Conjugate:
        """Return the state before the first step."""
        zero = torch.zeros_like(g)
        moved = torch.zeros(len(g), 1, dtype=g.dtype, device=g.device)
        return Conjugate(Gradient(g, zero), zero, zero, moved)

    def propose(self, state: Conjugate, g: Tensor, model: Model) -> tuple[Tensor, Conjugate]:
        """Return the direction, and the state."""
        here = Gradient(g, g if self.m is None else self.m(g))
        z = here.z
        beta = self.beta(here, state)
        # Powell's restart: successive gradients that are far from orthogonal say that the past is of no use.
        kept = (
            (state.moved > 0)
            & torch.isfinite(beta)
            & (dot(state.before.g, z).abs() < 0.9 * dot(g, z))
        )
        d = torch.where(kept, beta * state.d - z, -z)
        kept = kept & (dot(d, g) < 0)
        d = torch.where(kept, d, -z)
        w = d if self.m is None else torch.where(kept, beta * state.w - g, -g)
        return d, Conjugate(here, d, w, torch.zeros_like(state.moved))

    def update(self, state: Conjugate, step: Tensor, dg: Tensor) -> Conjugate:
        """Return the state after a step."""
        return state._replace(moved=torch.ones_like(state.moved))
