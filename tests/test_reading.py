"""Files that someone edited, tore or put there: unreadable with a reason, or read as they are."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from thalweg.reading import UnreadableError, is_count, is_number, parse_json, read_json, read_lines

UNREADABLE = {
    "": "not JSON",
    "{": "not JSON",
    "[" * 100_000: "nested too deeply",
    '{"a":' * 100_000: "nested too deeply",
    "9" * 5000: "too large",
    "[1e999]": "too large",
    "-1e999": "too large",
    "NaN": "JSON has no NaN",
    "[-Infinity]": "JSON has no -Infinity",
    '{"a": 1, "b": 2, "a": 3}': "the key 'a' is given twice",
    '"\\ud800"': "half a surrogate pair",
    "\0": "not JSON",
    '"a\0b"': "not JSON",
}


@pytest.mark.parametrize(("text", "why"), UNREADABLE.items(), ids=[k[:12] for k in UNREADABLE])
def test_what_is_no_plain_value_is_unreadable(text: str, why: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text(text)
    for read in (lambda: parse_json(text), lambda: read_json(tmp_path / "file")):
        with pytest.raises(UnreadableError, match=why) as caught:
            read()
        assert len(str(caught.value)) < 200


@pytest.mark.parametrize("content", [b"\xff\xfe[\x001\x00]\x00", b"[1]\xff", b"\x80"])
def test_what_is_not_utf8_is_unreadable(content: bytes) -> None:
    with pytest.raises(UnreadableError, match="not text in UTF-8"):
        parse_json(content)


def test_what_is_plain_is_read() -> None:
    value = {"a": [1, -2.5, 1e-300, None, True], "b": {"c": "ü\U0001f600"}, "n": 2**63 - 1}
    for ascii_only in (True, False):
        assert parse_json(json.dumps(value, ensure_ascii=ascii_only)) == value
    assert parse_json(b"\xef\xbb\xbf[1]") == [1]  # as an editor of Windows saves it


@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_what_is_no_file_is_unreadable_at_once(kind: str, tmp_path: Path) -> None:
    path = tmp_path / kind
    os.mkfifo(path) if kind == "pipe" else path.mkdir()
    with pytest.raises(UnreadableError, match="cannot be read"):
        read_json(path)
    with pytest.raises(UnreadableError, match="cannot be read"):
        list(read_lines(path))


def test_no_file_is_told_from_an_unreadable_one(tmp_path: Path) -> None:
    for path in (tmp_path / "none", Path(__file__) / "inside"):
        with pytest.raises(FileNotFoundError):
            read_json(path)


def test_files_and_lines_have_a_bound(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345\n123456\n\n" + b"x" * 200_000 + b"\n12")
    assert list(read_lines(path, most=5)) == [b"12345", b"", b"", b"", b"12"]
    path.write_text("[1, 2]")
    assert read_json(path, most=6) == [1, 2]
    with pytest.raises(UnreadableError, match="longer than 5 bytes"):
        read_json(path, most=5)


@pytest.mark.parametrize("value", [True, "1", None, [1], float("nan"), float("inf")])
def test_numbers_are_numbers(value: Any) -> None:
    assert not is_number(value)
    assert not is_count(value)
