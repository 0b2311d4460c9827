from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch

from thalweg.errors import DataError
from thalweg.tasks.idx import read_idx
from thalweg.tasks.mnist import load_mnist, mnist
from thalweg.tasks.sources import ArraySource

from .idx_files import idx_bytes, write_mnist


@pytest.mark.parametrize("dot", [False, True])
@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("inside", ["", "mnist", "MNIST/raw"])
def test_names_and_folders(tmp_path: Path, dot: bool, zipped: bool, inside: str) -> None:
    made = write_mnist(tmp_path / inside, dot=dot, zipped=zipped)
    for part, name in (("train", "train"), ("test", "t10k")):
        images, labels = load_mnist(tmp_path, part)
        np.testing.assert_array_equal(images, made[name][0].reshape(len(labels), -1))
        np.testing.assert_array_equal(labels, made[name][1])


def test_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = write_mnist(tmp_path)
    monkeypatch.setenv("THALWEG_DATA", str(tmp_path))
    task = mnist()
    assert isinstance(task.data.train, ArraySource)
    assert isinstance(task.data.validation, ArraySource)
    assert (task.data.train.rows, task.data.validation.rows, task.data.split("test").rows) == (
        54,
        6,
        20,
    )
    images, labels = made["train"]
    np.testing.assert_array_equal(task.data.validation.targets, labels[54:])
    expected = torch.from_numpy((images[:54].reshape(54, -1) / 255).astype("f4"))
    torch.testing.assert_close(task.data.train.inputs, expected)
    raw = mnist(tmp_path, scale=False).data.train
    assert isinstance(raw, ArraySource)
    assert raw.inputs.max() > 1
    assert task.build()(task.data.train.inputs).shape == (54, 10)


def test_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("THALWEG_DATA", raising=False)
    with pytest.raises(DataError, match="THALWEG_DATA"):
        mnist()
    monkeypatch.setenv("THALWEG_DATA", str(tmp_path / "none"))
    with pytest.raises(DataError, match=r"There is no folder .*none \(from THALWEG_DATA\)"):
        mnist()
    with pytest.raises(DataError, match="has no file train-images-idx3-ubyte"):
        mnist(tmp_path)


def test_counts_that_differ(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx_bytes(np.zeros(59)))
    with pytest.raises(DataError, match="train-labels-idx1-ubyte has 59 labels for 60 images"):
        mnist(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx_bytes(np.full(60, 11)))
    with pytest.raises(DataError, match="the label 11; expected 0 to 9"):
        mnist(tmp_path)


def test_exchanged_files(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    images, labels = (tmp_path / f"train-{n}-ubyte" for n in ("images-idx3", "labels-idx1"))
    content = images.read_bytes()
    images.write_bytes(labels.read_bytes())
    labels.write_bytes(content)
    with pytest.raises(DataError, match=r"magic 0x00000801.*expected 0x00000803.*exchanged"):
        mnist(tmp_path)


GOOD = idx_bytes(np.arange(24).reshape(2, 3, 4))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "truncated: it has 0 bytes"),
        (GOOD[:9], "truncated within its header: 9 of 16"),
        (GOOD[:-1], "is truncated: an array of shape .2, 3, 4. takes 40 bytes, the file has 39"),
        (GOOD + b"\0", "is too long"),
        (b"<!DOCTYPE html>", "not an IDX file: it begins with 0x3c21444f, expected 0x00000803"),
        (gzip.compress(GOOD)[:-9], "truncated or broken gzip"),
        (gzip.compress(GOOD)[:14] + b"\xff\xff" + gzip.compress(GOOD)[16:], "broken gzip"),
    ],
)
def test_broken_files(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "images"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_idx(path, axes=3)
    assert str(path) in str(caught.value)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="There is no file"):
        read_idx(tmp_path / "none")
    with pytest.raises(DataError, match="cannot be read"):
        read_idx(tmp_path)


def test_other_types_are_read(tmp_path: Path) -> None:
    values = np.array([1.5, -2.0], ">f4")
    (tmp_path / "f").write_bytes(b"\0\0\x0d\x01\0\0\0\x02" + values.tobytes())
    assert read_idx(tmp_path / "f").tolist() == [1.5, -2.0]
