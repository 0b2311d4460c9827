from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.exact import same
from tests.tasks.idx_files import idx_bytes, write_mnist
from thalweg.errors import DataError
from thalweg.tasks import Target, load_task
from thalweg.tasks.built_in.mnist import load_mnist, mnist
from thalweg.tasks.formats.idx import read_idx
from thalweg.tasks.sources.source import ArraySource


@pytest.mark.parametrize("dot", [False, True])
@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("inside", ["", "mnist", "MNIST/raw"])
def test_names_and_folders(tmp_path: Path, dot: bool, zipped: bool, inside: str) -> None:
    made = write_mnist(tmp_path / inside, dot=dot, zipped=zipped)
    for part, name in (("train", "train"), ("test", "t10k")):
        images, labels = load_mnist(tmp_path, part)
        pixels = made[name][0].reshape(len(labels), -1).astype("float32")
        same(images, pixels, because="integers below 256")
        same(labels, made[name][1], because="integers")


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
    same(task.data.validation.targets.numpy(), labels[54:], because="integers")
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
        (gzip.compress(GOOD, mtime=0)[:-9], "truncated or broken gzip"),
        (
            gzip.compress(GOOD, mtime=0)[:14] + b"\xff\xff" + gzip.compress(GOOD, mtime=0)[16:],
            "broken gzip",
        ),
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


# The labels of the first training images, by which the sets are told apart.
FIRST = {"mnist": [5, 0, 4, 1, 9, 2, 1, 3, 1, 4], "fashion_mnist": [9, 0, 0, 3, 0, 2, 7, 2, 5, 5]}


def label(folder: Path, which: str) -> None:
    file = folder / "train-labels-idx1-ubyte"
    labels = read_idx(file)
    labels[:10] = FIRST[which]
    file.write_bytes(idx_bytes(labels))


@pytest.mark.parametrize(
    "inside", ["", "fashion_mnist", "fashion-mnist", "fashion", "FashionMNIST/raw"]
)
def test_fashion(tmp_path: Path, inside: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = write_mnist(tmp_path / inside, zipped=True)
    monkeypatch.setenv("THALWEG_DATA", str(tmp_path))
    task = load_task("fashion_mnist")
    assert [task.data.split(n).rows for n in ("train", "validation", "test")] == [54, 6, 20]
    assert isinstance(task.data.train, ArraySource)
    expected = torch.from_numpy((made["train"][0][:54].reshape(54, -1) / 255).astype("f4"))
    torch.testing.assert_close(task.data.train.inputs, expected)
    assert task.build()(task.data.train.inputs).shape == (54, 10)
    assert (task.name, task.epochs) == ("fashion_mnist", 10)
    assert task.target == Target("accuracy", 0.87)


def test_both_sets_in_one_folder(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    label(tmp_path, "mnist")
    with pytest.raises(DataError, match=r"belongs to MNIST, not to Fashion-MNIST.*fashion_mnist/"):
        load_task("fashion_mnist", folder=tmp_path)
    write_mnist(tmp_path / "fashion", train=80)
    label(tmp_path / "fashion", "fashion_mnist")
    assert load_task("fashion_mnist", folder=tmp_path).data.train.rows == 72
    assert load_task("mnist", folder=tmp_path).data.train.rows == 54
    with pytest.raises(DataError, match=r"belongs to Fashion-MNIST, not to MNIST.*mnist/"):
        load_task("mnist", folder=tmp_path / "fashion")


def test_no_fashion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("THALWEG_DATA", raising=False)
    with pytest.raises(
        DataError, match=r"Fashion-MNIST is .* never downloaded.*t10k-labels-idx1-ub"
    ):
        load_task("fashion_mnist")
    with pytest.raises(DataError, match=r"has no file train-images-idx3-ubyte .*fashion_mnist/ or"):
        load_task("fashion_mnist", folder=tmp_path)


def test_where_the_files_lie_is_no_option_of_the_task(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    task = load_task(f"mnist:folder={tmp_path}")
    assert (task.name, task.target) == ("mnist", Target("accuracy", 0.93))
    assert task.seconds is not None
    raw = load_task(f"mnist:folder={tmp_path},scale=false")
    assert (raw.name, raw.seconds) == ("mnist:scale=False", None)
