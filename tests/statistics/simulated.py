"""Simulated races, and how far a count may lie from what is promised."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy import stats

from thalweg.statistics import Comparison, groups_of

BUDGET = 100.0
NEVER = 1e-4  # how rarely a correct rate fails a check, were its seed drawn again


def race(
    rng: np.random.Generator, centres: Sequence[float], seeds: int, spread: float = 0.3
) -> dict[str, np.ndarray]:
    """Lognormal times with planted medians; what a seed does is partly shared by all entrants."""
    shared = spread * rng.standard_normal(seeds)
    times = {}
    for place, centre in enumerate(centres):
        drawn = centre * np.exp(shared + spread * rng.standard_normal(seeds))
        times[f"entrant {place}"] = np.where(drawn > BUDGET, np.inf, drawn)
    return times


def groups(comparisons: Sequence[Comparison], ordered: Sequence[str]) -> dict[str, int]:
    """The groups of entrants that these comparisons do not tell apart."""
    apart = {
        frozenset((c.first, c.second)) for c in comparisons if c.outcome != "not distinguishable"
    }
    return groups_of(ordered, lambda one, other: frozenset((one, other)) not in apart)


def check_at_least(rate: float, hits: int, of: int) -> None:
    least = stats.binom.ppf(NEVER, of, rate)
    assert hits >= least, f"{hits} of {of} is less than a rate of {rate} allows ({least:.0f})"


def check_rate(rate: float, hits: int, of: int) -> None:
    check_at_least(rate, hits, of)
    most = stats.binom.isf(NEVER, of, rate)
    assert hits <= most, f"{hits} of {of} is more than a rate of {rate} allows ({most:.0f})"


def count(times: int, happens: Callable[[], bool]) -> int:
    return sum(happens() for _ in range(times))
