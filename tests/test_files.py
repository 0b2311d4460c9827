from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from thalweg.files import atomic_path, write_bytes, write_text


def test_a_file_is_written_whole_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "note.txt"
    write_text(path, "größer\n")
    assert path.read_text("utf-8") == "größer\n"
    write_bytes(path, b"\x00\r\n")
    assert path.read_bytes() == b"\x00\r\n"
    assert [p.name for p in path.parent.iterdir()] == ["note.txt"]


def test_a_failure_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "note.txt"
    write_text(path, "old")

    def write_half() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["note.txt"]


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_permissions_are_those_of_an_ordinary_new_file(tmp_path: Path) -> None:
    ordinary = tmp_path / "ordinary"
    ordinary.write_text("")
    write_text(tmp_path / "atomic", "")
    with atomic_path(tmp_path / "replaced") as temporary:
        temporary.unlink()  # as a writer does that has a temporary file of its own
        temporary.touch(mode=0o600)
    names = ("ordinary", "atomic", "replaced")
    assert len({stat.S_IMODE((tmp_path / name).stat().st_mode) for name in names}) == 1
