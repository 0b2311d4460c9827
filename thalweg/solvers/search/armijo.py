"""Backtracking to a sufficient decrease, by quadratic interpolation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from thalweg.solvers.search.cubic import Sample
from thalweg.solvers.search.search import Found, Searching


@dataclass(frozen=True)
class Armijo:
    """φ(α) ≤ φ(0) + c₁·α·φ′(0) (Armijo, 1966); slopes are not asked for.

    The next step length is the minimizer of the parabola through what is known, between a tenth and a half
    of the last one; where nothing is defined, a fifth.
    """

    c1: float = 1e-4
    most: int = 40

    def __call__(self, f: float, slope: float, first: float) -> Searching:
        """Search from φ(0) and φ′(0), beginning with `first`."""
        alpha = first
        for _ in range(self.most):
            here, _ = yield alpha
            if here <= f + self.c1 * alpha * slope:
                return Found(alpha, True)
            if not math.isfinite(here):
                alpha *= 0.2
                continue
            parabola = -slope * alpha * alpha / (2 * (here - f - slope * alpha))
            alpha = min(max(parabola, 0.1 * alpha), 0.5 * alpha)
        return Found(0.0, False)

    def accepts(self, start: Sample, first: Sample) -> Any:
        """Return whether the decrease is sufficient at the first point."""
        return first.f <= start.f + self.c1 * first.alpha * start.slope
