from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from thalweg.files import AppendedFile, append_bytes, atomic_path, write_bytes, write_text


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


def test_an_old_file_keeps_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("old")
    path.chmod(0o640)
    write_text(path, "new")
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("new", 0o640)


def test_what_is_written_is_never_readable_by_more_than_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("old")
    path.chmod(0o600)
    with atomic_path(path) as temporary:
        assert stat.S_IMODE(temporary.stat().st_mode) == 0o600


def test_the_umask_of_the_process_is_not_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "umask", None)
    write_text(tmp_path / "new" / "note", "text")


def test_a_link_stays_one_and_leads_to_the_new_file(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "folder" / "link"
    link.parent.mkdir()
    link.symlink_to("../target")
    for text in ("made", "replaced"):
        write_text(link, text)
        assert (link.is_symlink(), target.read_text()) == (True, text)
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["folder", "link", "target"]


def test_a_device_and_a_pipe_are_written_to(tmp_path: Path) -> None:
    write_text("/dev/null", "gone")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_text(pipe, "through")
    assert os.read(reader, 100) == b"through"
    os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_the_standard_output_is_written_to_where_it_stands(tmp_path: Path) -> None:
    script = "from thalweg.files import write_text\nfor k in '12': write_text('/dev/stdout', k)"
    with (tmp_path / "out").open("w") as out:
        out.write("0")
        out.flush()
        subprocess.run([sys.executable, "-c", script], stdout=out, check=True)
        out.seek(0, os.SEEK_END)
        out.write("3")
    assert (tmp_path / "out").read_text() == "0123"


def test_a_file_in_a_folder_that_is_closed_is_written_in_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "note.txt"
    path.write_text("a long text of before")
    inode = path.stat().st_ino
    refused = PermissionError(errno.EACCES, "Permission denied")
    with monkeypatch.context() as patch:  # root may do anything
        patch.setattr(os, "open", refusing(os.open, refused, only=".part", folder=tmp_path))
        write_text(path, "new")
        with pytest.raises(PermissionError) as caught:
            write_text(tmp_path / "other.txt", "new")
    assert caught.value.filename == str(tmp_path / "other.txt")
    busy = OSError(errno.EBUSY, "Device or resource busy")  # as a file mounted by itself is
    monkeypatch.setattr(Path, "replace", refusing(Path.replace, busy))
    assert path.read_text() == "new"
    write_text(path, "newer")
    assert (path.read_text(), path.stat().st_ino) == ("newer", inode)
    assert [p.name for p in tmp_path.iterdir()] == ["note.txt"]


def refusing(function: Any, error: OSError, only: str = "", folder: Path | None = None) -> Any:
    def refused(path: Any, *arguments: Any, **options: Any) -> Any:
        if str(path).endswith(only) and (folder is None or Path(path).parent == folder):
            raise error
        return function(path, *arguments, **options)

    return refused


@pytest.mark.parametrize(
    "writer", [write_text, lambda path, text: append_bytes(path, text.encode())]
)
@pytest.mark.parametrize("path", ["", ".", "file/inside", "file/deep/inside", "x" * 256, "loop"])
def test_an_error_names_the_path_that_was_asked_for(
    writer: Any, path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError, match=r"Errno") as caught:
        writer(path, "text")
    assert caught.value.filename == path
    assert ".part" not in str(caught.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "loop"]


def test_a_full_disk_names_the_path_that_was_asked_for() -> None:
    with pytest.raises(OSError, match="No space left on device: '/dev/full'"):
        write_text("/dev/full", "text")


def test_a_writers_error_of_another_file_stays_that(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught, atomic_path(tmp_path / "note"):
        (tmp_path / "source").read_text()
    assert caught.value.filename == str(tmp_path / "source")


@pytest.mark.parametrize("name", ["x" * 255, "ü" * 127])
def test_a_name_may_be_as_long_as_the_system_allows(name: str, tmp_path: Path) -> None:
    write_text(tmp_path / name, "text")
    assert (tmp_path / name).read_text() == "text"


def test_odd_bytes_of_a_name_can_be_written(tmp_path: Path) -> None:
    write_text(tmp_path / "note", os.fsdecode(b"caf\xe9"))
    assert (tmp_path / "note").read_text() == "caf\\udce9"


def test_nothing_is_appended_through_a_link_or_to_what_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("mine")
    (tmp_path / "link").symlink_to("other")
    os.mkfifo(tmp_path / "pipe")
    for name, why in (("link", "It is a link"), ("pipe", "It is a pipe"), (".", "directory")):
        with pytest.raises(OSError, match=why) as caught:
            append_bytes(tmp_path / name, b"text")
        assert caught.value.filename == str(tmp_path / name)
    assert (tmp_path / "other").read_text() == "mine"


def test_a_file_that_stays_open_is_added_to_and_made_anew_where_it_was_removed(tmp_path):
    path = tmp_path / "runs" / "log"
    with AppendedFile(path) as log:
        log.append(b"a\n")
        assert path.read_bytes() == b"a\n"  # at once
        with path.open("ab") as other:
            other.write(b"torn")
        log.append(b"b\n", separator=b"\n", flush=False)
        assert path.read_bytes() == b"a\ntorn\nb\n"
        path.unlink()
        path.parent.rmdir()
        log.append(b"c\n", separator=b"\n")
        assert path.read_bytes() == b"c\n"
    log.close()  # once more does nothing
    with pytest.raises(OSError, match="log"):
        log.append(b"d\n")
