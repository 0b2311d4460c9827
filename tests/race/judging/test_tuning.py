from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from tests.race.recorded import GOAL, NO_GOAL, finals, record, trials
from thalweg.race.judging.judge import judge
from thalweg.race.trials.records import TrialRecord

GRID = {0.01: None, 0.1: 100, 1.0: 50, 10.0: 400}


def tuned(grid: dict[float, float | None], name: str = "adam") -> list[TrialRecord]:
    return [r for lr, steps in grid.items() for r in trials(name, [steps] * 3, lr=lr)]


def test_sensitivity_is_of_the_median_costs_of_tuning() -> None:
    records = [*tuned(GRID), *finals("adam", [777] * 8, lr=1.0)]
    measured = judge(records, ["adam"], GOAL).sensitivities["adam"]
    found = measured.found
    assert (found.best, found.cost, found.edge, found.open) == (1.0, 50, None, ())
    assert found.low == pytest.approx(0.1)  # 100 is just a factor of two
    assert found.high == pytest.approx(10 ** (math.log(2) / math.log(8)))
    assert measured.width is not None  # no seed differs from another: there is no noise
    ends = (measured.width.estimate, measured.width.low, measured.width.high)
    assert ends == pytest.approx((found.width,) * 3)
    by_gradients = judge(records, ["adam"], GOAL, "gradients").sensitivities["adam"].found
    assert by_gradients.cost == 50


@pytest.mark.parametrize("search", ["halving", "tpe"])
def test_a_search_that_did_not_look_everywhere_alike_shows_no_sensitivity(search: str) -> None:
    judgement = judge(tuned(GRID), ["adam"], GOAL, search=search)
    assert (judgement.sensitivities, judgement.tuning_curves) == ({}, {})
    assert judge(tuned(GRID), ["adam"], GOAL, search="quasi-random").sensitivities


def test_sensitivity_needs_rates_alone_and_one_that_reached() -> None:
    one = tuned({0.1: 100})
    missed = tuned({0.1: None, 1.0: None})
    both = [
        *trials("adam", [9] * 3, lr=0.1, hyperparameters={"beta": 0.5}),
        *trials("adam", [7] * 3, lr=0.2, hyperparameters={"beta": 0.9}),
    ]
    for records in (one, missed, both):
        assert judge(records, ["adam"], GOAL).sensitivities == {}
    assert judge(tuned(GRID), ["adam"], NO_GOAL).sensitivities == {}


def test_the_tuning_curve_is_the_mean_over_all_choices_of_points() -> None:
    """Against every choice of k points, one by one."""
    judgement = judge(tuned(GRID), ["adam"], GOAL)
    curve = judgement.tuning_curves["adam"]
    costs = [math.inf if steps is None else steps for steps in GRID.values()]
    for k in range(1, 5):
        best = [min(choice) for choice in itertools.combinations(costs, k)]
        assert curve.curve.expected[k - 1] == pytest.approx(np.mean(best))
        assert curve.curve.missed[k - 1] == pytest.approx(np.mean(np.isinf(best)))
    assert curve.of == "steps"
    (row,) = judgement.to_dict()["budget_curves"]
    assert (row["trials"], row["expected"][0], row["expected"][-1]) == ([1, 2, 3, 4], None, 50)


def test_the_tuning_curve_is_of_the_point_with_the_best_score_on_the_other_seeds() -> None:
    """Of all three points the first is chosen without the first or the second seed, the last without the
    third, on which it misses.
    """
    records = [
        *trials("adam", [500, 100, 110], lr=0.1),
        *trials("adam", [700, 700, 700], lr=1.0),
        *trials("adam", [90, 200, None], lr=2.0),
    ]
    found = judge(records, ["adam"], GOAL).tuning_curves["adam"]
    assert found.held_out
    one, two = (110 + 700 + 200) / 3, (110 + 500 + 700) / 3
    assert found.curve.expected.tolist() == pytest.approx([one, two, 500])
    assert found.curve.missed.tolist() == [0, 0, 0]


def test_points_that_a_grid_placed_by_its_results_are_not_drawn() -> None:
    grid = {0.1: 400, 1.0: 300, 10.0: 500}
    records = [*tuned({3.16: 50, **grid}), *finals("adam", [777] * 8, lr=3.16)]
    curve = judge(records, ["adam"], GOAL, grids={"adam": tuple(grid)}).tuning_curves["adam"].curve
    assert curve.expected.tolist() == pytest.approx([400, (300 + 300 + 400) / 3, 300, 50])
    drawn = judge(records, ["adam"], GOAL).tuning_curves["adam"].curve
    assert drawn.expected[0] < 400


def test_a_single_tuning_seed_judges_what_it_chose_and_the_curve_says_so() -> None:
    records = [*trials("adam", [80], lr=0.1), *trials("adam", [40], lr=1.0)]
    judgement = judge(records, ["adam"], GOAL)
    assert not judgement.tuning_curves["adam"].held_out
    assert judgement.tuning_curves["adam"].curve.expected.tolist() == [60, 40]
    assert judgement.sensitivities["adam"].width is None  # one seed shows no spread


def test_without_a_target_the_curve_is_of_final_figures() -> None:
    """A diverged point counts as the worst; an entrant of nothing else has no curve."""
    records = [
        *trials("adam", [None] * 3, lr=0.1, final=0.8),
        *trials("adam", [None] * 3, lr=1.0, final=0.6),
        *trials("adam", [None] * 3, lr=9.0, status="diverged"),
        *trials("sgd", [None] * 3, lr=1.0, status="diverged"),
    ]
    curves = judge(records, ["adam", "sgd", "late"], NO_GOAL).tuning_curves
    assert list(curves) == ["adam"]
    assert curves["adam"].of == "final"
    expected = [2 / 3, (0.8 + 0.8 + 0.6) / 3, 0.8]
    assert curves["adam"].curve.expected.tolist() == pytest.approx(expected)


def test_what_was_spent_adds_up_everything() -> None:
    records = [
        *trials("adam", [9] * 3, epochs=2, budget=100, gradients_a_step=2),
        *trials("adam", [9] * 2, epochs=10, lr=1.0),
        *finals("adam", [9] * 8, step_seconds=0.02),
        record("sgd", 0, None, status="failed", budget=0),
    ]
    adam, sgd = judge(records, ["adam", "sgd"], GOAL).spent
    assert adam["tuning"] == {"trials": 5, "gradients": 2600, "seconds": pytest.approx(23)}
    assert adam["final"] == {"trials": 8, "gradients": 8000, "seconds": pytest.approx(160)}
    assert adam["seconds_a_step"] == pytest.approx(0.02)  # the median of thirteen
    assert (sgd["tuning"]["trials"], sgd["final"]["trials"], sgd["seconds_a_step"]) == (1, 0, None)


def test_every_point_at_every_length_has_a_row() -> None:
    records = [*tuned(GRID), *trials("adam", [9], epochs=2), *finals("adam", [9] * 8)]
    rows = judge(records, ["adam"], GOAL).to_dict()["tuning"]
    assert [(row["lr"], row["epochs"], row["trials"], row["steps"]) for row in rows] == [
        (0.01, 10, 3, None),
        (0.1, 2, 1, 9),
        (0.1, 10, 3, 100),
        (1.0, 10, 3, 50),
        (10.0, 10, 3, 400),
    ]
