from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from thalweg.race.records import Curve, RecordFile, TrialRecord

CURVE = Curve((1, 2), (10, 20), (0.1, 0.2), (0.5, None), (0.8, 0.9))


def record(key: str = "k", **other: object) -> TrialRecord:
    return TrialRecord(
        key, "adam", 1e-3, 0, "finished", 20, 0.2, 10, 0.1, 0.9, None, CURVE, **other
    )  # type: ignore[arg-type]


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    file = RecordFile(tmp_path / "deep" / "records.jsonl")
    lost = TrialRecord("l", "sgd", 0.1, 2, "diverged", error="loss became NaN\nat step 3")
    file.append(record())
    file.append(lost)
    assert file.read() == (record(), lost)


def test_a_record_is_on_disk_when_append_returns(tmp_path: Path) -> None:
    file = RecordFile(tmp_path / "records.jsonl")
    for number in range(3):
        file.append(record(str(number)))
        lines = file.path.read_text().splitlines()
        assert [json.loads(line)["key"] for line in lines] == [str(n) for n in range(number + 1)]


def test_numbers_that_json_lacks_become_null(tmp_path: Path) -> None:
    file = RecordFile(tmp_path / "records.jsonl")
    file.append(
        TrialRecord(
            "k", "sgd", 1.0, 0, "finished", final=math.nan, curve=Curve(metric=(math.inf, 0.5))
        )
    )
    (read,) = file.read()
    assert read.final is None
    assert read.curve.metric == (None, 0.5)


def test_every_prefix_of_the_file_reads_as_its_whole_lines(tmp_path: Path) -> None:
    file = RecordFile(tmp_path / "records.jsonl")
    written = [record(str(number)) for number in range(3)]
    for one in written:
        file.append(one)
    content = file.path.read_bytes()
    ends = [i for i, byte in enumerate(content) if byte == ord("\n")]
    for length in range(0, len(content), 7):
        file.path.write_bytes(content[:length])
        # A line that lacks nothing but its newline is whole.
        whole = sum(end <= length for end in ends)
        assert list(file.read()) == written[:whole]


def test_appending_after_a_torn_line_loses_only_that_line(tmp_path: Path) -> None:
    file = RecordFile(tmp_path / "records.jsonl")
    file.append(record("a"))
    file.append(record("b"))
    file.path.write_bytes(file.path.read_bytes()[:-30])
    file.append(record("c"))
    assert [one.key for one in file.read()] == ["a", "c"]


def test_foreign_lines_are_passed_over(tmp_path: Path) -> None:
    file = RecordFile(tmp_path / "records.jsonl")
    file.append(record("a"))
    later = {**record("b").to_dict(), "version": 2}
    unknown = {**record("c").to_dict(), "status": "paused"}
    short = {"version": 1, "status": "finished", "key": "d"}
    with file.path.open("a") as stream:
        for line in (
            json.dumps(later),
            json.dumps(unknown),
            json.dumps(short),
            "[1]",
            "3",
            "",
            "\x00\xff",
        ):
            stream.write(line + "\n")
    file.append(record("e"))
    assert [one.key for one in file.read()] == ["a", "e"]


def test_by_key_gives_the_asked_ones_and_the_last_of_equals(tmp_path: Path) -> None:
    file = RecordFile(tmp_path / "records.jsonl")
    for one in (
        record("a"),
        TrialRecord("a", "adam", 1e-3, 0, "finished", final=0.99),
        record("b"),
    ):
        file.append(one)
    found = file.by_key(["a", "z"])
    assert found.keys() == {"a"}
    assert found["a"].final == 0.99


def test_no_file_is_no_record(tmp_path: Path) -> None:
    assert RecordFile(tmp_path / "none.jsonl").read() == ()


def test_setting_aside_keeps_what_was(tmp_path: Path) -> None:
    file = RecordFile(tmp_path / "records.jsonl")
    file.set_aside()
    for key in ("a", "b"):
        file.append(record(key))
        file.set_aside()
    file.append(record("c"))
    assert [one.key for one in file.read()] == ["c"]
    kept = sorted(path.name for path in tmp_path.iterdir())
    assert kept == ["records.1.jsonl", "records.2.jsonl", "records.jsonl"]
    assert RecordFile(tmp_path / "records.1.jsonl").read()[0].key == "a"


@pytest.mark.parametrize(
    ("status", "steps", "reached"),
    [
        ("finished", 10, True),
        ("finished", None, False),
        ("diverged", 10, False),
        ("failed", None, False),
    ],
)
def test_reached(status: str, steps: int | None, reached: bool) -> None:
    one = TrialRecord("k", "sgd", 0.1, 0, status, reached_steps=steps)  # type: ignore[arg-type]
    assert one.reached is reached
