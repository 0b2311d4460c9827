"""Nonlinear conjugate gradients: d = −g + β·d₋, with three choices of β."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from thalweg.errors import suggest
from thalweg.solvers.direction.direction import Model
from thalweg.solvers.lanes import dot

Beta = Callable[[Tensor, Tensor, Tensor], Tensor]


def fletcher_reeves(g: Tensor, before: Tensor, d: Tensor) -> Tensor:
    """Return β = gᵀg / g₋ᵀg₋ (Fletcher and Reeves, 1964)."""
    return dot(g, g) / dot(before, before)


def polak_ribiere(g: Tensor, before: Tensor, d: Tensor) -> Tensor:
    """Return β = max(0, (g − g₋)ᵀg / g₋ᵀg₋): Polak and Ribière's (1969), restarted where negative."""
    return (dot(g - before, g) / dot(before, before)).clamp(min=0)


def hager_zhang(g: Tensor, before: Tensor, d: Tensor) -> Tensor:
    """Return β = (y − 2d·yᵀy/dᵀy)ᵀg / dᵀy, not below .4·dᵀg₋/dᵀd (Hager and Zhang, 2005 and 2013)."""
    y = g - before
    dy = dot(d, y)
    beta = (dot(y, g) - 2 * dot(d, g) * dot(y, y) / dy) / dy
    return torch.maximum(beta, 0.4 * dot(d, before) / dot(d, d))


BETAS: dict[str, Beta] = {
    "fr": fletcher_reeves,
    "pr+": polak_ribiere,
    "hz": hager_zhang,
}


class Conjugate(NamedTuple):
    """The last gradient and direction, and whether there has been a step since."""

    before: Tensor
    d: Tensor
    moved: Tensor


class ConjugateGradient:
    """d = −g + β·d₋, restarted with d = −g after n steps and where d does not descend.

    `beta` is "fr", "pr+" or "hz". Source: Nocedal and Wright, Numerical Optimization, chapter 5.
    """

    def natural(self, steps: int) -> bool:
        """Return whether a step of length 1 is the expected one."""
        return False

    def __init__(self, beta: str = "pr+") -> None:
        if not isinstance(beta, str) or beta not in BETAS:
            raise ValueError(
                f"There is no β named {beta!r}.{suggest(str(beta), BETAS)} Known: {', '.join(BETAS)}."
            )
        self.beta = BETAS[beta]

    def init(self, x: Tensor, g: Tensor) -> Conjugate:
        """Return the state before the first step."""
        return Conjugate(
            g, torch.zeros_like(g), torch.zeros(len(g), 1, dtype=g.dtype, device=g.device)
        )

    def propose(self, state: Conjugate, g: Tensor, model: Model) -> tuple[Tensor, Conjugate]:
        """Return the direction, and the state."""
        beta = self.beta(g, state.before, state.d)
        # Powell's restart: successive gradients that are far from orthogonal say that the past is of no use.
        kept = (
            (state.moved > 0)
            & torch.isfinite(beta)
            & (dot(g, state.before).abs() < 0.9 * dot(g, g))
        )
        d = torch.where(kept, beta * state.d - g, -g)
        d = torch.where(dot(d, g) < 0, d, -g)
        return d, Conjugate(g, d, torch.zeros_like(state.moved))

    def update(self, state: Conjugate, step: Tensor, dg: Tensor) -> Conjugate:
        """Return the state after a step."""
        return state._replace(moved=torch.ones_like(state.moved))
