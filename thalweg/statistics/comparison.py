"""Is one entrant better than another? "Not distinguishable" is an answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from thalweg.errors import TaskError, suggest
from thalweg.statistics.bootstrap import bootstrap
from thalweg.statistics.effects import difference_of_means, ratio_of_geometric_means
from thalweg.statistics.interval import Interval, check_level
from thalweg.statistics.many import Correction, holm, joint
from thalweg.statistics.paired import (
    Test,
    differences,
    fewest_seeds,
    share_as_far,
    signed_scores,
)
from thalweg.statistics.times import Array, censored, restricted
from thalweg.statistics.typical import mean_interval

Outcome = Literal["better", "worse", "not distinguishable"]
IntervalMethod = Literal["typical", "bca", "percentile"]
_OUTCOMES: dict[int, Outcome] = {-1: "better", 0: "not distinguishable", 1: "worse"}
_METHODS = ("typical", "bca", "percentile")


@dataclass(frozen=True)
class Comparison:
    """The first of two entrants against the second.

    `ratio` is that of the geometric means of their times, below 1 where the first is faster, with
    the interval of this one comparison. A miss enters it with the budget, the least that it took:
    `bound` says what that makes of the ratio. `p` is of the paired test and `corrected` for all
    comparisons made with it; the outcome is "better" or "worse" where `corrected` ≤ `alpha`.
    """

    first: str
    second: str
    outcome: Outcome
    p: float
    corrected: float
    alpha: float
    ratio: Interval
    seeds: int
    misses: tuple[int, int]
    seeds_needed: int

    @property
    def too_few(self) -> bool:
        """Whether no result whatever of so few seeds could have told the two apart."""
        return self.seeds < self.seeds_needed

    @property
    def bound(self) -> Literal["exact", "at least", "at most", "unknown"]:
        """What the ratio is, since a miss took at least its budget."""
        first, second = (missed > 0 for missed in self.misses)
        if first and second:
            return "unknown"
        return "at least" if first else "at most" if second else "exact"

    def turned(self) -> Comparison:
        """Return the second entrant against the first."""
        ratio = self.ratio
        turned = Interval(
            1 / ratio.estimate, 1 / ratio.high, 1 / ratio.low, ratio.level, ratio.attained
        )
        outcomes: dict[Outcome, Outcome] = {"better": "worse", "worse": "better"}
        return Comparison(
            first=self.second,
            second=self.first,
            outcome=outcomes.get(self.outcome, self.outcome),
            p=self.p,
            corrected=self.corrected,
            alpha=self.alpha,
            ratio=turned,
            seeds=self.seeds,
            misses=self.misses[::-1],
            seeds_needed=self.seeds_needed,
        )

    def __str__(self) -> str:
        r = self.ratio
        told = {"better": "is better than", "worse": "is worse than"}.get(self.outcome)
        start = (
            f"{self.first} {told} {self.second}"
            if told
            else f"{self.first} and {self.second} are not distinguishable"
        )
        bound = {"exact": "", "unknown": " (both missed some)"}.get(self.bound, f" ({self.bound})")
        text = (
            f"{start}: time ratio {r.estimate:.3g}{bound}, {100 * r.attained:.3g} % interval "
            f"[{r.low:.3g}, {r.high:.3g}], corrected p = {self.corrected:.2g}"
        )
        if self.too_few:
            text += f"; {self.seeds} seeds cannot tell, whatever they give: at least {self.seeds_needed} can"
        return text


def compare_all(
    times: Mapping[str, ArrayLike],
    budget: ArrayLike,
    *,
    alpha: float = 0.05,
    level: float = 0.95,
    test: Test = "wilcoxon",
    correction: Correction = "holm",
    interval: IntervalMethod = "typical",
    tolerance: float = 0.0,
) -> tuple[Comparison, ...]:
    """Compare every pair of entrants, over the seeds that they share.

    All pairs are corrected for together, whichever of them are looked at afterwards: the best of a
    race is chosen by the data, so comparisons with it alone would need the same correction. Ratios
    are taken of logarithms, so that the test does not depend on which entrant comes first.

    Args:
        times: for each entrant its times to the target (or any positive cost), one for each seed, in
            the same order for all; infinity is a miss. Those of several tasks stand side by side.
        budget: the time given, a number or one for each seed.
        alpha: the chance of any false claim among all pairs.
        level: of the interval of each single ratio.
        test: "wilcoxon" or "sign-flip" (on logarithms of times, a miss at its budget).
        correction: "holm", or "joint", which with the sign-flip test needs fewer seeds, and an
            assumption: see `joint`.
        interval: "typical" (exact with few seeds: see `mean_interval`), or the bootstrap's "bca" or
            "percentile".
        tolerance: with the sign-flip test, ratios of up to 1 + tolerance count as equal: what is
            tested is whether they are further apart, as for times whose unit is not known exactly.

    Raises:
        TaskError: for fewer than two entrants, rows of different lengths, times or a budget that are
            not positive, or an unknown option.

    Example:
        >>> times = {"adam": [10, 12, 11, 13, 12, 10], "sgd": [21, 22, 25, 25, float("inf"), 20]}
        >>> (comparison,) = compare_all(times, budget=30)
        >>> comparison.outcome, round(comparison.ratio.estimate, 2), comparison.bound
        ('better', 0.48, 'at most')
    """
    check_level(1 - alpha)
    _check_options(correction, interval)
    if not (tolerance == 0 or (0 < tolerance < np.inf and test == "sign-flip")):
        raise TaskError(
            "A tolerance is a number ≥ 0, and is for the test 'sign-flip'; got "
            f"tolerance={tolerance} with test={test!r}."
        )
    rows = _rows(times, budget)
    spent = {name: restricted(row, budget) for name, row in rows.items()}
    pairs = list(combinations(rows, 2))
    of_test = spent if test == "sign-flip" else rows
    gaps = [differences(np.log(of_test[a]), np.log(of_test[b])) for a, b in pairs]
    if tolerance:
        gaps = [_nearer(gap, float(np.log1p(tolerance))) for gap in gaps]
    scores = np.array([signed_scores(gap, test) for gap in gaps])
    p = share_as_far(scores)
    corrected = holm(p) if correction == "holm" else joint(scores)
    seeds = scores.shape[-1]
    needed = fewest_seeds(len(pairs) if correction == "holm" else 1, alpha)
    return tuple(
        Comparison(
            first=a,
            second=b,
            outcome=_OUTCOMES[int(np.sign(scores[k].sum())) if corrected[k] <= alpha else 0],
            p=float(p[k]),
            corrected=float(corrected[k]),
            alpha=alpha,
            ratio=ratio_interval(spent[a], spent[b], level, interval),
            seeds=seeds,
            misses=(int(np.isinf(rows[a]).sum()), int(np.isinf(rows[b]).sum())),
            seeds_needed=needed,
        )
        for k, (a, b) in enumerate(pairs)
    )


def ratio_interval(
    first: ArrayLike,
    second: ArrayLike,
    level: float = 0.95,
    interval: IntervalMethod = "typical",
) -> Interval:
    """Return the ratio of the geometric means of two rows of finite, paired times.

        exp(mean log firstᵢ − mean log secondᵢ)

    Example:
        >>> ratio = ratio_interval([2, 4, 8], [1, 2, 4])
        >>> round(ratio.estimate, 9), round(ratio.low, 9), ratio.attained
        (2.0, 2.0, 0.75)
    """
    pair = np.array([first, second], dtype=np.float64)
    if interval != "typical":
        return bootstrap(pair, ratio_of_geometric_means, level=level, method=interval)
    logs = mean_interval(np.log(pair[0]) - np.log(pair[1]), level)
    estimate, low, high = (float(np.exp(x)) for x in (logs.estimate, logs.low, logs.high))
    return Interval(estimate, low, high, logs.level, logs.attained)


def difference_interval(
    first: ArrayLike,
    second: ArrayLike,
    level: float = 0.95,
    interval: IntervalMethod = "typical",
) -> Interval:
    """Return the difference of the means of two paired rows, for metrics whose ratio says nothing.

    Example:
        >>> difference_interval([0.9, 0.8, 0.85], [0.7, 0.65, 0.6]).estimate.__round__(9)
        0.2
    """
    pair = np.array([first, second], dtype=np.float64)
    if interval != "typical":
        return bootstrap(pair, difference_of_means, level=level, method=interval)
    return mean_interval(pair[0] - pair[1], level)


def _rows(times: Mapping[str, ArrayLike], budget: ArrayLike) -> dict[str, Array]:
    rows = {name: censored(row, budget) for name, row in times.items()}
    shapes = {name: row.shape for name, row in rows.items()}
    if len(rows) < 2 or len(set(shapes.values())) > 1 or any(r.ndim != 1 for r in rows.values()):
        raise TaskError(
            "A comparison takes two or more entrants with one time for each of the same seeds, got "
            f"{shapes}."
        )
    return rows


def _nearer(gap: Array, tolerance: float) -> Array:
    """Differences moved towards zero by their mean, but by no more than the tolerance."""
    moved = gap - np.clip(gap.mean(), -tolerance, tolerance)
    # of differences that were all the same, rounding is left: it has a sign, and must not be tested
    kept: Array = np.where(np.abs(moved) > 1e-12, moved, 0.0)
    return kept


def _check_options(correction: str, interval: str) -> None:
    for name, given, known in (
        ("correction", correction, ("holm", "joint")),
        ("interval", interval, _METHODS),
    ):
        if given not in known:
            hint = suggest(str(given), known) or f" Known are: {', '.join(known)}."
            raise TaskError(f"No {name} is called {given!r}.{hint}")
