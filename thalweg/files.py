"""Files are written whole or not at all: a temporary name in the same folder, then one rename."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path beside `path`; on leaving, what was written there becomes `path`.

    The folder is created where missing. The file's content reaches the disk (fsync) before the
    rename, so that a reader, or a machine that lost power, sees the old file or the new one and
    never a part. If the block raises, the temporary file is removed and `path` stays as it was.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with atomic_path(Path(folder) / "a" / "note.txt") as temporary:
    ...         _ = temporary.write_text("whole")
    ...     print(
    ...         (Path(folder) / "a" / "note.txt").read_text(), len(os.listdir(Path(folder) / "a"))
    ...     )
    whole 1
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        _flush_to_disk(temporary)
        # The permissions an ordinary new file would have, not mkstemp's 0600; set last, since a
        # writer may have put a file of its own in the place of the temporary one.
        temporary.chmod(_new_file_mode())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write `text` as UTF-8 to `path`, whole or not at all."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Write `content` to `path`, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def _flush_to_disk(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _new_file_mode() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
