from __future__ import annotations

import importlib.resources

import numpy as np
import pytest
import torch

from thalweg.errors import DataError
from thalweg.tasks import load_task
from thalweg.tasks.built_in.photo import Waves, load_photo
from thalweg.tasks.formats.jpeg import thumbnail
from thalweg.tasks.sources import ArraySource

# Means of blocks of 8 × 8 pixels of the photos as Pillow 12 decodes them, which rounds each pixel.
PILLOW = {
    "china": {
        (0, 0): (0.6859, 0.7888, 0.906),
        (10, 60): (0.927, 0.9505, 0.9975),
        (26, 40): (0.7615, 0.7901, 0.8267),
        (40, 13): (0.1555, 0.0902, 0.0919),
        (52, 79): (0.0207, 0.0216, 0.0151),
    },
    "flower": {
        (0, 0): (0.0225, 0.0836, 0.0645),
        (10, 60): (0.0015, 0.2706, 0.27),
        (26, 40): (0.7506, 0.2706, 0.1098),
        (40, 13): (0.0169, 0.0955, 0.0873),
        (52, 79): (0.0237, 0.1746, 0.0931),
    },
}
MEANS = {"china": (0.56975, 0.57272, 0.55545), "flower": (0.21575, 0.28832, 0.22368)}


@pytest.mark.parametrize("picture", PILLOW)
def test_the_photo_is_that_of_another_decoder(picture: str) -> None:
    colours = load_photo(picture)
    assert colours.shape == (53, 80, 3)
    for place, means in PILLOW[picture].items():
        np.testing.assert_allclose(colours[place], means, atol=1 / 255)
    np.testing.assert_allclose(colours.mean((0, 1)), MEANS[picture], atol=1e-3)


def test_coordinates_belong_to_their_colours() -> None:
    task, colours = load_task("photo"), load_photo("china")
    places = set()
    for name in ("train", "validation"):
        source = task.data.split(name)
        assert isinstance(source, ArraySource)
        x, y = source.inputs.double().numpy(), source.targets.numpy()
        rows = np.rint((x[:, 0] + 1) / 2 * 52).astype(int)
        columns = np.rint((x[:, 1] + 1) / 2 * 79).astype(int)
        np.testing.assert_allclose(y, colours[rows, columns], atol=1e-6)
        places |= set(zip(rows.tolist(), columns.tolist(), strict=True))
    assert len(places) == 53 * 80


def test_waves() -> None:
    x = torch.tensor([[0.5, -0.25]])
    expected = [np.sin(np.pi * 2.0**k * v) for v in (0.5, -0.25) for k in range(3)]
    expected += [np.cos(np.pi * 2.0**k * v) for v in (0.5, -0.25) for k in range(3)]
    np.testing.assert_allclose(Waves(3)(x)[0].numpy(), expected, atol=1e-6)


def china() -> bytes:
    folder = importlib.resources.files("sklearn.datasets.images")
    return (folder / "china.jpg").read_bytes()


def test_files_that_are_not_read() -> None:
    content = china()
    for broken in (b"", b"GIF89a", content[:2], content[:700], content[:5000], content[:-9000]):
        with pytest.raises(DataError, match="not a JPEG file, or is cut off"):
            thumbnail(broken)
    frame = content.index(b"\xff\xc0")
    progressive = content[: frame + 1] + b"\xc2" + content[frame + 2 :]
    with pytest.raises(DataError, match="Only baseline"):
        thumbnail(progressive)
    subsampled = content[: frame + 11] + b"\x22" + content[frame + 12 :]
    with pytest.raises(DataError, match="none subsampled"):
        thumbnail(subsampled)
