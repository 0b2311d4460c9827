from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.race.recorded import NO_GOAL, curved, record
from thalweg.errors import TaskError
from thalweg.hashing import hash_of
from thalweg.race.judging.reached import Goal
from thalweg.race.judging.target import (
    SCHEMA,
    FoundTarget,
    TargetFile,
    find_target,
)
from thalweg.race.trials.records import TrialRecord

LOSS = Goal("loss", "min")
FOUND = FoundTarget(0.9, "accuracy", "max", "the median of …", of="a1")


def point(name: str, best: list[float], lr: float = 0.1, **options: Any) -> list[TrialRecord]:
    """Trials whose best figure lies in their first half, and whose final one is worse."""
    return [
        curved(name, [0.1, figure, 0.15, 0.2], seed=seed, lr=lr, **options)
        for seed, figure in enumerate(best)
    ]


def test_it_is_the_median_of_the_best_figures_of_the_best_baseline_at_its_best_point() -> None:
    records = [
        *point("adam", [0.5, 0.6, 0.9], lr=0.1),  # median 0.6
        *point("adam", [0.1, 0.5, 0.99], lr=1.0),  # the luckiest seed, not the best point
        *point("momentum", [0.7, 0.65, 0.3]),  # median 0.65: the best baseline
        *point("lion", [0.9, 0.9, 0.9]),  # no baseline
    ]
    found = find_target(records, ["lion", "adam", "momentum"], NO_GOAL, of="a1")
    assert found is not None
    assert (found.value, found.metric, found.direction, found.of) == (0.65, "accuracy", "max", "a1")
    assert found.how == (
        "the median over 3 tuning seeds of the best validation accuracy that momentum reached at "
        "learning rate 0.1 within the first 75 % of its trials, the best of 2 baselines: adam, "
        "momentum"
    )


def test_of_a_loss_it_is_the_least() -> None:
    records = [
        curved("adam", [3.0, low, 2.0, 0.1], seed=s) for s, low in enumerate([0.7, 0.4, 0.5])
    ]
    found = find_target(records, ["adam"], LOSS, of="a1")
    assert found is not None
    assert found.value == 0.5  # the last figure comes after three quarters
    whole = find_target(records, ["adam"], LOSS, of="a1", within=1)
    assert whole is not None
    assert whole.value == 0.1


def test_without_a_baseline_everyone_sets_it() -> None:
    found = find_target(point("mine", [0.6]), ["mine", "yours"], NO_GOAL, of="a1")
    assert found is not None
    assert found.value == 0.6
    assert "1 tuning seed of" in found.how
    assert found.goal == Goal("accuracy", "max", 0.6)


def test_final_trials_and_lost_ones_do_not_set_it() -> None:
    lost = point("adam", [0.9, 0.9], status="diverged")
    one = curved("adam", [0.1, 0.4, 0.2, 0.2], seed=2)
    final = point("adam", [0.99] * 3, stage="final")
    assert find_target([*lost, *final], ["adam"], NO_GOAL, of="a1") is None
    assert find_target([*lost, one, *final], ["adam"], NO_GOAL, of="a1") is None
    assert find_target([], ["adam"], NO_GOAL, of="a1") is None
    mostly = [lost[0], one, curved("adam", [0.1, 0.6, 0.2, 0.2], seed=3)]
    found = find_target(mostly, ["adam"], NO_GOAL, of="a1")
    assert found is not None
    assert found.value == 0.4


def test_figures_that_are_not_finite_are_passed_over() -> None:
    found = find_target([curved("adam", [None, 0.3, None, 0.1])], ["adam"], NO_GOAL, of="a1")
    assert found is not None
    assert found.value == 0.3


def test_a_trial_evaluated_only_at_its_end_sets_it_there() -> None:
    found = find_target([record("adam", 0, None)], ["adam"], NO_GOAL, of="a1")
    assert found is not None
    assert found.value == 0.5


@pytest.mark.parametrize("goal", [NO_GOAL, LOSS])
@pytest.mark.parametrize("figure", [0.9472226, 0.9472224, 12345678.9, 3.3333333e-9, -0.12345678])
def test_it_has_six_digits_and_whoever_set_it_reaches_it(goal: Goal, figure: float) -> None:
    found = find_target([curved("adam", [figure] * 4)], ["adam"], goal, of="a1")
    assert found is not None
    assert float(f"{found.value:.6g}") == found.value
    assert found.goal.is_met(figure)
    assert found.value == pytest.approx(figure, rel=1e-5)


@pytest.mark.parametrize("within", [0, 1.1])
def test_a_share_that_is_none_is_refused(within: float) -> None:
    with pytest.raises(TaskError, match="share"):
        find_target([], ["adam"], NO_GOAL, of="a1", within=within)


def test_what_it_was_found_on_tells_targets_apart() -> None:
    what = {"data": "x", "budget": {"epochs": 3}, "baselines": ["adam"]}
    assert hash_of(what) == hash_of(dict(reversed(what.items())))
    assert hash_of(what) != hash_of({**what, "budget": {"epochs": 4}})


def test_a_stored_target_applies_to_what_it_was_found_on(tmp_path: Path) -> None:
    targets = TargetFile(tmp_path / "race" / "target.json")
    assert (targets.read(), targets.get("a1")) == ((), None)
    assert targets.put(FOUND) == FOUND
    assert targets.get("a1") == FOUND
    assert targets.get("b2") is None
    second = targets.put(FoundTarget(0.8, "accuracy", "max", "…", of="b2"))
    assert second.version == 2
    assert (targets.get("a1"), targets.get("b2")) == (FOUND, second)
    document = json.loads((tmp_path / "race" / "target.json").read_text())
    assert (document["schema"], document["value"], document["version"]) == (SCHEMA, 0.8, 2)
    assert [earlier["value"] for earlier in document["earlier"]] == [0.9]


def test_the_same_target_again_changes_nothing_and_another_one_counts_up(tmp_path: Path) -> None:
    targets = TargetFile(tmp_path / "target.json")
    targets.put(FOUND)
    assert targets.put(FOUND).version == 1
    again = targets.put(FoundTarget(0.91, "accuracy", "max", FOUND.how, of="a1"))
    assert (again.version, targets.get("a1")) == (2, again)
    assert [found.version for found in targets.read()] == [2, 1]


def good(**changes: Any) -> dict[str, Any]:
    values = {"value": 0.9, "metric": "accuracy", "direction": "max", "how": "…", "of": "a1"}
    return {"schema": SCHEMA, **values, "version": 1, "earlier": [], **changes}


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        b"\x80\x04K\x01.",
        json.dumps(good(schema="thalweg.target/9")),
        json.dumps(good(value="0.9")),
        json.dumps(good(value=True)),
        json.dumps(good(value=float("nan"))),
        json.dumps(good(version=0)),
        json.dumps(good(version=1.5)),
        json.dumps(good(direction="up")),
        json.dumps(good(of=None)),
        json.dumps(good(earlier=None)),
        json.dumps(good(earlier=[3])),
        json.dumps(good(earlier=[good(version="1")])),
    ],
)
def test_a_file_that_is_not_one_of_targets_is_refused(tmp_path: Path, content: str | bytes) -> None:
    path = tmp_path / "target.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    targets = TargetFile(path)
    for use in (targets.read, lambda: targets.get("a1"), lambda: targets.put(FOUND)):
        with pytest.raises(TaskError, match=r"target\.json cannot be read.*found anew"):
            use()
    path.write_text(json.dumps(good()))
    assert [found.value for found in targets.read()] == [0.9]


def test_races_that_write_at_once_never_leave_a_torn_file(tmp_path: Path) -> None:
    path = tmp_path / "target.json"
    TargetFile(path).put(FOUND)
    seen: list[int] = []

    def write(name: str) -> None:
        for turn in range(10):
            TargetFile(path).put(FoundTarget(turn / 10, "accuracy", "max", "…", of=name))
            seen.append(len(TargetFile(path).read()))

    writers = [threading.Thread(target=write, args=(name,)) for name in ("b", "c", "d")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(seen) == 30  # every reading in between was of a whole file
    assert TargetFile(path).read()[0].version > 1
    assert [child.name for child in tmp_path.iterdir()] == ["target.json"]
