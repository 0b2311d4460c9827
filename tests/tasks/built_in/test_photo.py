from __future__ import annotations

import numpy as np
import pytest
import torch

from thalweg.tasks import load_task
from thalweg.tasks.built_in.photo import Waves, load_photo
from thalweg.tasks.sources.source import ArraySource

# The first coefficients of blocks of 8 × 8 pixels, which are their means: no decoder rounded them.
COEFFICIENTS = {
    "china": {
        (0, 0): (0.68468, 0.7882, 0.90523),
        (10, 60): (0.9285, 0.95208, 1.0),
        (26, 40): (0.76173, 0.79011, 0.82661),
        (40, 13): (0.15565, 0.09073, 0.09205),
        (52, 79): (0.0201, 0.02128, 0.01402),
    },
    "flower": {
        (0, 0): (0.02269, 0.08372, 0.0641),
        (10, 60): (0.00002, 0.27064, 0.27049),
        (26, 40): (0.75021, 0.27062, 0.10894),
        (40, 13): (0.01728, 0.09636, 0.08634),
        (52, 79): (0.0227, 0.1742, 0.09268),
    },
}
MEANS = {"china": (0.56971, 0.57269, 0.55533), "flower": (0.21531, 0.28827, 0.22363)}


@pytest.mark.parametrize("picture", COEFFICIENTS)
def test_the_photo_is_what_the_file_holds(picture: str) -> None:
    colours = load_photo(picture)
    assert colours.shape == (53, 80, 3)
    for place, means in COEFFICIENTS[picture].items():
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
