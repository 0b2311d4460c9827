"""The folder of compiled kernels. What is read from it is run, so it is read only where it is the user's own.

The folder is the user's cache folder, or the one that `THALWEG_CACHE` names. What counts is what was opened,
not its path:

- The folder must belong to the user who runs this process, and nobody else may write to it. It is then held
  open, and its files are reached through it, so it cannot be exchanged between the check and the reading.
- Each file must be a plain one, no link, of the same owner, written by nobody else, and of sane size. No
  special file is waited for.
- Links on the way to the folder are followed: many keep `~/.cache` on another disk. A link at its very end
  must belong to the user or to root, or anyone could lay one in a shared folder.
- Folders above are not judged. Whoever may rename one of them can only put another folder of the user's own
  in its place, whose files the user wrote.

What fails the test is left as it is: kernels are compiled and not kept, and one `CacheWarning` says why. Root
makes no folder inside of another user's. Where there is no folder, no room or no right to write, kernels
are compiled again, without a word.

A file is a magic number, a SHA-256 of its key and its machine code, and the code. So a broken, older or
renamed file is not a kernel, and is written again. Files are written to a temporary name and renamed:
processes that start at once, a full disk or a kill leave no half kernel. Windows has no such owners and
modes: there the folder is taken as the system guards it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import stat
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from thalweg.errors import CacheWarning

MAGIC = b"thalweg kernel 2\n"
LARGEST_KERNEL = 2**24
"""Bytes of a file; a kernel has some thousands."""
ROOM = 2**28
"""Bytes of all files together; beyond it, those that were not used for longest go."""
DAY = 24 * 60 * 60

_KERNEL, _TEMPORARY = ".kernel", ".kernel-"
_OWNED = hasattr(os, "geteuid")
_BY_HANDLE = os.open in os.supports_dir_fd and hasattr(os, "O_DIRECTORY")
_ALWAYS = sum(
    getattr(os, name, 0) for name in ("O_CLOEXEC", "O_NOFOLLOW", "O_NONBLOCK", "O_BINARY")
)


class _UnsafeError(Exception):
    """Something is not the user's own, or others may write to it."""


def cache_folder() -> Path | None:
    """Return the folder of compiled kernels, or None where the user has no home."""
    given = os.environ.get("THALWEG_CACHE")
    if given:
        return Path(given)
    try:
        path = Path(platformdirs.user_cache_dir("thalweg", appauthor=False))
    except RuntimeError:
        return None
    return path if path.is_absolute() else None  # older versions of platformdirs return "~/…"


def read_kernel(key: str) -> bytes | None:
    """Return the machine code that was written for a key, or None where there is none that may be run."""
    data = None
    with _told(), _opened() as folder:
        data = folder.read(key + _KERNEL)
    if data is None or not data.startswith(MAGIC):
        return None
    code = data[len(MAGIC) + hashlib.sha256().digest_size :]
    return code if data == _file_of(key, code) else None


def write_kernel(key: str, code: bytes) -> None:
    """Keep machine code for a key, if there is a place for it."""
    global _tidied
    with _told():
        _make_folder(cache_folder())
        with _opened() as folder:
            folder.write(key + _KERNEL, _file_of(key, code))
            if not _tidied:
                _tidied = True
                folder.tidy()


_tidied = False
_warned = False


def _file_of(key: str, code: bytes) -> bytes:
    return MAGIC + hashlib.sha256(key.encode() + code).digest() + code


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Turn a failure into "no cache", with one warning where something is wrong with the folder or a file."""
    global _warned
    try:
        yield
    except OSError:
        pass
    except _UnsafeError as reason:
        if not _warned:
            _warned = True
            warnings.warn(
                f"The kernel cache is not used: {reason}. Kernels are machine code, so they are read only "
                "where nobody but you may write; they are now compiled again in each process. Set "
                "THALWEG_CACHE to a folder of your own",
                CacheWarning,
                stacklevel=2,
            )


def _check(found: os.stat_result, what: str) -> None:
    """Refuse what others own or may write."""
    if not _OWNED:
        return
    if found.st_uid != os.geteuid():
        raise _UnsafeError(f"{what} belongs to another user (uid {found.st_uid})")
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        mode = stat.S_IMODE(found.st_mode)
        raise _UnsafeError(f"others may write to {what} (mode {mode:o}; mend it by chmod go-w)")


def _make_folder(path: Path | None) -> None:
    """Make the folder and those above it, for the user alone."""
    if path is None or path.exists():
        return
    missing = [path]
    while not (above := missing[-1].parent).exists():
        missing.append(above)
    if _OWNED and os.geteuid() == 0 and (owner := above.stat().st_uid) != 0:
        # a folder of root's in a home would be closed to the one whose home it is
        raise _UnsafeError(f"the folder {above} belongs to another user (uid {owner})")
    for folder in reversed(missing):
        folder.mkdir(mode=0o700, exist_ok=True)


@contextlib.contextmanager
def _opened() -> Iterator[_Folder]:
    """Open the folder and hold it open; it must be the user's own."""
    path = cache_folder()
    if path is None:
        raise FileNotFoundError
    if not _BY_HANDLE:
        yield _Folder(path, None)
        return
    link = path.lstat()
    if stat.S_ISLNK(link.st_mode) and link.st_uid not in (0, os.geteuid()):
        raise _UnsafeError(f"the link {path} belongs to another user (uid {link.st_uid})")
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _check(os.fstat(handle), f"the folder {path}")
        yield _Folder(path, handle)
    finally:
        os.close(handle)


@dataclass(frozen=True)
class _Folder:
    """The folder, held open where the system can reach files through it."""

    path: Path
    handle: int | None

    def _at(self, name: str) -> str | Path:
        return self.path / name if self.handle is None else name

    def _open(self, name: str, flags: int) -> int:
        return os.open(self._at(name), flags | _ALWAYS, 0o600, dir_fd=self.handle)

    def _stat(self, name: str) -> os.stat_result:
        return os.stat(self._at(name), dir_fd=self.handle, follow_symlinks=False)

    def _remove(self, name: str) -> None:
        with contextlib.suppress(OSError):
            os.unlink(self._at(name), dir_fd=self.handle)

    def _check(self, found: os.stat_result, name: str) -> None:
        if not stat.S_ISREG(found.st_mode):
            raise _UnsafeError(f"{self.path / name} is not a plain file")
        _check(found, f"the file {self.path / name}")

    def _check_by_name(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._check(self._stat(name), name)

    def read(self, name: str) -> bytes | None:
        """Return what a file holds; None if it is too large."""
        try:
            handle = self._open(name, os.O_RDONLY)
        except OSError:
            self._check_by_name(name)  # a link, or a file of someone else's
            raise
        try:
            found = os.fstat(handle)
            self._check(found, name)
            with os.fdopen(handle, "rb", closefd=False) as file:
                return file.read() if found.st_size <= LARGEST_KERNEL else None
        finally:
            os.close(handle)

    def write(self, name: str, data: bytes) -> None:
        """Write a file whole or not at all; what is there and not the user's own stays."""
        self._check_by_name(name)
        temporary = f"{_TEMPORARY}{secrets.token_hex(8)}"
        handle = self._open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            os.replace(
                self._at(temporary),
                self._at(name),
                src_dir_fd=self.handle,
                dst_dir_fd=self.handle,
            )
        except BaseException:
            self._remove(temporary)
            raise

    def tidy(self) -> None:
        """Remove what killed processes left a day ago, and the oldest kernels beyond the room for all."""
        kernels, total = [], 0
        for name in os.listdir(self.path if self.handle is None else self.handle):
            left = name.startswith(_TEMPORARY)
            if not (left or name.endswith(_KERNEL)):
                continue
            try:
                found = self._stat(name)
            except OSError:
                continue
            if left and found.st_mtime < time.time() - DAY:
                self._remove(name)
            elif not left:
                total += found.st_size
                kernels.append((max(found.st_atime, found.st_mtime), found.st_size, name))
        for _, size, name in sorted(kernels):
            if total <= ROOM:
                break
            self._remove(name)
            total -= size
