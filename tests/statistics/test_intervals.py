"""Intervals of medians and means: exact levels, by theory, by simulation and against the tests."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from tests.statistics.simulated import check_rate, count
from thalweg.errors import TaskError
from thalweg.statistics import (
    Interval,
    attainable,
    mean_interval,
    median_interval,
    paired_p,
    ratio_interval,
)


@pytest.mark.parametrize("n", [3, 5, 6, 7, 9, 12, 25])
@pytest.mark.parametrize("level", [0.5, 0.8, 0.95])
def test_the_median_lies_between_order_statistics_of_the_binomial(n: int, level: float) -> None:
    interval = median_interval(np.arange(1.0, n + 1), level)
    k = int(interval.low)
    assert interval.high == n + 1 - k
    assert interval.attained == pytest.approx(1 - 2 * stats.binom.cdf(k - 1, n, 0.5))
    if k > 1:
        assert interval.attained >= level
    one_deeper = 1 - 2 * stats.binom.cdf(k, n, 0.5)
    assert one_deeper < level or k + 1 > (n + 1) // 2


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
    assert (interval.estimate, interval.low, interval.high) == (4, 1, np.inf)


@pytest.mark.parametrize("n", [3, 6, 9])
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
    d = [0.3, -1.0, 2.2, 0.9, 1.7, 0.1, 0.6]
    subsets = [[d[i] for i in range(7) if 1 << i & bits] for bits in range(1, 128)]
    means = sorted(np.mean(subset) for subset in subsets)
    interval = mean_interval(d, level=0.9)
    assert (interval.low, interval.high) == pytest.approx((means[5], means[-6]))
    assert interval.attained == 1 - 12 / 128


@pytest.mark.parametrize("n", [3, 6, 8, 18])
def test_interval_and_sign_flip_test_say_the_same(n: int) -> None:
    rng = np.random.default_rng(n)
    told = 0
    for _ in range(60):
        d = rng.normal(0.7, 1, size=n)
        interval = mean_interval(d)
        significant = paired_p(d, np.zeros(n)) <= 1 - interval.attained + 1e-12
        assert significant == (0.0 not in interval)
        told += significant
    assert 0 < told < 60


def test_few_seeds_say_how_little_they_can() -> None:
    assert [attainable(n) for n in (1, 2, 3, 5, 6)] == [0, 0.5, 0.75, 0.9375, 0.96875]
    three = ratio_interval([2, 3, 4], [1, 1, 1])
    assert three.attained == 0.75
    assert three.too_few
    assert (three.low, three.high) == pytest.approx((2, 4))
    assert not ratio_interval([2] * 6, [1] * 6).too_few
    assert ratio_interval([2], [1]).attained == 0


def test_bad_input_is_refused() -> None:
    with pytest.raises(TaskError, match="level"):
        median_interval([1, 2], level=95)
    with pytest.raises(TaskError, match="one row"):
        median_interval([[1, 2]])
    with pytest.raises(TaskError, match="finite"):
        mean_interval([1, np.inf])
    assert 1.0 not in Interval(2, 1.5, 3, 0.95, 0.95)
