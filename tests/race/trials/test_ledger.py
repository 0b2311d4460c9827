"""What a race knows of its trials: failures are tried again, a full disk loses nothing, and an edited file
gives no traceback."""

from __future__ import annotations

import copy
import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.race.races import TRIALS, outcome, small
from tests.race.tasks import line
from thalweg.errors import TaskError
from thalweg.race import Race, RecordFile, TrialRecord
from thalweg.race.trials.ledger import Ledger

AWAY = "AWAY"


class Served(nn.Linear):
    """A model whose training fails after some steps while a server is away."""

    steps = 0

    def forward(self, x: Tensor) -> Tensor:
        self.steps += self.training
        if self.steps > 6 and os.environ.get(AWAY):
            raise OSError("the server is away")
        return super().forward(x)


def served() -> Any:
    return line(model=lambda: Served(1, 1))


def longer(folder: Path | None) -> Race:
    return Race(served(), **small(epochs=8), out=folder)


def test_a_trial_that_failed_is_tried_again_once_a_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = longer(None)
    whole.run()
    monkeypatch.setenv(AWAY, "yes")
    for call in (1, 2):  # all eight trials of tuning fail, so there is no final
        failing = longer(tmp_path)
        failing.prepare()
        assert (failing.reused, failing.failed) == (0, 8 * (call - 1))
        failing.run()
        assert {record.status for record in failing.result().records} == {"failed"}
        assert len(RecordFile(tmp_path / "records.jsonl").read()) == 8 * call
    monkeypatch.delenv(AWAY)
    shown = longer(tmp_path).result()  # before it goes on, the newest there is
    assert [record.status for record in shown.records] == ["failed"] * 8
    mended = longer(tmp_path)
    mended.run()
    assert outcome(mended) == outcome(whole)
    assert len(RecordFile(tmp_path / "records.jsonl").read()) == 16 + TRIALS  # history is kept
    again = longer(tmp_path)
    again.prepare()
    assert (again.reused, again.failed) == (TRIALS, 0)


def test_a_race_in_memory_tries_again_too(monkeypatch: pytest.MonkeyPatch) -> None:
    contest = longer(None)
    monkeypatch.setenv(AWAY, "yes")
    contest.run()
    monkeypatch.delenv(AWAY)
    contest.run()
    assert {record.status for record in contest.result().records} == {"finished"}


def test_a_trial_that_diverged_stays_a_result(tmp_path: Path) -> None:
    diverging = small(lrs=[0.03, 1e30])
    Race(line(), **diverging, out=tmp_path).run()
    before = (tmp_path / "records.jsonl").read_bytes()
    Race(line(), **diverging, out=tmp_path).run()
    assert b'"diverged"' in before
    assert (tmp_path / "records.jsonl").read_bytes() == before


def test_a_failure_does_not_hide_what_another_race_finished(tmp_path: Path) -> None:
    file = RecordFile(tmp_path / "records.jsonl")
    for status in ("failed", "finished", "failed"):
        file.append(TrialRecord("k", "sgd", 0.1, 0, status))
    ledger = Ledger(file.path)
    ledger.begin()
    assert (ledger.holds("k"), ledger.awaits("k")) == (True, False)


def test_on_a_full_disk_the_race_goes_on_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Race(line(), **small(), out=None)
    whole.run()
    append, full = RecordFile.append, OSError(errno.ENOSPC, "No space left on device")

    def filling(file: RecordFile, *records: TrialRecord) -> None:
        if len(file.read()) >= 3:
            raise full
        append(file, *records)

    monkeypatch.setattr(RecordFile, "append", filling)
    contest = Race(line(), **small(), out=tmp_path)
    with pytest.warns(RuntimeWarning, match=r"No space left on device. The race goes on"):
        contest.run()
    assert outcome(contest) == outcome(whole)
    (note,) = [n for n in contest.result().to_dict()["notes"] if "No space left" in n]
    assert note.startswith("The records of 9 trials are in this result alone")
    monkeypatch.undo()
    resumed = Race(line(), **small(), out=tmp_path)
    resumed.prepare()
    assert resumed.reused == 3
    resumed.run()
    assert outcome(resumed) == outcome(whole)


def test_what_could_not_be_written_is_written_with_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append, calls = RecordFile.append, 0

    def failing_once(file: RecordFile, *records: TrialRecord) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise OSError(errno.EIO, "Input/output error")
        append(file, *records)

    monkeypatch.setattr(RecordFile, "append", failing_once)
    contest = Race(line(), **small(), out=tmp_path)
    with pytest.warns(RuntimeWarning, match="Input/output error"):
        contest.run()
    assert len(RecordFile(tmp_path / "records.jsonl").read()) == TRIALS
    assert not [note for note in contest.result().to_dict()["notes"] if "result alone" in note]


def test_records_that_can_never_be_written_are_refused_before_the_first_trial(
    tmp_path: Path,
) -> None:
    (tmp_path / "records.jsonl").symlink_to("elsewhere")
    contest = Race(line(), **small(), out=tmp_path)
    with pytest.raises(OSError, match="It is a link"):
        contest.run()
    assert contest.result().records == ()
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("name", ["records.jsonl", "target.json", "measured.json"])
def test_a_pipe_in_the_place_of_a_file_stops_nobody(name: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / name)
    if name == "measured.json":  # what cannot be kept can be measured again
        contest = Race(line(target=None), **small(), out=tmp_path)
        contest.run()
        assert contest.result().step_seconds.keys() == {"sgd", "adam"}
        return
    with pytest.raises(TaskError, match=rf"{name} cannot be read: .*pipe"):
        Race(line(target=None), **small(), out=tmp_path).run()


# -- edited files ---------------------------------------------------------------------------------

WRONG: list[Any] = [
    *(None, True, -1, 0, 0.5, 10**19, -1e300, "", "x", "\ud800", "\0"),
    *([], [None], {}, {"a": 1}, [[[1]]], 1e15),
]


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every place in a value of JSON, as what holds it and its key."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    found = []
    for key, item in list(items):
        found.append((value, key))
        if isinstance(item, dict | list):
            found += places(item)
    return found


def edited(document: Any, draw: Callable[..., Any]) -> bytes:
    """A document with a part that is of another kind, missing or doubled; or its text, with bytes that are
    missing or others."""
    made = copy.deepcopy(document)
    if draw(st.booleans()):
        holder, key = draw(st.sampled_from(places(made)))
        if draw(st.booleans()):
            holder[key] = draw(st.sampled_from(WRONG))
        else:
            del holder[key]
        return json.dumps(made).encode()
    content = json.dumps(made).encode()
    at = draw(st.integers(0, len(content) - 1))
    if draw(st.booleans()):
        return content[:at]
    return content[:at] + draw(st.binary(min_size=1, max_size=4)) + content[at + 1 :]


EXAMPLES = settings(
    max_examples=15,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture(scope="module")
def raced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a race that set its target itself."""
    folder = tmp_path_factory.mktemp("raced")
    Race(line(target=None), **small(), out=folder).run()
    return folder


@given(data=st.data())
@EXAMPLES
def test_an_edited_record_is_read_as_one_or_passed_over(raced: Path, data: Any) -> None:
    records = (raced / "records.jsonl").read_bytes()
    first, _, rest = records.partition(b"\n")
    try:
        (raced / "records.jsonl").write_bytes(edited(json.loads(first), data.draw) + b"\n" + rest)
        result = Race(line(target=None), **small(), out=raced).result()
        assert len(result.records) >= 7
        json.dumps(result.to_dict(), allow_nan=False)
        str(result)
    finally:
        (raced / "records.jsonl").write_bytes(records)


@pytest.mark.parametrize("name", ["target.json", "measured.json"])
@given(data=st.data())
@EXAMPLES
def test_an_edited_file_is_read_or_refused(raced: Path, name: str, data: Any) -> None:
    before = (raced / name).read_bytes()
    try:
        (raced / name).write_bytes(edited(json.loads(before), data.draw))
        try:
            str(Race(line(target=None), **small(), out=raced).result())
        except TaskError:
            assert name == "target.json"
    finally:
        (raced / name).write_bytes(before)
