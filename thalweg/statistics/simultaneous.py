"""Tests and intervals for all pairs at once, and the set of entrants that may be the best.

Both look at one score a seed and entrant, of which smaller is better, such as the logarithm of a time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from thalweg.errors import TaskError
from thalweg.statistics.centred import CentredFlips, moderator
from thalweg.statistics.interval import check_level
from thalweg.statistics.paired import MOST_ENUMERATED_SEEDS, differences, fewest_seeds
from thalweg.statistics.shared import PairErrors, SharedError
from thalweg.statistics.times import Array


@dataclass(frozen=True)
class PairedDifference:
    """The difference of the means of two entrants' scores, `first` minus `second`.

    `low` and `high` enclose the true differences of all pairs at once, in a share `attained` of all
    races. They are infinite, and `attained` is 0, where the seeds are too few. `p` is that of the
    sign-flip test of this pair alone; `corrected` is corrected for all pairs. The interval holds no zero
    exactly where `corrected` is at most the α that was asked for.
    """

    first: str
    second: str
    estimate: float
    low: float
    high: float
    attained: float
    p: float
    corrected: float


def paired_differences(
    scores: Mapping[str, Array],
    *,
    alpha: float = 0.05,
    tolerance: float = 0.0,
    slack: Mapping[str, float] | None = None,
    errors: Mapping[str, SharedError] | None = None,
) -> tuple[PairedDifference, ...]:
    """Compare the means of every pair of entrants, all at once, by centred sign flips.

    Over two entrants this is the sign-flip test, and the interval is that of Hartigan's typical values
    (1969): between means of subsets of the differences. See `CentredFlips` for more of them. What is tested
    is whether a pair's differences are symmetric about zero, which equal means imply only where the shapes
    of the two distributions mirror each other.

    Args:
        scores: for each entrant one finite score a seed, in the same order for all.
        alpha: the chance of any wrong interval, and so of any false claim, among all pairs.
        tolerance: differences of up to this count as none; the intervals are wider by it.
        slack: by how much smaller an entrant's mean may be than that of its scores, whatever they are:
            the intervals are wider by it on the side where this entrant is better. None: 0 for all.
        errors: those that all scores of an entrant share, by entrant; tests and intervals hold them too.

    Source: Westfall & Young (1993), "Resampling-Based Multiple Testing", for the maximum over pairs;
    Tusher, Tibshirani & Chu (2001) for statistics with a moderated spread.

    Raises:
        TaskError: for fewer than two entrants, rows of different lengths, scores that are not finite, or
            an α outside (0, 1).

    Example:
        >>> scores = {"a": np.arange(6.0), "b": np.arange(6.0) + [9, 8, 9, 7, 9, 9]}
        >>> (pair,) = paired_differences(scores)
        >>> pair.estimate, pair.low, pair.high, pair.corrected
        (-8.5, -9.0, -7.0, 0.03125)
    """
    check_level(1 - alpha)
    pairs = list(combinations(scores, 2))
    rows = _all_differences(scores)
    flips, shared = CentredFlips(rows, moderator(rows)), PairErrors.of(errors, pairs)
    first, second = _slacks(pairs, slack or {}, tolerance)
    allowed = int(alpha * flips.patterns + 1e-9)
    if rows.shape[1] <= MOST_ENUMERATED_SEEDS:
        allowed -= allowed % 2  # a pattern and its mirror image reach equally far
    found: list[PairedDifference] = []
    for block in flips.blocks():
        means = flips.means[block]
        reach_of = {way: _widened(flips.reach(block, way), shared, block) for way in (1, -1)}
        below = first[block] + _greatest(reach_of[1], allowed)
        above = second[block] + _greatest(reach_of[-1], allowed)
        way = np.where(means >= 0, 1, -1)
        reach = np.where(way > 0, reach_of[1], reach_of[-1])
        beyond = np.maximum(np.abs(means) - np.where(way > 0, first[block], second[block]), 0.0)
        corrected = flips.shares(block, reach, beyond)
        own = _widened(flips.own_reach(block, way), shared, block, alone=True)
        alone = flips.shares(block, own, beyond)
        low, high = means - below, means + above
        # by rounding, an end could lie on the other side of zero
        low = np.where(corrected > alpha, np.minimum(low, 0.0), low)
        high = np.where(corrected > alpha, np.maximum(high, 0.0), high)
        attained = np.where(np.isfinite(high - low), 1 - allowed / flips.patterns, 0.0)
        columns = zip(means, low, high, attained, alone, corrected, strict=True)
        found += [
            PairedDifference(*pair, *map(float, values))
            for pair, values in zip(pairs[block], columns, strict=True)
        ]
    return tuple(found)


def possible_bests(
    scores: Mapping[str, Array],
    *,
    alpha: float = 0.05,
    tolerance: float = 0.0,
    slack: Mapping[str, float] | None = None,
    errors: Mapping[str, SharedError] | None = None,
) -> tuple[str, ...]:
    """Return the entrants that may have the smallest mean: multiple comparisons with the best.

    An entrant is left out if it is told to be worse than some other one, by a one-sided test that is
    corrected for its comparisons with all others. The true best is left out with probability α at most,
    so a set of one is the best. The one with the smallest mean is never left out, and neither is anyone
    with too few seeds. Of a pair that `paired_differences` tells apart, the worse is left out.

    Two entrants have one comparison, which both tests would share: there the set is that of the two-sided
    test, since one of two equals would else be named the best in 2 α of the races.

    Args:
        scores: for each entrant one finite score a seed, in the same order for all.
        alpha: the chance to leave out the true best.
        tolerance: differences of up to this count as none.
        slack: by how much smaller an entrant's mean may be than that of its scores, as in
            `paired_differences`.
        errors: those that all scores of an entrant share, by entrant.

    Source: Hsu (1984), "Constrained simultaneous confidence intervals for multiple comparisons with the
    best".

    Raises:
        TaskError: as `paired_differences`; a single entrant is the best.

    Example:
        >>> times = {
        ...     "a": [1.0, 2, 3, 4, 5, 6],
        ...     "b": [2.0, 3, 1, 5, 6, 7],
        ...     "c": [7.0, 9, 8, 9, 9, 9],
        ... }
        >>> possible_bests({name: np.array(row) for name, row in times.items()})
        ('a', 'b')
    """
    check_level(1 - alpha)
    names = list(scores)
    if len(names) < 2:
        return tuple(names)
    m = moderator(_all_differences(scores))
    if len(scores[names[0]]) < fewest_seeds(alpha):
        return tuple(names)
    found = []
    for name in names:
        pairs = [(name, other) for other in names if other != name]
        rows = np.array([scores[a] - scores[b] for a, b in pairs])
        near = tolerance + (slack or {}).get(name, 0.0)
        if not _is_worse(rows, m, alpha, near, PairErrors.of(errors, pairs)):
            found.append(name)
    return tuple(found)


def _is_worse(
    rows: Array, m: float, alpha: float, tolerance: float, shared: PairErrors | None
) -> bool:
    """Whether an entrant is told to be worse than some other, by its differences to all others."""
    flips, one_sided = CentredFlips(rows, m), len(rows) > 1
    for block in flips.blocks():
        reach = flips.reach(block, 1, one_sided=one_sided)
        reach = _widened(reach, shared, block, one_sided=one_sided)
        beyond = np.maximum(flips.means[block] - tolerance, 0.0)
        if (flips.shares(block, reach, beyond) <= alpha).any():
            return True
    return False


def _slacks(
    pairs: Sequence[tuple[str, str]], slack: Mapping[str, float], tolerance: float
) -> tuple[Array, Array]:
    """How much wider the interval of each pair is below, where its first is better, and above."""
    first, second = (np.array([slack.get(pair[k], 0.0) for pair in pairs]) for k in (0, 1))
    return first + tolerance, second + tolerance


def _all_differences(scores: Mapping[str, Array]) -> Array:
    shapes = {name: np.shape(row) for name, row in scores.items()}
    if (
        len(scores) < 2
        or len(set(shapes.values())) > 1
        or any(len(s) != 1 for s in shapes.values())
    ):
        raise TaskError(
            "A comparison takes two or more entrants with one score for each of the same seeds, got "
            f"{shapes}."
        )
    rows = [differences(scores[a], scores[b]) for a, b in combinations(scores, 2)]
    return np.array(rows)


def _widened(
    reach: Array,
    shared: PairErrors | None,
    block: slice,
    *,
    one_sided: bool = False,
    alone: bool = False,
) -> Array:
    if shared is None:
        return reach
    return shared.widened(reach, block, one_sided=one_sided, alone=alone)


def _greatest(reach: Array, allowed: int) -> Array:
    """The distances that only so many patterns exceed."""
    place = len(reach) - 1 - allowed
    greatest: Array = np.partition(reach, place, axis=0)[place]
    return greatest
