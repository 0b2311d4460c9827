"""The file of records: whatever stops a race, every finished trial stays readable."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from thalweg.race.trials.records import Curve, RecordFile, TrialRecord

CURVE = Curve((1, 2), (10, 20), (0.1, 0.2), (10.0, 20.0), (0.5, None), (0.8, 0.9))


def record(key: str = "k", **other: object) -> TrialRecord:
    parts: dict[str, object] = {
        "hyperparameters": {"beta1": 0.9, "nesterov": True},
        "stage": "final",
        "epochs": 2,
        "steps": 20,
        "seconds": 0.2,
        "gradients": 20.0,
        "final": 0.9,
        "stacked": 4,
        "curve": CURVE,
    }
    return TrialRecord(key, "adam", 1e-3, 0, "finished", **(parts | other))  # type: ignore[arg-type]


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    file = RecordFile(tmp_path / "deep" / "records.jsonl")
    lost = TrialRecord("l", "sgd", 0.1, 2, "diverged", error="loss became NaN\nat step 3")
    file.append(record())
    file.append(lost)
    assert file.read() == (record(), lost)


def test_a_line_says_its_version_and_every_field(tmp_path: Path) -> None:
    file = RecordFile(tmp_path / "records.jsonl")
    file.append(record())
    document = json.loads(file.path.read_text())
    assert document.pop("version") == 2
    assert set(document) == set(TrialRecord.__dataclass_fields__)
    assert set(document["curve"]) == set(Curve.__dataclass_fields__)


def test_records_that_ended_together_are_one_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = RecordFile(tmp_path / "records.jsonl")
    stack = [record(str(number), stacked=3) for number in range(3)]
    file.append(record("before"))
    file.append(*stack)
    assert file.read() == (record("before"), *stack)
    assert file.path.read_text().count("\n") == 4
    file.append()
    assert file.read() == (record("before"), *stack)


def test_a_record_is_on_disk_when_append_returns(tmp_path: Path) -> None:
    file = RecordFile(tmp_path / "records.jsonl")
    for number in range(3):
        file.append(record(str(number)))
        lines = file.path.read_text().splitlines()
        assert [json.loads(line)["key"] for line in lines] == [str(n) for n in range(number + 1)]


def test_numbers_that_json_lacks_become_null(tmp_path: Path) -> None:
    file = RecordFile(tmp_path / "records.jsonl")
    two = (1, 2)
    curve = Curve(two, two, two, two, loss=(math.nan, 0.1), metric=(math.inf, 0.5))
    file.append(record(final=math.nan, curve=curve))
    (read,) = file.read()
    assert read.final is None
    assert read.curve.metric == (None, 0.5)


def test_every_prefix_of_the_file_reads_as_its_whole_lines(tmp_path: Path) -> None:
    file = RecordFile(tmp_path / "records.jsonl")
    written = [record(str(number)) for number in range(4)]
    file.append(*written[:2])
    for one in written[2:]:
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
    file.append(record("a"), record("b"))
    file.path.write_bytes(file.path.read_bytes()[:-30])
    file.append(record("c"), record("d"))
    assert [one.key for one in file.read()] == ["a", "c", "d"]


def test_foreign_lines_are_passed_over(tmp_path: Path) -> None:
    file = RecordFile(tmp_path / "records.jsonl")
    file.append(record("a"))
    earlier = {**record("b").to_dict(), "version": 1}
    later = {**record("b").to_dict(), "version": 3}
    unknown = {**record("c").to_dict(), "status": "paused"}
    more = {**record("m").to_dict(), "curve": {"epochs": [1], "colour": [2]}}
    short = {"version": 2, "status": "finished", "key": "d"}
    odd = {**record("o").to_dict(), "curve": [3]}
    with file.path.open("a") as stream:
        for values in (earlier, later, unknown, more, short, odd, [1], 3):
            stream.write(json.dumps(values) + "\n")
        stream.write("\n\x00\xff\n")
    file.append(record("e"))
    assert [one.key for one in file.read()] == ["a", "e"]


def test_a_field_of_later_is_ignored() -> None:
    assert TrialRecord.from_dict({**record().to_dict(), "colour": "blue"}) == record()


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
    "wrong",
    [
        {"lr": None},
        {"steps": "x"},
        {"seconds": None},
        {"hyperparameters": 3},
        {"key": [1]},
        {"stage": "elsewhere"},
        {"curve": {"steps": [1, 2]}},
        {"curve": {name: [None] for name in vars(Curve())}},
    ],
    ids=str,
)
def test_a_record_with_a_part_of_the_wrong_kind_is_passed_over(
    tmp_path: Path, wrong: dict[str, Any]
) -> None:
    file = RecordFile(tmp_path / "records.jsonl")
    file.append(record("good"))
    with file.path.open("a") as text:
        text.write(json.dumps(record("bad").to_dict() | wrong) + "\n")
    assert [each.key for each in file.read()] == ["good"]
