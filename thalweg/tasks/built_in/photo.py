"""A photo as a function: a network that maps coordinates to colours."""

from __future__ import annotations

import importlib.resources
import math

import numpy as np
import torch
from torch import Tensor, nn

from thalweg.errors import MissingExtraError, TaskError, suggest
from thalweg.objective import Cost
from thalweg.tasks.built_in.dense import mlp
from thalweg.tasks.data import Data
from thalweg.tasks.pictures import block_means, read_picture
from thalweg.tasks.stated import built_in
from thalweg.tasks.target import Target
from thalweg.tasks.task import Task

_OCTAVES = 4
_PICTURES = ("china", "flower")


class Waves(nn.Module):
    """Coordinates (rows, 2) in [−1, 1] as sines and cosines of 2ᵏπx, k < octaves:
    (rows, 4·octaves).
    """

    def __init__(self, octaves: int = _OCTAVES) -> None:
        super().__init__()
        self.frequencies: Tensor
        frequencies = math.pi * 2.0 ** torch.arange(octaves, dtype=torch.get_default_dtype())
        self.register_buffer("frequencies", frequencies, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the waves at each row of `x`."""
        phases = (x[:, :, None] * self.frequencies).flatten(1)
        return torch.cat([phases.sin(), phases.cos()], 1)


@built_in(
    target=Target("loss", 0.011),
    seconds=0.7,
    data_hash="65cb4218e19f021c18e57195b6eaa13bcf6297c73b4ed41f1dd54f48d0209270",
    other_data=("picture",),
)
def photo(picture: str = "china") -> Task:
    """A photo (scikit-learn): a network from coordinates to colours.

    `picture` is "china", a temple of 80 × 53 pixels, or "flower": scikit-learn's sample photos at
    an eighth of their size. Coordinates lie in [−1, 1], colours in [0, 1]; a tenth of the pixels is
    kept for validation. The network is 16-64-64-3 on sines and cosines of the coordinates. The loss
    is the mean squared error. 30 epochs in batches of 128 are 900 steps; Adam at lr = 0.01 is there
    after some 340. Source: M. Tancik et al., Fourier features let networks learn high frequency
    functions in low dimensional domains, NeurIPS 2020.
    """
    colours = load_photo(picture)
    height, width, _ = colours.shape
    rows, columns = np.meshgrid(
        np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij"
    )
    x = np.stack([rows, columns], axis=2).reshape(-1, 2).astype("float32")
    y = colours.reshape(-1, 3).astype("float32")
    return Task(
        data=Data.arrays(x, y, validation=0.1),
        cost=Cost("mse"),
        model=lambda: nn.Sequential(Waves(), *mlp([4 * _OCTAVES, 64, 64, 3])),
        description=f"The photo {picture!r} as a function of the coordinates",
    )


def load_photo(picture: str) -> np.ndarray:
    """Return a sample photo of scikit-learn at an eighth of its size (height, width, 3), 0 to 1: the
    means of blocks of 8 × 8 pixels.
    """
    if picture not in _PICTURES:
        raise TaskError(
            f"There is no picture {picture!r}.{suggest(str(picture), _PICTURES)} There are: "
            f"{', '.join(_PICTURES)}."
        )
    try:
        folder = importlib.resources.files("sklearn.datasets.images")
    except ImportError:
        raise MissingExtraError("scikit-learn", "The photo task") from None
    pixels = read_picture((folder / f"{picture}.jpg").read_bytes())
    return block_means(pixels, 8) / 255
