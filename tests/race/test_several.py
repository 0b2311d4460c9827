from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import pytest

from thalweg.errors import TaskError
from thalweg.race.several import sum_up
from thalweg.statistics import pairwise_ratios, profile_scores


def race(task: str, medians: Mapping[str, float | None], **changes: Any) -> dict[str, Any]:
    """A result with what is read of it: medians in steps, ten gradients and 0.1 seconds a step."""
    standings = [
        {
            "entrant": name,
            "steps": steps,
            "gradients": None if steps is None else 10 * steps,
            "seconds": None if steps is None else 0.1 * steps,
            "seconds_a_step": 0.1,
        }
        for name, steps in medians.items()
    ]
    trials = [
        {"entrant": name, "steps": 100, "gradients": 1000, "seconds": 1e9} for name in medians
    ]
    return {
        "schema": "thalweg.race/2",
        "task": task,
        "target": {"value": 0.9},
        "rank_by": "steps",
        "judged_on": "final",
        "standings": standings,
        "trials": trials,
        **changes,
    }


REVERSED = {"adam": [10, 30], "sgd": [20, 10], "lion": [99, 2]}


def two() -> list[dict[str, Any]]:
    return [
        race(task, {name: costs[place] for name, costs in REVERSED.items()})
        for place, task in enumerate(("digits", "parity"))
    ]


def test_the_tables_are_those_of_the_statistics() -> None:
    values = sum_up(two())
    assert values["schema"] == "thalweg.races/1"
    assert values["races"] == two()
    assert values["by"] == "steps"
    assert values["costs"] == {
        "tasks": ["digits", "parity"],
        "entrants": ["adam", "sgd", "lion"],
        "table": [[10, 30], [20, 10], [99, 2]],
    }
    scores = profile_scores(list(REVERSED.values()))
    assert list(values["scores"].values()) == pytest.approx(scores.tolist())
    assert list(values["scores"]) == ["adam", "sgd", "lion"]
    ratio = pairwise_ratios(list(REVERSED.values()), 100)
    assert values["pairwise"]["ratio"] == ratio.tolist()
    assert values["pairwise"]["wins"][0] == [0.5, 0.5, 0.5]
    assert values["profiles"]["factor"][0] == 1
    assert values["profiles"]["share"]["lion"][0] == 0.5
    assert values["profiles"]["unsolved"] == 0


def test_reversals_are_warned_of() -> None:
    (reversal,) = sum_up(two())["reversals"]
    assert reversal["text"] == (
        "adam is above sgd (0.5 to 0.333) only because lion ran: without, it is 0.667 to 0.833"
    )
    assert (reversal["first"], reversal["second"], reversal["without"]) == ("adam", "sgd", ["lion"])


def test_misses_are_none_in_the_table_and_the_budget_in_ratios() -> None:
    races = [race("a", {"adam": 10, "sgd": None}), race("b", {"adam": None, "sgd": None})]
    values = sum_up(races)
    assert values["costs"]["table"] == [[10, None], [None, None]]
    assert values["profiles"]["unsolved"] == 1
    assert values["pairwise"]["ratio"][0][1] == pytest.approx(math.sqrt(10 / 100))
    assert values["pairwise"]["wins"][0][1] == 0.75
    json.dumps(values, allow_nan=False)


def test_seconds_of_a_miss_are_steps_times_those_of_a_step() -> None:
    """And not the time of trials that trained together."""
    values = sum_up([race("a", {"adam": 10, "sgd": None})], by="seconds")
    assert values["pairwise"]["ratio"][0][1] == pytest.approx(1 / 10)
    assert sum_up([race("a", {"adam": 10})], by="gradients")["costs"]["table"] == [[100]]


def test_only_entrants_of_every_task_are_compared() -> None:
    races = [race("a", {"adam": 10, "sgd": 5, "lion": 3}), race("b", {"sgd": 1, "adam": 2})]
    values = sum_up(races)
    assert values["costs"]["entrants"] == ["adam", "sgd"]
    assert values["notes"] == [
        "Only entrants that ran on every task are compared over tasks. Left out: lion."
    ]


def test_without_a_common_entrant_there_is_nothing_to_compare() -> None:
    values = sum_up([race("a", {"adam": 10}), race("b", {"sgd": 1})])
    assert values["costs"] == {"tasks": ["a", "b"], "entrants": [], "table": []}
    assert (values["scores"], values["reversals"]) == ({}, [])
    assert values["notes"][0].endswith("Left out: adam, sgd.")


def test_what_is_not_as_it_should_be_is_said() -> None:
    races = [race("a", {"adam": 10}, judged_on="tuning"), race("b", {"adam": None}, target=None)]
    assert sum_up(races)["notes"] == [
        "a was stopped before its final: its costs are those of tuning.",
        "b has no target: it counts as a task that nobody solved.",
    ]


def test_the_same_task_twice_gets_numbers() -> None:
    races = [race(task, {"adam": 10}) for task in ("a", "b", "a")]
    assert sum_up(races)["costs"]["tasks"] == ["a (1)", "b", "a (2)"]


def test_what_cannot_be_summed_up_is_refused() -> None:
    with pytest.raises(TaskError, match="no races to sum up"):
        sum_up([])
    with pytest.raises(TaskError, match=r"thalweg\.race/1"):
        sum_up([race("a", {"adam": 1}, schema="thalweg.race/1")])
    differ = [race("a", {"adam": 1}), race("b", {"adam": 1}, rank_by="seconds")]
    with pytest.raises(TaskError, match="seconds and steps"):
        sum_up(differ)
    assert sum_up(differ, by="steps")["by"] == "steps"
    with pytest.raises(TaskError, match="Did you mean 'steps'"):
        sum_up(differ, by="step")


def test_a_miss_counts_with_its_own_budget() -> None:
    """Of an entrant whose steps are cheap nothing is known beyond the seconds of its own."""
    one = race("a", {"cheap": None, "dear": 50})
    for standing, pace in zip(one["standings"], (0.001, 0.1), strict=True):
        standing["seconds_a_step"] = pace
        standing["seconds"] = standing["steps"] and standing["steps"] * pace
    ratio = sum_up([one, one], by="seconds")["pairwise"]["ratio"]
    assert ratio[0][1] == pytest.approx(0.1 / 5)  # 100 steps of .001 s against 50 of .1 s
    assert ratio[1][0] == pytest.approx(5 / 0.1)
    assert sum_up([one, one], by="steps")["pairwise"]["ratio"][0][1] == pytest.approx(100 / 50)


def test_a_miss_of_one_that_takes_half_as_many_steps_counts_with_those() -> None:
    one = race("a", {"sam": None, "adam": 80})
    one["trials"][0]["steps"] = 50
    assert sum_up([one])["pairwise"]["ratio"][0][1] == pytest.approx(50 / 80)
    one["trials"][0] |= {"steps": 3, "status": "diverged"}  # it was given as much as the other
    assert sum_up([one])["pairwise"]["ratio"][0][1] == pytest.approx(100 / 80)


@pytest.mark.parametrize(
    "change", [{"standings": 3}, {"trials": [{}]}, {"standings": [{"entrant": 1}]}]
)
def test_what_is_no_result_is_said(change: dict[str, Any]) -> None:
    with pytest.raises(TaskError, match="not the result of a race as this version writes it"):
        sum_up([race("a", {"adam": 1}) | change])
