"""Folders of images, a folder for each class."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.exact import same
from thalweg.errors import DataError, MissingExtraError
from thalweg.tasks import Data
from thalweg.tasks.pictures import read_image_folder, read_picture
from thalweg.tasks.sources.source import ArraySource

DRAW = np.random.default_rng(0)
PIXELS = DRAW.integers(0, 256, (12, 5, 4, 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve images, every third of a class; beside them files that are none."""
    root = tmp_path / "pictures"
    for number, pixels in enumerate(PIXELS):
        home = root / ("cat", "dog", "ant")[number % 3]
        home.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(home / f"{number:02}.png")
    (root / "cat" / "notes.txt").write_text("none")
    (root / "cat" / ".hidden.png").write_text("none")
    (root / ".cache").mkdir()
    (root / "labels.csv").write_text("none")
    return root


def test_a_folder_for_each_class(folder: Path) -> None:
    data = Data.images(folder)
    assert data.classes == ("ant", "cat", "dog")
    train = data.train
    assert isinstance(train, ArraySource)
    assert train.targets.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    order = [2, 5, 8, 11, 0, 3, 6, 9, 1, 4, 7, 10]
    expected = PIXELS[order].transpose(0, 3, 1, 2).astype(np.float32) / 255
    same(train.inputs.numpy(), expected, because="PNG keeps the pixels; the same division")


def test_fractions_are_stratified_and_folders_of_their_own(folder: Path) -> None:
    data = Data.images(folder, validation=0.25)
    assert isinstance(data.validation, ArraySource)
    assert data.validation.targets.tolist() == [0, 1, 2]
    apart = Data.images(folder, validation=str(folder), test=folder)
    assert [apart.split(name).rows for name in ("train", "validation", "test")] == [12, 12, 12]
    (folder / "eel").mkdir()
    Image.fromarray(PIXELS[0]).save(folder / "eel" / "a.png")
    more = folder.with_name("more")
    (more / "cat").mkdir(parents=True)
    Image.fromarray(PIXELS[0]).save(more / "cat" / "a.png")
    with pytest.raises(
        DataError, match="test folder has the classes cat, and the training folder ant, cat"
    ):
        Data.images(folder, test=more)


def test_grey_and_sizes(folder: Path) -> None:
    images, _, _ = read_image_folder(folder, "L", (10, 8))
    assert images.shape == (12, 1, 10, 8)
    assert images.dtype == np.uint8
    with Image.open(folder / "ant" / "02.png") as image:
        grey = np.asarray(image.convert("L").resize((8, 10), Image.Resampling.BILINEAR))
    same(images[0, 0], grey, because="the same calls of Pillow")
    Image.fromarray(PIXELS[0][:4]).save(folder / "cat" / "99.png")
    with pytest.raises(DataError, match=r"99\.png has 4 × 4 pixels .* 5 × 4\. Give one size"):
        Data.images(folder)


def test_what_cannot_be_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="There is no folder"):
        Data.images(folder / "none")
    with pytest.raises(DataError, match="holds no folders"):
        Data.images(folder / "cat")
    with pytest.raises(DataError, match="mode must be 'RGB' or 'L'"):
        read_image_folder(folder, "CMYK")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="There is no file"):
        read_picture(folder / "none.png")
    content = (folder / "cat" / "00.png").read_bytes()
    for broken in (b"", b"GIF89a", content[:2], content[:40], content[:-30]):
        with pytest.raises(DataError, match="cannot be read as an image"):
            read_picture(broken)
    (folder / "empty").mkdir()
    with pytest.raises(DataError, match="empty holds no images"):
        Data.images(folder)
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingExtraError, match=r"'Pillow'.*thalweg\[lab\]"):
        Data.images(folder)
