"""What was measured is kept beside the records, whatever happens to the file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from thalweg.race.trials.measured import SCHEMA, MeasuredFile


def test_what_is_put_is_read_by_another(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "measured.json"
    file = MeasuredFile(path)
    assert file.get("a") is None
    file.put("a", 0.1)
    file.put("b", {"stack": True, "size": 8})
    file.put("a", 0.2)
    for reader in (file, MeasuredFile(path)):
        assert (reader.get("a"), reader.get("b")) == (0.2, {"stack": True, "size": 8})
        assert reader.get("c") is None
    assert json.loads(path.read_text())["schema"] == SCHEMA


def test_two_at_work_keep_what_the_other_wrote_before(tmp_path: Path) -> None:
    one, two = MeasuredFile(tmp_path / "m.json"), MeasuredFile(tmp_path / "m.json")
    one.put("a", 1)
    two.put("b", 2)
    one.put("c", 3)
    assert [two.get(key) for key in "abc"] == [1, 2, 3]


def test_what_is_forgotten_is_gone(tmp_path: Path) -> None:
    for path in (tmp_path / "measured.json", None):
        file = MeasuredFile(path)
        file.forget()
        file.put("a", 1)
        file.forget()
        assert (file.get("a"), MeasuredFile(path).get("a")) == (None, None)


@pytest.mark.parametrize(
    "content", ["", "{", "[1]", '"text"', '{"measured": 3}', "{}", b"\xff\xfe\x00"]
)
def test_a_file_that_cannot_be_read_is_measured_anew(tmp_path: Path, content: str | bytes) -> None:
    path = tmp_path / "measured.json"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    file = MeasuredFile(path)
    assert file.get("a") is None
    file.put("a", 1)
    assert MeasuredFile(path).get("a") == 1


def test_without_a_path_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = MeasuredFile(None)
    file.put("a", 1)
    assert (file.get("a"), MeasuredFile(None).get("a")) == (1, None)
    assert list(tmp_path.iterdir()) == []
