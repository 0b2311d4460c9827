"""Censored times: the survival curve, its median and restricted mean, against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from thalweg.errors import TaskError
from thalweg.statistics import censored, kaplan_meier, restricted

INF = np.inf


def test_times_beyond_the_budget_are_misses() -> None:
    assert censored([3, 10, 10.5, INF], 10).tolist() == [3, 10, INF, INF]
    assert censored([[3, 12], [4, 5]], [10, 20]).tolist() == [[3, 12], [4, 5]]
    assert restricted([3, 10.5, INF], 10).tolist() == [3, 10, 10]


@pytest.mark.parametrize("wrong", [[1, float("nan")], [0, 1], [-1, 2], [], 3.0])
def test_times_that_are_none_are_refused(wrong: object) -> None:
    with pytest.raises(TaskError):
        censored(wrong)  # type: ignore[arg-type]


def test_a_miss_without_a_budget_has_no_restricted_time() -> None:
    with pytest.raises(TaskError, match="give the budget"):
        restricted([1, INF], INF)


def test_the_curve_of_a_textbook() -> None:
    """Remission of leukemia under 6-MP (Freireich et al. 1963), with the estimate in every textbook."""
    weeks = [6, 6, 6, 6, 7, 9, 10, 10, 11, 13, 16, 17, 19, 20, 22, 23, 25, 32, 32, 34, 35]
    relapsed = [1, 1, 1, 0, 1, 0, 1, 0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0]
    curve = kaplan_meier(weeks, relapsed)
    assert curve.time.tolist() == [6, 7, 10, 13, 16, 22, 23]
    assert curve.share.round(3).tolist() == [0.857, 0.807, 0.753, 0.690, 0.627, 0.538, 0.448]
    assert curve.median == 23


def test_the_curve_is_that_of_scipy() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        time = rng.integers(1, 9, size=12).astype(float)
        arrived = rng.random(12) < 0.6
        arrived[0] = True
        curve = kaplan_meier(time, arrived)
        data = stats.CensoredData.right_censored(time, ~arrived)
        theirs = stats.ecdf(data).sf
        for t in np.arange(0.5, 9, 0.5):
            assert curve.at(t) == pytest.approx(theirs.evaluate(t), abs=1e-12)


def test_without_censoring_it_is_the_sample() -> None:
    times = [5.0, 3.0, 8.0, 4.0, 9.0, 4.0]
    curve = kaplan_meier(times)
    assert curve.median == np.median(times)
    assert curve.restricted_mean(9) == pytest.approx(np.mean(times))
    assert curve.restricted_mean(6) == pytest.approx(np.minimum(times, 6).mean())
    assert curve.restricted_mean(100) == pytest.approx(np.mean(times))


@pytest.mark.parametrize(
    ("times", "median"),
    [
        ([120, INF, 80], 120),
        ([120, INF, INF], INF),
        ([120, INF], INF),  # half missed: nothing finite can be claimed
        ([3, 5, 8, INF], 6.5),
        ([INF, INF], INF),
    ],
)
def test_the_median_is_infinite_where_half_missed(times: list[float], median: float) -> None:
    assert kaplan_meier(times).median == median == np.median(times)


def test_with_one_budget_the_restricted_mean_is_the_mean_of_restricted_times() -> None:
    rng = np.random.default_rng(1)
    times = rng.lognormal(3, 1, size=30)
    mean = kaplan_meier(censored(times, 25)).restricted_mean(25)
    assert mean == pytest.approx(restricted(times, 25).mean())


def test_the_mean_is_not_asked_for_where_nobody_watched() -> None:
    curve = kaplan_meier([3, 5, 8], [True, True, False])
    assert curve.restricted_mean(8) == pytest.approx((3 + 5 + 8) / 3)
    with pytest.raises(TaskError, match="at most 8"):
        curve.restricted_mean(9)
    with pytest.raises(TaskError, match="positive"):
        kaplan_meier([3, INF]).restricted_mean(INF)


def test_bad_input_is_refused() -> None:
    with pytest.raises(TaskError, match="infinity"):
        kaplan_meier([3, INF], [True, True])
    with pytest.raises(TaskError, match="shapes"):
        kaplan_meier([3, 4], [True])
    with pytest.raises(TaskError, match="quantile"):
        kaplan_meier([3, 4]).quantile(1)
