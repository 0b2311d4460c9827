"""Data files that were cut, edited or made up are read, or told to be unreadable; nothing else."""

from __future__ import annotations

import gzip
import os
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tasks.idx_files import idx_bytes, write_mnist
from thalweg.errors import DataError
from thalweg.tasks.built_in.mnist import load_mnist
from thalweg.tasks.formats.idx import read_idx
from thalweg.tasks.formats.text import read_text
from thalweg.tasks.pictures import read_picture


def header(*shape: int, kind: int = 8) -> bytes:
    return struct.pack(f">HBB{len(shape)}I", 0, kind, len(shape), *shape)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (header(2**32 - 1, 2**32 - 1, 2**32 - 1) + b"ab", "is truncated: an array of shape"),
        (header(2**32 - 1) + b"ab", "is truncated"),
        (header(*[2] * 255), r"shape \(2, 2, 2, 2, …\)"),
        (header(*[1] * 255) + b"a", "which cannot be"),
        (header(0, *[2**32 - 1] * 9), "which cannot be"),
        (b"\0\0\x08\xff" + b"\0" * 8, "truncated within its header"),
        (gzip.compress(header(2**31) + b"ab", mtime=0), "would grow to"),
        (gzip.compress(header(2**20) + b"ab", mtime=0), "is truncated"),
        (
            gzip.compress(header(2) + b"ab" * 2**20, mtime=0),
            "is too long: .* the file has more than 10",
        ),
        (gzip.compress(header(2) + b"ab", mtime=0) + b"more", "gzip"),
    ],
)
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_headers_that_ask_for_what_is_not_there(
    content: bytes, message: str, suffix: str, tmp_path: Path
) -> None:
    path = tmp_path / f"images{suffix}"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_idx(path)
    assert len(str(caught.value)) < 400 + len(str(path))


def test_empty_arrays_and_several_gzip_members(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(header(0, 3))
    assert read_idx(tmp_path / "a").shape == (0, 3)
    (tmp_path / "a").write_bytes(gzip.compress(header(2), mtime=0) + gzip.compress(b"ab", mtime=0))
    assert read_idx(tmp_path / "a").tolist() == [97, 98]


@pytest.mark.skipif(os.name != "posix", reason="pipes and devices by name are POSIX")
def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/zero"), Path("a\0b")):
        with pytest.raises(DataError, match="cannot be read"):
            read_idx(path)
        with pytest.raises(DataError, match="cannot be read"):
            read_text(path)


@pytest.mark.parametrize(
    ("kind", "labels"), [(9, b"\x01\xff"), (13, struct.pack(">ff", 1, float("nan")))]
)
def test_labels_that_are_none(kind: int, labels: bytes, tmp_path: Path) -> None:
    write_mnist(tmp_path)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx_bytes(np.zeros((2, 6, 6))))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(header(2, kind=kind) + labels)
    with pytest.raises(DataError, match=r"has the label (-1|nan); expected 0 to 9"):
        load_mnist(tmp_path, "train")


GOOD = idx_bytes(np.arange(24).reshape(2, 3, 4))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(data=st.data(), zipped=st.booleans())
def test_edited_arrays(
    data: st.DataObject, zipped: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = bytearray(gzip.compress(GOOD, mtime=0) if zipped else GOOD)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] ^= data.draw(st.integers(1, 255))
    path = tmp_path_factory.getbasetemp() / "edited"
    path.write_bytes(
        content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content
    )
    try:
        array = read_idx(path)
    except DataError:
        return
    assert array.size <= 24


def picture() -> bytes:
    folder = pytest.importorskip("sklearn.datasets").__path__[0]
    return (Path(folder) / "images" / "china.jpg").read_bytes()


@settings(max_examples=40, deadline=None, derandomize=True)
@given(data=st.data())
def test_edited_pictures(data: st.DataObject) -> None:
    content = bytearray(picture()[:4000])
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, 700))
        content[place] = data.draw(st.integers(0, 255))
    try:
        pixels = read_picture(bytes(content))
    except DataError:
        return
    assert pixels.shape[2] == 3
