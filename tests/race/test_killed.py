"""Nothing is lost: whatever kills a race, going on with it ends as if nothing had been."""

from __future__ import annotations

import functools
import itertools
import os
from pathlib import Path
from typing import Any

import pytest

from tests.fresh import Fresh
from tests.race.killed import DEATHS, RIVALS, STACKED, WAYS, contest
from tests.race.races import SETTERS, outcome
from tests.race.races import TRIALS as ALL_BUT_SETTERS
from thalweg.race import RecordFile

TRIALS = ALL_BUT_SETTERS + SETTERS

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")


@pytest.fixture(scope="module")
def graves(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, fresh: Fresh
) -> Path:
    """The races that the chosen tests look at, killed by one process."""
    folder = tmp_path_factory.mktemp("killed")
    params = [getattr(item, "callspec", None) for item in request.session.items]
    ways = {each.params.get("grave") for each in params if each is not None}
    wanted = [way for way in DEATHS if way in ways]
    done = fresh.run("from tests.race import killed; killed.main()", str(folder), *wanted)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def grave(request: pytest.FixtureRequest, graves: Path) -> Path:
    folder: Path = graves / request.param
    return folder


@functools.cache
def undisturbed(*entrants: str, **settings: Any) -> dict[str, Any]:
    whole = contest(None, entrants=list(entrants), **settings)
    whole.run()
    return outcome(whole)


@pytest.mark.parametrize(
    "grave",
    [
        *(
            pytest.param(way, marks=() if k % 8 == 1 else pytest.mark.full)
            for k, way in enumerate([*WAYS, "two workers", "over and over"])
        ),
        "over and over, two workers",
    ],
    indirect=True,
)
def test_a_killed_race_goes_on_to_the_same_result(grave: Path) -> None:
    resumed = contest(grave)
    resumed.prepare()
    assert resumed.reused == TRIALS
    assert outcome(resumed) == undisturbed("sgd", "adam")
    records = RecordFile(grave / "records.jsonl").read()
    assert len({record.key for record in records}) == len(records) == TRIALS  # none ran twice
    assert resumed.result().step_seconds.keys() == {"sgd", "adam"}


@pytest.mark.parametrize("grave", [f"stacked/{way}" for way in STACKED], indirect=True)
def test_a_killed_race_of_stacks_goes_on_to_the_same_result(grave: Path) -> None:
    """To rounding: what is left of a stack is trained in a smaller one."""
    resumed = contest(grave, stack=4)
    resumed.prepare()
    assert resumed.reused == TRIALS
    ours, theirs = outcome(resumed), undisturbed("sgd", "adam", stack=4)
    assert ours["records"].keys() == theirs["records"].keys()
    for key, record in ours["records"].items():
        other = theirs["records"][key]
        assert record.final == pytest.approx(other.final, rel=1e-5)
        assert record.curve.steps == other.curve.steps
        assert (record.stage, record.status, record.gradients) == (
            *(other.stage, other.status, other.gradients),
        )
    assert max(record.stacked for record in ours["records"].values()) == 4
    assert ours["chosen"] == theirs["chosen"]
    assert ours["target"]["value"] == pytest.approx(theirs["target"]["value"], rel=1e-5)
    assert [place["entrant"] for place in ours["standings"]] == [
        place["entrant"] for place in theirs["standings"]
    ]


@pytest.mark.parametrize("name", RIVALS)
@pytest.mark.parametrize("grave", ["at the same time"], indirect=True)
def test_two_races_at_the_same_time_share_a_folder(grave: Path, name: str) -> None:
    ended = contest(grave, entrants=RIVALS[name])
    ended.prepare()
    assert ended.reused == TRIALS
    assert outcome(ended) == undisturbed(*RIVALS[name])
    lines = [line for line in (grave / "records.jsonl").read_bytes().split(b"\n") if line]
    assert len(RecordFile(grave / "records.jsonl").read()) == len(lines)
    assert TRIALS + 6 <= len(lines) <= 2 * TRIALS


@pytest.mark.parametrize("grave", ["side by side"], indirect=True)
def test_records_that_two_processes_write_are_all_there(grave: Path) -> None:
    records = RecordFile(grave / "records.jsonl").read()
    assert all(len(record.curve.metric) == 500 for record in records)
    for name in RIVALS:
        own = [record.key for record in records if record.entrant == name]
        assert own == [f"{name} {number} {k}" for number in range(60) for k in (0, 1)]
    order = [record.entrant for record in records]
    assert sum(a != b for a, b in itertools.pairwise(order)) > 1  # they did interleave
