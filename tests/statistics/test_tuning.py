"""Budget curves against enumeration, and the width of the good learning rates."""

from __future__ import annotations

from itertools import combinations, permutations

import numpy as np
import pytest

from thalweg.errors import TaskError
from thalweg.statistics import budget_curve, sensitivity

INF = np.inf
RESULTS = np.array([3.0, 1.0, 7.0, 4.0, 1.5, 9.0])


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("level", [0.5, 0.9])
def test_the_curve_is_that_of_all_choices(mode: str, level: float) -> None:
    curve = budget_curve(RESULTS, mode=mode, level=level)  # type: ignore[arg-type]
    best = min if mode == "min" else max
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


def test_trials_that_tie_are_taken_in_any_order() -> None:
    tuning, judged = [1, 2, 1, 2], np.array([5.0, 1.0, 8.0, 2.0])
    curve = budget_curve(judged, selected_by=tuning)
    for k in range(1, 5):
        each = [judged[min(order[:k], key=lambda i: tuning[i])] for order in permutations(range(4))]
        assert curve.expected[k - 1] == pytest.approx(np.mean(each))


def test_the_estimate_is_unbiased_where_the_plug_in_is_not() -> None:
    """From n = 8 uniform trials, E[min of 4] = 1/5."""
    rng = np.random.default_rng(0)
    n, k = 8, 4
    samples = np.sort(rng.random((4000, n)), axis=1)
    ours = np.mean([budget_curve(row).expected[k - 1] for row in samples[:1000]])
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


def test_many_trials_do_not_overflow() -> None:
    curve = budget_curve(np.arange(300.0))
    k = np.arange(1, 301)
    assert curve.expected == pytest.approx((301 - (k + 1)) / (k + 1))  # E[min of k of 0 … n-1]


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


def test_a_miss_is_worth_its_budget_or_nothing() -> None:
    lrs, costs = [0.1, 1], [50, INF]
    assert sensitivity(lrs, costs).area == pytest.approx(0.5)
    assert sensitivity(lrs, costs, budget=100).area == pytest.approx(0.75)


def test_bad_input_is_refused() -> None:
    with pytest.raises(TaskError, match="NaN"):
        budget_curve([1, np.nan])
    with pytest.raises(TaskError, match="mode='least'"):
        budget_curve([1, 2], mode="least")  # type: ignore[arg-type]
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
