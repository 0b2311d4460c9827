"""Budget curves against enumeration, and the width of the good learning rates."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest

from tests.statistics.simulated import check_at_least, count
from thalweg.errors import TaskError
from thalweg.statistics import budget_curve, sensitivity, width_interval

INF = np.inf
RESULTS = np.array([3.0, 1.0, 7.0, 4.0, 1.5, 9.0])


@pytest.mark.parametrize("best", [min, max])
@pytest.mark.parametrize("level", [0.5, 0.9])
def test_the_curve_is_that_of_all_choices(best: Callable[..., float], level: float) -> None:
    by = RESULTS if best is min else -RESULTS
    curve = budget_curve(RESULTS, selected_by=by, level=level)
    ends = (1 - level) / 2, (1 + level) / 2
    for k in range(1, 7):
        results = [best(choice) for choice in combinations(RESULTS, k)]
        assert curve.expected[k - 1] == pytest.approx(np.mean(results))
        low, high = np.quantile(results, ends, method="inverted_cdf")
        assert (curve.low[k - 1], curve.high[k - 1]) == (low, high)
    assert curve.trials.tolist() == [1, 2, 3, 4, 5, 6]


def test_what_is_chosen_by_one_number_is_judged_by_another() -> None:
    tuning = np.array([0.3, 0.1, 0.5, 0.2, 0.9])
    judged = np.array([3.0, 6.0, 1.0, 2.0, 4.0])
    curve = budget_curve(judged, selected_by=tuning)
    for k in range(1, 6):
        each = [
            judged[min(choice, key=lambda i: tuning[i])] for choice in combinations(range(5), k)
        ]
        assert curve.expected[k - 1] == pytest.approx(np.mean(each))


def test_of_trials_that_tie_the_first_is_taken() -> None:
    tuning, judged = [1, 2, 1, 2], np.array([5.0, 1.0, 8.0, 2.0])
    curve = budget_curve(judged, selected_by=tuning)
    for k in range(1, 5):
        each = [
            judged[min(choice, key=lambda i: tuning[i])] for choice in combinations(range(4), k)
        ]
        assert curve.expected[k - 1] == pytest.approx(np.mean(each))


def test_what_is_chosen_on_some_seeds_is_judged_on_the_one_left_out() -> None:
    """Against every set of trials, one by one; the last two were placed by the results of the others."""
    rng = np.random.default_rng(0)
    by, results = rng.normal(size=(3, 6)), rng.normal(size=(3, 6))
    results[1, 2] = INF
    curve = budget_curve(results, selected_by=by, drawn=4)
    for k in range(1, 7):
        sets = list(combinations(range(4), k)) if k <= 4 else [tuple(range(k))]
        each = [
            np.median(
                [r[min(chosen, key=lambda i: b[i])] for b, r in zip(by, results, strict=True)]
            )
            for chosen in sets
        ]
        assert curve.expected[k - 1] == pytest.approx(np.mean(each))
        assert curve.missed[k - 1] == pytest.approx(np.mean(np.isinf(each)))


def test_judged_on_seeds_left_out_a_curve_is_not_too_good() -> None:
    """Nine equal points, three seeds, log-normal costs: by the seeds that chose, the best of nine seems
    a fifth better than it is. A median of three costs lies above the true one by chance alone.
    """
    rng = np.random.default_rng(1)
    same, out = [], []
    for _ in range(100):
        costs = np.exp(0.25 * rng.standard_normal((3, 9)))
        same.append(budget_curve(np.median(costs, axis=0)).expected[-1])
        folds = [np.median(np.delete(costs, seed, axis=0), axis=0) for seed in range(3)]
        out.append(budget_curve(costs, selected_by=folds).expected[-1])
    assert np.mean(same) < 0.85
    assert np.mean(out) == pytest.approx(1, abs=0.06)


def test_the_estimate_is_unbiased_where_the_plug_in_is_not() -> None:
    """From n = 8 uniform trials, E[min of 4] = 1/5."""
    rng = np.random.default_rng(0)
    n, k = 8, 4
    samples = np.sort(rng.random((4000, n)), axis=1)
    ours = np.mean([budget_curve(row).expected[k - 1] for row in samples[:500]])
    i = np.arange(1, n + 1)
    plug_in = np.mean(samples @ (((n - i + 1) / n) ** k - ((n - i) / n) ** k))
    assert ours == pytest.approx(0.2, abs=0.015)
    assert abs(plug_in - 0.2) > 0.015


def test_misses_are_infinite_as_long_as_all_may_miss() -> None:
    curve = budget_curve([5.0, INF, 2.0, INF])
    assert np.isinf(curve.expected).tolist() == [True, True, False, False]
    assert curve.expected[3] == 2
    assert curve.high[0] == INF
    finite = budget_curve(np.minimum([5.0, INF, 2.0, INF], 10))
    assert finite.expected[0] == (5 + 10 + 2 + 10) / 4


def test_of_many_trials_many_sets_are_drawn() -> None:
    curve = budget_curve(np.arange(40.0))
    k = np.arange(1, 41)
    assert curve.expected == pytest.approx(
        (41 - (k + 1)) / (k + 1), abs=0.5
    )  # E[min of k of 0 … n-1]


def test_the_width_of_a_parabola_is_known() -> None:
    """cost = 2^((x/w)²) in x = log₁₀ lr stays within a factor 2 for |x| ≤ w."""
    x = np.linspace(-3, 3, 601)
    for w in (0.5, 1.25):
        s = sensitivity(10**x, 10 * 2 ** ((x / w) ** 2))
        assert s.width == pytest.approx(2 * w, abs=1e-6)
        assert s.best == pytest.approx(1)
        assert s.area == pytest.approx(w * (np.pi / np.log(2)) ** 0.5, rel=1e-2)
        assert (s.edge, s.open) == (None, ())


def test_between_points_the_cost_is_a_power_of_the_rate() -> None:
    s = sensitivity([0.01, 0.1, 1, 10], [800, 100, 100, 400])
    assert s.low == pytest.approx(0.1 * 10 ** (-1 / 3))
    assert s.high == pytest.approx(10**0.5)
    assert s.width == pytest.approx(1 + 1 / 3 + 1 / 2)
    wider = sensitivity([0.01, 0.1, 1, 10], [800, 100, 100, 400], factor=3)
    assert wider.width > s.width


def test_a_region_ends_before_a_miss_and_at_the_end_of_the_grid() -> None:
    s = sensitivity([1, 0.1, 0.01], [INF, 100, 110])
    assert (s.low, s.high, s.width) == pytest.approx((0.01, 0.1, 1))
    assert s.open == ("lower",)
    assert s.edge is None


def test_good_points_beyond_a_bad_one_do_not_count() -> None:
    s = sensitivity([0.001, 0.01, 0.1, 1], [100, 900, 90, 900])
    assert s.low > 0.01
    assert s.open == ()


@pytest.mark.parametrize(
    ("costs", "edge"),
    [
        ([1, 2, 3], "lower"),
        ([3, 2, 1], "upper"),
        ([2, 1, 2], None),
        ([1, 1, 2], None),
        ([1, 2, 1], "both"),
        ([5], "single"),
    ],
)
def test_a_best_on_the_edge_is_said(costs: list[float], edge: str | None) -> None:
    assert sensitivity(10.0 ** np.arange(len(costs)), costs).edge == edge


@pytest.mark.parametrize(("width", "spread"), [(0.6, 0.1), (1.2, 0.25)])
def test_the_interval_of_a_width_holds_the_true_one(width: float, spread: float) -> None:
    """A cost that doubles at half the width from the best rate, over two rates a decade and three seeds."""
    rng, lrs = np.random.default_rng(2), 10.0 ** np.arange(-3, 0.1, 0.5)

    def covers() -> bool:
        true = np.log(2) * np.abs(np.log10(lrs) - rng.uniform(-1.75, -1.25)) / (width / 2)
        noise = spread * (rng.standard_normal((3, 1)) + rng.standard_normal((3, len(lrs))))
        interval = width_interval(lrs, np.exp(true + noise))
        assert interval is not None
        return interval.low <= sensitivity(lrs, np.exp(true)).width <= interval.high

    check_at_least(0.95, count(60, covers), 60)


def test_a_width_has_no_interval_where_nothing_shows_the_noise() -> None:
    lrs = [0.01, 0.1, 1]
    assert width_interval(lrs, [[3, 1, 4]]) is None
    assert width_interval(lrs, [[INF, 1, 4], [3, 1, INF]]) is None
    assert width_interval(lrs, [[INF] * 3, [INF] * 3]) is None
    exact = width_interval(lrs, [[8, 1, 8], [16, 2, 16]])  # the seeds differ, the rates do not
    assert exact is not None
    assert exact.low == pytest.approx(exact.high)
    barely = width_interval([0.01, 0.1, 1, 10], [[4, 1, 9, INF], [4, 2, INF, INF]])
    assert barely is not None  # two rates without a miss: the spread may be anything
    assert barely.high <= 2


def test_a_miss_is_worth_its_budget_or_nothing() -> None:
    lrs, costs = [0.1, 1], [50, INF]
    assert sensitivity(lrs, costs).area == pytest.approx(0.5)
    assert sensitivity(lrs, costs, budget=100).area == pytest.approx(0.75)


def test_bad_input_is_refused() -> None:
    with pytest.raises(TaskError, match="NaN"):
        budget_curve([1, np.nan])
    with pytest.raises(TaskError, match="drawn=3"):
        budget_curve([1, 2], drawn=3)
    with pytest.raises(TaskError, match="Every learning rate"):
        sensitivity([0.1, 1], [INF, INF])
    with pytest.raises(TaskError, match="once each"):
        sensitivity([0.1, 0.1], [1, 2])
    with pytest.raises(TaskError, match="factor"):
        sensitivity([0.1, 1], [1, 2], factor=0.5)
    with pytest.raises(TaskError, match="positive"):
        sensitivity([0.1, 1], [1, -2])
    with pytest.raises(TaskError, match="shapes"):
        sensitivity([0.1, 1], [1])
