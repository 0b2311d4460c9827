"""Machine code is run, so it is only read where it is whole, for this key, and nobody else's."""

from __future__ import annotations

import errno
import os
import stat
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import platformdirs
import pytest

from thalweg.engine.cpu import kernel_cache
from thalweg.engine.cpu.kernel_cache import cache_folder, read_kernel, write_kernel
from thalweg.errors import CacheWarning

KEY, OTHER = "a" * 64, "b" * 64
CODE = b"machine code"

posix = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="owners and modes are POSIX's")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a cache folder that is not there yet; nothing was said about it."""
    path = tmp_path / "above" / "cache"
    monkeypatch.setenv("THALWEG_CACHE", str(path))
    monkeypatch.setattr(kernel_cache, "_warned", False)
    monkeypatch.setattr(kernel_cache, "_tidied", False)
    return path


def file_of(folder: Path, key: str = KEY) -> Path:
    return folder / f"{key}.kernel"


def test_what_is_written_is_read() -> None:
    assert read_kernel(KEY) is None
    write_kernel(KEY, CODE)
    assert read_kernel(KEY) == CODE
    assert read_kernel(OTHER) is None


@posix
def test_folders_and_files_are_the_users_alone(folder: Path) -> None:
    before = os.umask(0)
    try:
        write_kernel(KEY, CODE)
    finally:
        os.umask(before)
    for path, mode in ((folder, 0o700), (folder.parent, 0o700), (file_of(folder), 0o600)):
        assert stat.S_IMODE(path.stat().st_mode) == mode


def test_a_file_under_another_name_is_not_that_kernel(folder: Path) -> None:
    write_kernel(KEY, CODE)
    file_of(folder).rename(file_of(folder, OTHER))
    assert read_kernel(OTHER) is None
    write_kernel(OTHER, b"its own")
    assert read_kernel(OTHER) == b"its own"


@pytest.mark.parametrize("size", [0, 1, len(kernel_cache.MAGIC), 20, 49, 50, -1])
def test_a_file_that_is_not_whole_is_written_anew(folder: Path, size: int) -> None:
    write_kernel(KEY, CODE)
    whole = file_of(folder).read_bytes()
    file_of(folder).write_bytes(whole[:size])
    assert read_kernel(KEY) is None
    write_kernel(KEY, CODE)
    assert file_of(folder).read_bytes() == whole


def test_each_changed_byte_is_noticed(folder: Path) -> None:
    write_kernel(KEY, CODE)
    whole = file_of(folder).read_bytes()
    for at in range(len(whole)):
        file_of(folder).write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert read_kernel(KEY) is None


def test_a_file_that_is_too_large_is_not_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_kernel(KEY, CODE)
    monkeypatch.setattr(kernel_cache, "LARGEST_KERNEL", file_of(folder).stat().st_size - 1)
    assert read_kernel(KEY) is None


# -- what is not the user's own -----------------------------------------------------------------------


def assert_not_used(folder: Path, expected: str) -> None:
    """Neither read nor written, which is said once."""
    present = {p: p.lstat() for p in folder.iterdir()}
    with pytest.warns(CacheWarning, match=expected):
        assert read_kernel(KEY) is None
    write_kernel(KEY, b"new")
    assert read_kernel(KEY) is None
    now = {p: p.lstat() for p in folder.iterdir()}
    assert {p: (x.st_ino, x.st_size) for p, x in now.items()} == {
        p: (x.st_ino, x.st_size) for p, x in present.items()
    }


def as_someone_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the files here belong to another user than this process."""
    someone_else = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: someone_else)


@posix
@pytest.mark.parametrize("mode", [0o770, 0o707, 0o720, 0o702, 0o1777])
@pytest.mark.parametrize("what", ["folder", "file"])
def test_what_others_may_write_is_not_run(folder: Path, mode: int, what: str) -> None:
    write_kernel(KEY, CODE)
    path = folder if what == "folder" else file_of(folder)
    path.chmod(mode)
    assert_not_used(folder, rf"others may write to the {what} .*{path}.* \(mode {mode:o}; .*chmod")
    path.chmod(0o700)
    assert read_kernel(KEY) == CODE


@posix
def test_what_others_may_read_is_run(folder: Path) -> None:
    write_kernel(KEY, CODE)
    folder.chmod(0o755)
    file_of(folder).chmod(0o644)
    assert read_kernel(KEY) == CODE


@posix
def test_a_folder_of_someone_else_is_not_used(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_kernel(KEY, CODE)
    as_someone_else(monkeypatch)
    assert_not_used(folder, rf"the folder {folder} belongs to another user \(uid \d+\)")


@posix
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs chown")
def test_a_file_of_someone_else_is_not_run(folder: Path) -> None:
    write_kernel(KEY, CODE)
    os.chown(file_of(folder), 12345, -1)
    assert_not_used(folder, r"the file .* belongs to another user \(uid 12345\)")


@posix
def test_root_makes_no_folder_in_the_home_of_another(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `sudo` with the user's HOME does; the user could not use it."""
    folder.parent.parent.chmod(0o700)
    owner = folder.parent.parent.stat()
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    other = os.stat_result((*owner[:4], 4321, *owner[5:10]))
    monkeypatch.setattr(Path, "stat", lambda self, **_: other)
    monkeypatch.setattr(Path, "exists", lambda self: self == folder.parent.parent)
    with pytest.warns(CacheWarning, match=r"belongs to another user \(uid 4321\)"):
        write_kernel(KEY, CODE)
    monkeypatch.undo()
    assert not folder.parent.exists()


def make_link(path: Path) -> None:
    path.symlink_to(path.with_name("target"))
    path.with_name("target").write_bytes(b"x")


@posix
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, make_link])
def test_only_plain_files_are_opened(folder: Path, make: Callable[[Path], None]) -> None:
    """Nothing is waited for; what is instead of a kernel stays."""
    folder.mkdir(parents=True, mode=0o700)
    make(file_of(folder))
    assert_not_used(folder, "is not a plain file")


@posix
def test_a_link_to_the_users_own_folder_is_followed(folder: Path, tmp_path: Path) -> None:
    real = tmp_path / "on another disk"
    real.mkdir(mode=0o700)
    folder.parent.mkdir()
    folder.symlink_to(real)
    write_kernel(KEY, CODE)
    assert file_of(real).exists()
    assert read_kernel(KEY) == CODE
    real.chmod(0o777)
    assert_not_used(real, "others may write")


@posix
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs chown")
def test_a_link_that_someone_else_laid_is_not_followed(folder: Path, tmp_path: Path) -> None:
    real = tmp_path / "own"
    real.mkdir(mode=0o700)
    folder.parent.mkdir()
    folder.symlink_to(real)
    os.lchown(folder, 12345, -1)
    assert_not_used(real, rf"the link {folder} belongs to another user \(uid 12345\)")


@posix
def test_files_are_read_from_the_folder_that_was_checked(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when another one is put in its place in between."""
    write_kernel(KEY, CODE)
    planted = tmp_path / "planted"
    monkeypatch.setenv("THALWEG_CACHE", str(planted))
    write_kernel(KEY, b"planted")
    monkeypatch.setenv("THALWEG_CACHE", str(folder))
    check = kernel_cache._check

    def exchanged(found: os.stat_result, what: str) -> None:
        check(found, what)
        if planted.exists():
            folder.rename(tmp_path / "away")
            planted.rename(folder)

    monkeypatch.setattr(kernel_cache, "_check", exchanged)
    assert read_kernel(KEY) == CODE
    assert read_kernel(KEY) == b"planted"


# -- nowhere to write ---------------------------------------------------------------------------------


def no_home(*_: object, **__: object) -> str:
    raise RuntimeError("could not determine the home directory")


@pytest.mark.parametrize("answer", [no_home, lambda *_, **__: "~/.cache/thalweg"])
def test_no_home_is_no_cache(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answer: Callable[..., str]
) -> None:
    """A container may run as a user whom no list knows: platformdirs raises, and older ones return "~"."""
    monkeypatch.delenv("THALWEG_CACHE")
    monkeypatch.setattr(platformdirs, "user_cache_dir", answer)
    monkeypatch.chdir(tmp_path)
    assert cache_folder() is None
    write_kernel(KEY, CODE)
    assert read_kernel(KEY) is None
    assert not list(tmp_path.iterdir())


def test_a_relative_folder_is_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("THALWEG_CACHE", "here/kernels")
    write_kernel(KEY, CODE)
    assert read_kernel(KEY) == CODE
    assert file_of(tmp_path / "here/kernels").exists()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO])
@pytest.mark.parametrize("where", ["open", "replace", "listdir"])
def test_a_disk_that_fails_is_no_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch, number: int, where: str
) -> None:
    folder.mkdir(parents=True, mode=0o700)

    def failing(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, where, failing)
    write_kernel(KEY, CODE)
    read_kernel(KEY)
    monkeypatch.undo()
    assert not list(folder.glob(".kernel-*"))


@posix
def test_a_full_disk_leaves_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a limit on the size of files does: the write fails, not the opening."""
    resource = pytest.importorskip("resource")
    import signal

    write_kernel(OTHER, CODE)
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.getsignal(signal.SIGXFSZ)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        write_kernel(KEY, CODE * 100)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert list(folder.iterdir()) == [file_of(folder, OTHER)]


def test_a_folder_that_is_gone_is_made_again(folder: Path) -> None:
    write_kernel(KEY, CODE)
    file_of(folder).unlink()
    folder.rmdir()
    assert read_kernel(KEY) is None
    write_kernel(KEY, CODE)
    assert read_kernel(KEY) == CODE


def test_writers_at_once_leave_one_whole_file(folder: Path) -> None:
    """Readers in between see a whole file or none."""
    seen: set[bytes | None] = set()
    threads = [
        threading.Thread(
            target=lambda: [
                (write_kernel(KEY, CODE), seen.add(read_kernel(KEY))) for _ in range(20)
            ]
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == {CODE}
    assert list(folder.iterdir()) == [file_of(folder)]


# -- room ---------------------------------------------------------------------------------------------


def test_what_killed_processes_left_is_removed_a_day_later(folder: Path) -> None:
    write_kernel(OTHER, CODE)
    old, young, foreign = (folder / name for name in (".kernel-1", ".kernel-2", ".keep"))
    for path in (old, young, foreign):
        path.write_bytes(b"half")
    for path in (old, foreign):
        os.utime(path, (time.time() - 2 * kernel_cache.DAY,) * 2)
    kernel_cache._tidied = False
    write_kernel(KEY, CODE)
    assert set(folder.iterdir()) == {
        *(young, foreign),
        *(file_of(folder, key) for key in (KEY, OTHER)),
    }


def test_the_kernels_not_used_for_longest_make_room(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for age, key in enumerate("cdef", start=1):
        write_kernel(key, CODE)
        os.utime(file_of(folder, key), (time.time() - 1000 * age,) * 2)
    (folder / "another's").write_bytes(bytes(1000))
    monkeypatch.setattr(kernel_cache, "ROOM", 3 * file_of(folder, "c").stat().st_size)
    kernel_cache._tidied = False
    write_kernel("g", CODE)
    assert sorted(p.stem for p in folder.iterdir()) == ["another's", "c", "d", "g"]


def test_nothing_is_said_where_nothing_is_wrong() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_kernel(KEY, CODE)
        assert read_kernel(KEY) == CODE
