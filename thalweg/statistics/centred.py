"""Sign flips of several paired comparisons at once, about the mean of each.

For comparisons k with differences dₖᵢ over the seeds i, mean d̄ₖ and residuals eₖᵢ = dₖᵢ − d̄ₖ, the distance
of a sum from zero is measured in its own spread, moderated by that of the typical comparison:

    tₖ = Σᵢ dₖᵢ / √(Σᵢ dₖᵢ² + m),    m = n/(n−1) · median over k of Σᵢ eₖᵢ²

One noisy entrant so widens its own comparisons and nobody else's; and a spread that is small by luck, as
one of eight seeds may be, does not count as a certainty.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from thalweg.statistics.paired import sign_patterns
from thalweg.statistics.times import Array

_SLACK = 1e-10
"""Rounding must not separate equal sums."""
_MOST_AT_ONCE = 2**20
"""Reaches that are in memory at once."""


@dataclass(frozen=True, eq=False)
class CentredFlips:
    """The flipped sums of comparisons: `differences` has one row for each, one column for each seed.

    `moderator` is m, of all comparisons of the race.

    A comparison is tested with all the others at once. Is δ a distance by which its mean may differ from
    the true one by chance? Under the hypothesis its differences are symmetric about the true value, so its
    own sums are flipped exactly, while those of the others are flipped about their means:

        p(δ) = P_ε(Σ εᵢ (eₖᵢ + δ) ≥ nδ  or  max_{l ≠ k} tₗ(ε) ≥ nδ / √(Σ eₖᵢ² + nδ² + m))
        tₗ(ε) = √(n/(n−½)) Σ εᵢ eₗᵢ / √(Σ eₗᵢ² + m (n−1)/n)

    Both conditions hold up to some δ, which is the *reach* of a pattern of signs. So p(δ) is the share of
    patterns that reach δ, and the values that are not rejected are one interval: see `reach`.

    The factor √(n/(n−½)) stands for what residuals lack of the differences themselves. Without it the flips
    about the means claim too much by a little (6 % instead of 5 % with six entrants and eight seeds), with
    √(n/(n−1)) too little (2.5 %); `benchmarks/claims.py` measures it.
    """

    differences: Array
    moderator: float

    @cached_property
    def means(self) -> Array:
        """d̄ₖ."""
        means: Array = self.differences.mean(axis=1)
        return means

    @cached_property
    def squares(self) -> Array:
        """Σᵢ eₖᵢ²."""
        squares: Array = (self._residuals**2).sum(axis=1)
        return squares

    @property
    def patterns(self) -> int:
        """How many patterns of signs there are."""
        return len(self._signs)

    def blocks(self) -> Iterator[slice]:
        """Return the comparisons in blocks, whose reaches fit in little memory."""
        size = max(1, _MOST_AT_ONCE // self.patterns)
        for start in range(0, len(self.differences), size):
            yield slice(start, min(start + size, len(self.differences)))

    def reach(self, block: slice, way: ArrayLike, *, one_sided: bool = False) -> Array:
        """Return the reach of every pattern (rows) for a block of comparisons (columns).

        It is infinite for a pattern that always reaches, as the observed one does.

        Args:
            block: which comparisons.
            way: 1 where the mean lies above the true value, −1 where below; of all, or of each.
            one_sided: count only sums that lie above, of these comparisons and of the others.
        """
        n = self.differences.shape[1]
        greatest = self._greatest_but(block, one_sided=one_sided)
        room = np.maximum(n * n - n * greatest**2, 1e-300)
        others: Array = greatest * np.sqrt((self.squares[block] + self.moderator) / room)
        reach: Array = np.maximum(self.own_reach(block, way, one_sided=one_sided), others)
        return reach

    def own_reach(self, block: slice, way: ArrayLike, *, one_sided: bool = False) -> Array:
        """Return the reach of every pattern for a block of comparisons, each one alone."""
        sums = np.asarray(way) * self._sums[:, block]
        balance = self._signs.sum(axis=1, keepdims=True)
        same = _over(sums, self.differences.shape[1] - balance)
        if one_sided:
            return same
        return np.maximum(same, _over(-sums, self.differences.shape[1] + balance))

    def shares(self, block: slice, reach: Array, distances: Array) -> Array:
        """Return for a block of comparisons the share of patterns that reach its distance."""
        rounding = _SLACK * distances + 1e-13 * np.abs(self.differences[block]).max(axis=1)
        shares: Array = (reach >= distances - rounding).mean(axis=0)
        return shares

    @cached_property
    def _signs(self) -> Array:
        return sign_patterns(self.differences.shape[1])

    @cached_property
    def _residuals(self) -> Array:
        residuals: Array = self.differences - self.means[:, None]
        return residuals

    @cached_property
    def _sums(self) -> Array:
        sums: Array = self._signs @ self._residuals.T
        return sums

    @cached_property
    def _scaled(self) -> Array:
        """tₗ(ε); zero where there is no spread."""
        n = self.differences.shape[1]
        spread = self.squares + self.moderator * (n - 1) / n
        scale = np.sqrt(n / (n - 0.5) / np.where(spread > 0, spread, np.inf))
        scaled: Array = self._sums * scale
        return scaled

    def _greatest_but(self, block: slice, *, one_sided: bool) -> Array:
        """The greatest scaled sum of every pattern among the comparisons other than each of a block."""
        found = self._scaled if one_sided else np.abs(self._scaled)
        place = found.argmax(axis=1)[:, None]
        best = np.take_along_axis(found, place, axis=1)
        second = np.full_like(best, 0.0)
        if found.shape[1] > 1:
            second = np.partition(found, -2, axis=1)[:, -2:-1]
        columns = np.arange(block.start, block.stop)
        return np.maximum(np.where(place == columns, second, best), 0.0)


def _over(sums: Array, count: Array) -> Array:
    """Sums over counts; where the count is zero, all signs are alike and reach everything."""
    return np.where(count > 0, sums / np.maximum(count, 1), np.inf)


def moderator(differences: Array) -> float:
    """Return m: what the median comparison's sum of squares would be if nobody differed."""
    n = differences.shape[1]
    residuals = differences - differences.mean(axis=1, keepdims=True)
    typical = float(np.median((residuals**2).sum(axis=1)))
    return typical * float(n / max(n - 1, 1))
