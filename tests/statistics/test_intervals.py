"""Intervals of medians and means: exact levels, by theory, by simulation and against the tests."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from tests.statistics.simulated import check_rate, count
from thalweg.errors import TaskError
from thalweg.statistics import Interval, attainable, median_interval, paired_differences


def mean_interval(d: np.ndarray, level: float = 0.95) -> Interval:
    """The interval of the mean of differences: that of two entrants."""
    (pair,) = paired_differences({"d": d, "zero": np.zeros(len(d))}, alpha=1 - level)
    return Interval(pair.estimate, pair.low, pair.high, level, pair.attained)


def covered_by_order_statistics(n: int, k: int) -> float:
    return float(1 - 2 * stats.binom.cdf(k - 1, n, 0.5))


@pytest.mark.parametrize("n", [3, 5, 6, 7, 8, 9, 12, 25])
@pytest.mark.parametrize("level", [0.5, 0.8, 0.95])
def test_the_median_lies_between_order_statistics_of_the_binomial(n: int, level: float) -> None:
    """Each end lies between two neighbours, the outer of which cover the level and the inner do not."""
    interval = median_interval(np.arange(1.0, n + 1), level)
    k = int(interval.low)
    assert interval.high == pytest.approx(n + 1 - interval.low)
    if interval.attained < level:
        assert (interval.low, interval.high, interval.attained) == (1, n, attainable(n))
        return
    assert interval.attained == level
    assert covered_by_order_statistics(n, k) >= level > covered_by_order_statistics(n, k + 1)


@pytest.mark.parametrize("n", [8, 12, 25])
def test_the_outer_order_statistics_are_those_of_scipy(n: int) -> None:
    """SciPy has the interval of order statistics, between which ours interpolates, and not the latter."""
    times = np.sort(np.random.default_rng(n).lognormal(size=n))
    theirs = stats.quantile_test(times, q=np.median(times)).confidence_interval(0.95)
    ours = median_interval(times)
    outer, inner = int(np.searchsorted(times, theirs.low)), int(np.searchsorted(times, theirs.high))
    assert times[outer] <= ours.low < times[outer + 1]
    assert times[inner - 1] < ours.high <= times[inner]


def test_where_order_statistics_cover_the_level_exactly_they_are_the_interval() -> None:
    times = np.arange(1.0, 9)
    for k in (1, 2, 3):
        interval = median_interval(times, covered_by_order_statistics(8, k))
        assert (interval.low, interval.high) == pytest.approx((k, 9 - k))


@pytest.mark.parametrize("shape", ["normal", "skewed", "heavy tails"])
def test_of_eight_seeds_the_median_interval_is_narrow_and_covers(shape: str) -> None:
    """94 to 95 %, where the order statistics cover 99 %, and a third narrower."""
    rng = np.random.default_rng(0)
    draw = {
        "normal": lambda: 10 + rng.standard_normal(8),
        "skewed": lambda: np.exp(rng.standard_normal(8)),
        "heavy tails": lambda: 1000 + rng.standard_t(2, 8),
    }[shape]
    centre = {"normal": 10, "skewed": 1, "heavy tails": 1000}[shape]
    times = [draw() for _ in range(1500)]
    found = [median_interval(row) for row in times]
    check_rate(0.945, sum(centre in interval for interval in found), 1500)
    narrower = [(i.high - i.low) / np.ptp(row) for i, row in zip(found, times, strict=True)]
    assert np.median(narrower) < 0.7


@pytest.mark.parametrize("n", [3, 6, 11])
def test_the_median_interval_covers_as_often_as_it_says_with_misses_too(n: int) -> None:
    rng = np.random.default_rng(n)
    attained = median_interval(np.ones(n)).attained

    def covers() -> bool:
        times = rng.exponential(size=n)  # skewed, with a fifth of misses
        return np.log(2) in median_interval(np.where(times > np.log(5), np.inf, times))

    check_rate(attained, count(1500, covers), 1500)


def test_a_median_with_many_misses_has_no_upper_bound() -> None:
    interval = median_interval([1, 2, 3, 4, np.inf, np.inf, np.inf])
    assert (interval.estimate, interval.high) == (4, np.inf)
    assert 1 < interval.low < 2


@pytest.mark.parametrize("n", [6, 9])
def test_the_mean_interval_covers_as_often_as_it_says(n: int) -> None:
    """For a symmetric distribution with heavy tails, where a t interval would be wrong."""
    rng = np.random.default_rng(n)
    attained = mean_interval(np.arange(1.0, n + 1)).attained
    assert attained == pytest.approx(1 - 2 * max(1, int(0.025 * 2**n)) / 2**n)
    hits = count(1500, lambda: 2.0 in mean_interval(2 + rng.standard_cauchy(n)))
    check_rate(attained, hits, 1500)


def test_beyond_enumeration_the_mean_interval_still_covers() -> None:
    rng = np.random.default_rng(0)
    hits = count(400, lambda: 0.0 in mean_interval(rng.laplace(size=20)))
    check_rate(0.95, hits, 400)


def test_the_mean_interval_is_made_of_subset_means() -> None:
    d = np.array([0.3, -1.0, 2.2, 0.9, 1.7, 0.1, 0.6])
    subsets = [[d[i] for i in range(7) if 1 << i & bits] for bits in range(1, 128)]
    means = sorted(np.mean(subset) for subset in subsets)
    interval = mean_interval(d, level=0.9)
    assert (interval.low, interval.high) == pytest.approx((means[5], means[-6]))
    assert interval.attained == 1 - 12 / 128


@pytest.mark.parametrize("n", [6, 8, 12])
def test_interval_and_sign_flip_test_say_the_same(n: int) -> None:
    rng = np.random.default_rng(n)
    told = 0
    for _ in range(60):
        d = rng.normal(0.7, 1, size=n)
        interval = mean_interval(d)
        theirs = stats.permutation_test(
            (d,), np.mean, permutation_type="samples", n_resamples=np.inf, vectorized=True
        )
        significant = theirs.pvalue <= 1 - interval.attained + 1e-12
        assert significant == (0.0 not in interval)
        told += significant
    assert 0 < told < 60


def test_few_seeds_say_how_little_they_can() -> None:
    assert [attainable(n) for n in (1, 2, 3, 5, 6)] == [0, 0.5, 0.75, 0.9375, 0.96875]
    three = median_interval([2, 3, 4])
    assert (three.low, three.high, three.attained) == (2, 4, 0.75)
    assert three.too_few
    assert not median_interval([2, 3, 4, 5, 6, 7]).too_few
    assert median_interval([2]).attained == 0


def test_bad_input_is_refused() -> None:
    with pytest.raises(TaskError, match="level"):
        median_interval([1, 2], level=95)
    with pytest.raises(TaskError, match="one row"):
        median_interval([[1, 2]])
    with pytest.raises(TaskError, match="finite"):
        mean_interval(np.array([1, np.inf]))
    assert 1.0 not in Interval(2, 1.5, 3, 0.95, 0.95)
