"""Files are written whole or not at all: a temporary name in the same folder, then one rename.

What cannot be replaced is written to: a device, a pipe, the standard output, and a file that may be
changed in a folder that may not. A link stays a link: the file that it leads to is replaced. Every
error names the path that was asked for, not a temporary one.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Self

_CLOSED = (errno.EACCES, errno.EPERM, errno.EROFS)
_FIXED = (*_CLOSED, errno.EBUSY, errno.EXDEV)  # a file mounted by itself is busy for ever
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_NO_WAIT = getattr(os, "O_NONBLOCK", 0)
_AS_IT_IS = getattr(os, "O_BINARY", 0)


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path beside `path`; on leaving, what was written there becomes `path`.

    The folder is created where missing. The file's content reaches the disk (fsync) before the
    rename, so that a reader, or a machine that lost power, sees the old file or the new one and
    never a part. If the block raises, the temporary file is removed and `path` stays as it was. A
    new file has the permissions that any new file has, an old one keeps its own.

    Raises:
        OSError: if it cannot be written; its `filename` is `path`.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with atomic_path(Path(folder) / "a" / "note.txt") as temporary:
    ...         _ = temporary.write_text("whole")
    ...     print(
    ...         (Path(folder) / "a" / "note.txt").read_text(), len(os.listdir(Path(folder) / "a"))
    ...     )
    whole 1
    """
    with _naming(path):
        target, before = _target(path)
        temporary, beside = _temporary(target, before)
    try:
        mode = stat.S_IMODE((before or temporary.stat()).st_mode)
        try:
            yield temporary
        except OSError as error:  # of the writer, who may have read other files
            if not str(error.filename or temporary).startswith(str(temporary)):
                raise
            raise error_at(error, path) from None
        with _naming(path):
            if beside:
                _flush_to_disk(temporary)
                beside = _replace(target, temporary, before, mode)
            if not beside:
                _copy(temporary, target)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write `text` as UTF-8 to `path`, whole or not at all.

    What UTF-8 cannot hold, the odd bytes of a file's name, is written as `\\udcff`.
    """
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Write `content` to `path`, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def append_bytes(
    path: str | os.PathLike[str], content: bytes, *, separator: bytes = b"", flush: bool = True
) -> None:
    """Add `content` to the end of a regular file, which is made where missing, and flush it to disk.

    It goes out in a single write to a file opened for appending, so that two processes may share the
    file. `separator` comes first where the last byte is another: after a line that was torn. Nothing
    is appended through a link, which may lead to a file that is no business of ours. Without `flush` it
    outlives the process, but not a machine that loses power in the next seconds.

    Raises:
        OSError: if it cannot be written, or is not a regular file; its `filename` is `path`.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     log = Path(folder) / "log"
    ...     append_bytes(log, b"a")
    ...     append_bytes(log, b"b", separator=b"|")
    ...     print(log.read_text())
    a|b
    """
    with AppendedFile(path) as file:
        file.append(content, separator=separator, flush=flush)


class AppendedFile:
    """A regular file that stays open to be added to, by `append`; it is made where missing.

    One that was removed meanwhile is made again. Nothing is appended through a link.

    Raises:
        OSError: if it cannot be opened or written, or is not a regular file; its `filename` is `path`.

    >>> with tempfile.TemporaryDirectory() as folder, AppendedFile(Path(folder) / "log") as log:
    ...     log.append(b"a")
    ...     log.append(b"b", separator=b"|")
    ...     print(log.path.read_text())
    a|b
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._descriptor, self._size, self._end = -1, 0, b""
        self._descriptor = _opened(path)

    def append(self, content: bytes, *, separator: bytes = b"", flush: bool = True) -> None:
        """Add `content` in a single write; see `append_bytes`."""
        try:
            state = os.fstat(self._descriptor)
            if not state.st_nlink:
                self.close()
                self._descriptor, self._size, self._end = _opened(self.path), 0, b""
                state = os.fstat(self._descriptor)
            # where the file is as long as this left it, its last byte need not be read
            last = self._end if state.st_size == self._size else _last_byte(self._descriptor)
            if separator and last not in (b"", separator):
                content = separator + content
            _write_all(self._descriptor, content)
            self._size, self._end = state.st_size + len(content), content[-1:] or last
            if flush:
                os.fsync(self._descriptor)
        except OSError as error:
            raise error_at(error, self.path) from None

    def close(self) -> None:
        """Close the file; once more does nothing."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    __del__ = close


def _opened(path: str | os.PathLike[str]) -> int:
    """Open a regular file to be read and added to; return its descriptor."""
    how = os.O_RDWR | os.O_APPEND | os.O_CREAT | _NO_LINK | _NO_WAIT | _AS_IT_IS
    with _naming(path):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(path, how, 0o666)
        except OSError as error:
            if os.path.islink(path):
                why = "It is a link, and nothing is appended through one"
                raise OSError(errno.ELOOP, why) from error
            raise
        try:
            check_regular(os.fstat(descriptor), path)
        except OSError:
            os.close(descriptor)
            raise
        return descriptor


def check_regular(state: os.stat_result, path: str | os.PathLike[str]) -> None:
    """Raise OSError if it is not a regular file, but a folder, a pipe or a device."""
    if stat.S_ISDIR(state.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    if not stat.S_ISREG(state.st_mode):
        raise OSError(errno.EINVAL, "It is a pipe or a device, not a file", os.fspath(path))


@contextlib.contextmanager
def _naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Inside the block, an OSError is one of `path`."""
    try:
        yield
    except OSError as error:
        raise error_at(error, path) from None


def error_at(error: OSError, path: str | os.PathLike[str]) -> OSError:
    """Return the error as one of `path`."""
    code, why = error.errno, error.strerror or str(error)
    if code is None:
        return OSError(errno.EIO, why, os.fspath(path))
    if code == errno.EEXIST:  # a file stands where a folder of the path should be
        code, why = errno.ENOTDIR, os.strerror(errno.ENOTDIR)
    return OSError(code, why, os.fspath(path))  # of the class that belongs to the number


def _target(path: str | os.PathLike[str]) -> tuple[Path, os.stat_result | None]:
    """Where a path leads to in the end, and what is there; its folder is made where missing."""
    if not os.fspath(path):
        raise FileNotFoundError(errno.ENOENT, "The path is empty", os.fspath(path))
    try:
        before = os.stat(path)
    except FileNotFoundError:
        target = Path(os.path.realpath(path))
        target.parent.mkdir(parents=True, exist_ok=True)
        return target, None
    if stat.S_ISDIR(before.st_mode):
        check_regular(before, path)
    if not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), os.fspath(path))
    if not stat.S_ISREG(before.st_mode) or _own_descriptor(path) is not None:
        return Path(path), before
    return Path(os.path.realpath(path)), before


def _temporary(target: Path, before: os.stat_result | None) -> tuple[Path, bool]:
    """Make a temporary file: beside the target, or elsewhere if the target cannot be replaced."""
    # Only the owner may read what becomes an owner's own file. The system applies the umask, which
    # a process can only read by changing it for all its threads.
    mode = 0o666 if before is None else stat.S_IMODE(before.st_mode) & 0o666 | 0o200
    if before is None or (stat.S_ISREG(before.st_mode) and _own_descriptor(target) is None):
        start = os.fsencode(target.name)[:80].decode("ascii", "ignore")  # a name may be too long
        while True:
            temporary = target.with_name(f".{start}.{secrets.token_hex(6)}.part")
            try:
                os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode))
            except FileExistsError:
                continue
            except OSError as error:
                if before is None or error.errno not in _CLOSED:
                    raise
                break
            return temporary, True
    handle, name = tempfile.mkstemp(prefix="thalweg-", suffix=".part")
    os.close(handle)
    return Path(name), False


def _replace(target: Path, temporary: Path, before: os.stat_result | None, mode: int) -> bool:
    """Put the temporary file in the target's place; return whether that could be done."""
    if before is not None and hasattr(os, "chown"):
        now = temporary.stat()
        if (now.st_uid, now.st_gid) != (before.st_uid, before.st_gid):
            with contextlib.suppress(OSError):  # only root may give files away
                os.chown(temporary, before.st_uid, before.st_gid)
    # Set last, since a writer may have put a file of its own instead of the temporary one.
    temporary.chmod(mode)
    try:
        temporary.replace(target)
    except OSError as error:
        if before is None or error.errno not in _FIXED:
            raise
        return False
    return True


def _copy(temporary: Path, target: Path) -> None:
    """Write to what stays in its place, a file among them, which is then cut to its new length."""
    content = temporary.read_bytes()
    own = _own_descriptor(target)
    descriptor = os.open(target, os.O_WRONLY) if own is None else os.dup(own)
    try:
        _write_all(descriptor, content)
        if own is None and stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.ftruncate(descriptor, len(content))
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _own_descriptor(path: str | os.PathLike[str]) -> int | None:
    """The descriptor of this process that a path stands for, as /dev/stdout does."""
    hop = os.fspath(path)
    for _ in range(40):  # as many links as the system follows
        folder, name = os.path.split(os.path.abspath(hop))
        hop = os.path.join(os.path.realpath(folder), name)
        if found := re.fullmatch(rf"/proc/{os.getpid()}/(?:task/\d+/)?fd/(\d+)", hop):
            return int(found[1])
        try:
            hop = os.path.join(os.path.dirname(hop), os.readlink(hop))
        except OSError:  # no link
            return None
    return None


def _last_byte(descriptor: int) -> bytes:
    if os.lseek(descriptor, 0, os.SEEK_END) == 0:
        return b""
    os.lseek(descriptor, -1, os.SEEK_END)
    return os.read(descriptor, 1)


def _write_all(descriptor: int, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[os.write(descriptor, left) :]


def _flush_to_disk(path: Path) -> None:
    with path.open("ab") as file:  # which asks for no permission to read
        os.fsync(file.fileno())
