"""The bootstrap: every resample where they are few, scipy's numbers where they are many."""

from __future__ import annotations

from collections import Counter
from itertools import product

import numpy as np
import pytest
from scipy import stats

from tests.statistics.simulated import check_at_least, count
from thalweg.errors import TaskError
from thalweg.statistics import bootstrap
from thalweg.statistics.resample import resamples

PAIR = np.array([[20.0, 22.0, 27.0, 24.0], [10.0, 11.0, 12.0, 13.0]])


def median(times: np.ndarray) -> np.ndarray:
    return np.median(times, axis=-1)


def ratio_of_geometric_means(pair: np.ndarray) -> np.ndarray:
    return np.exp((np.log(pair[0]) - np.log(pair[1])).mean(axis=-1))


def difference_of_means(pair: np.ndarray) -> np.ndarray:
    return (pair[0] - pair[1]).mean(axis=-1)


def difference_of_medians(pair: np.ndarray) -> np.ndarray:
    return np.median(pair[0], axis=-1) - np.median(pair[1], axis=-1)


def test_all_resamples_are_listed_with_their_probability() -> None:
    listed = resamples((2, 3), draws=1, seed=0)
    assert listed.exact
    brute: Counter[tuple[int, ...]] = Counter()
    for left, right in product(product(range(2), repeat=2), product(range(2, 5), repeat=3)):
        brute[(*sorted(left), *sorted(right))] += 1
    ours = {tuple(row.tolist()): w for row, w in zip(listed.index, listed.weight, strict=True)}
    assert ours == pytest.approx({draw: times / (4 * 27) for draw, times in brute.items()})


@pytest.mark.parametrize("level", [0.6, 0.8, 0.9, 0.95])
@pytest.mark.parametrize("statistic", [ratio_of_geometric_means, difference_of_medians])
def test_the_percentile_interval_of_few_seeds_is_that_of_all_resamples(
    statistic: object, level: float
) -> None:
    every = np.array(list(product(range(4), repeat=4)))
    replicates = statistic(PAIR[:, every])  # type: ignore[operator]
    ends = (1 - level) / 2, (1 + level) / 2
    low, high = np.quantile(replicates, ends, method="inverted_cdf")
    interval = bootstrap(PAIR, statistic, level=level, method="percentile")  # type: ignore[arg-type]
    assert (interval.low, interval.high) == pytest.approx((low, high))
    assert interval.attained == min(level, 0.875)


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9])
def test_the_bca_interval_of_few_seeds_is_that_of_all_resamples(level: float) -> None:
    """On skewed data, where bias and skew move both ends."""
    data = np.array([[0.1, 0.3, 0.4, 1.1, 2.9, 9.0], [0.0] * 6])
    every = np.array(list(product(range(6), repeat=6)))
    replicates = difference_of_means(data[:, every]).round(12)
    estimate = difference_of_means(data).round(12)
    z0 = stats.norm.ppf((np.mean(replicates < estimate) + np.mean(replicates <= estimate)) / 2)
    left_out = np.array([difference_of_means(np.delete(data, i, axis=1)) for i in range(6)])
    U = left_out.mean() - left_out
    skew = np.sum(U**3) / (6 * np.sum(U**2) ** 1.5)

    def ends(z0: float, a: float) -> tuple[float, float]:
        z = z0 + stats.norm.ppf([(1 - level) / 2, (1 + level) / 2])
        shares = stats.norm.cdf(z0 + z / (1 - a * z))
        return tuple(np.quantile(replicates, shares, method="inverted_cdf"))

    interval = bootstrap(data, difference_of_means, level=level)
    assert (interval.low, interval.high) == pytest.approx(ends(z0, skew), rel=1e-9)
    for wrong in (ends(0, skew), ends(z0, 0), ends(z0, -skew), ends(-z0, skew)):
        assert (interval.low, interval.high) != pytest.approx(wrong, rel=1e-9)


def test_an_end_that_falls_on_a_step_of_the_distribution_takes_it() -> None:
    interval = bootstrap([0.0, 1.0], lambda x: x.mean(axis=-1), level=0.5, method="percentile")
    assert (interval.low, interval.high) == (0, 0.5)


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_many_seeds_give_the_interval_of_scipy(method: str) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.lognormal(1, 0.5, 40), rng.lognormal(0.5, 0.5, 40)

    def theirs(x: np.ndarray, y: np.ndarray, axis: int = -1) -> np.ndarray:
        return np.exp(np.log(x / y).mean(axis=axis))

    reference = stats.bootstrap(
        (a, b), theirs, paired=True, method=method, n_resamples=20_000, rng=np.random.default_rng(1)
    ).confidence_interval
    ours = bootstrap([a, b], ratio_of_geometric_means, method=method, draws=20_000)  # type: ignore[arg-type]
    width = reference.high - reference.low
    assert ours.low == pytest.approx(reference.low, abs=0.04 * width)
    assert ours.high == pytest.approx(reference.high, abs=0.04 * width)


def test_pairs_stay_together() -> None:
    """What both entrants share cancels in every resample: the ratio is exactly 2 in all of them."""
    shared = np.array([1.0, 7.0, 50.0, 3.0, 9.0])
    interval = bootstrap([2 * shared, shared], ratio_of_geometric_means)
    assert (interval.low, interval.high) == pytest.approx((2, 2))


def test_strata_are_drawn_from_separately() -> None:
    """Two tasks whose seeds do not vary: without strata their mixture would."""
    data = [[1.0, 1, 1, 5, 5, 5], [0.0] * 6]
    apart = bootstrap(data, difference_of_means, strata=[3, 3])
    mixed = bootstrap(data, difference_of_means)
    assert (apart.low, apart.high) == (3, 3)
    assert mixed.high - mixed.low > 1
    many = bootstrap([[1.0] * 12 + [5.0] * 15, [0.0] * 27], difference_of_means, strata=[12, 15])
    assert many.low == many.high == pytest.approx(many.estimate)


def test_many_seeds_are_drawn_from_the_seed() -> None:
    data = np.random.default_rng(0).normal(size=(2, 30))
    first, again, other = (
        bootstrap(data, difference_of_means, draws=500, seed=seed) for seed in (0, 0, 1)
    )
    assert first == again != other


def test_misses_give_intervals_without_an_end() -> None:
    interval = bootstrap([3, 4, 5, 6, np.inf, np.inf], median)
    assert interval.estimate == 5.5
    assert np.isfinite(interval.low)
    assert interval.high == np.inf


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_with_many_seeds_the_bootstrap_covers(method: str) -> None:
    rng = np.random.default_rng(5)

    def covers() -> bool:
        logs = rng.normal(0, 0.4, size=(2, 40))
        pair = np.exp([logs[0] + 0.5, logs[1]])
        return np.exp(0.5) in bootstrap(pair, ratio_of_geometric_means, method=method, draws=999)  # type: ignore[arg-type]

    check_at_least(0.94, count(300, covers), 300)


@pytest.mark.parametrize("method", ["percentile", "bca"])
@pytest.mark.parametrize("n", [3, 5])
def test_with_few_seeds_it_covers_less_than_the_level_and_says_so(method: str, n: int) -> None:
    rng = np.random.default_rng(6)
    data = rng.normal(size=(600, 2, n))
    intervals = [bootstrap(pair, difference_of_means, method=method) for pair in data]  # type: ignore[arg-type]
    covered = np.mean([0.0 in interval for interval in intervals])
    assert intervals[0].attained == 1 - 2.0 ** (1 - n) < 0.95
    assert covered <= intervals[0].attained + 0.04


def test_bad_input_is_refused() -> None:
    with pytest.raises(TaskError, match="'bca'"):
        bootstrap([1, 2], median, method="bcaa")  # type: ignore[arg-type]
    with pytest.raises(TaskError, match="strata"):
        bootstrap([1, 2], median, strata=[1, 2])
    with pytest.raises(TaskError, match="NaN"):
        bootstrap([1, np.nan], median)
    with pytest.raises(TaskError, match="last axis"):
        bootstrap([1, 2], lambda data: np.float64(data.mean()))
