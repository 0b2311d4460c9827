"""Models that are not plain sequences: residual, with functions between the layers, of transformers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.train.helpers import blobs
from thalweg.tasks import Task


class Convolutions(nn.Module):
    """Convolutions with batch normalization and functions between them."""

    def __init__(self, first: int = 4, second: int = 6, hidden: int = 5) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(2, first, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(first)
        self.conv2 = nn.Conv2d(first, second, 3)
        self.fc1 = nn.Linear(second * 4, hidden)
        self.fc2 = nn.Linear(hidden, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.max_pool2d(functional.relu(self.bn1(self.conv1(x))), 2)
        x = functional.relu(self.conv2(x))
        x = x.view(x.size(0), -1)
        return self.fc2(functional.dropout(functional.relu(self.fc1(x)), 0.0, self.training))


class Block(nn.Module):
    """Two convolutions and a skip connection, with a convolution where the width changes."""

    def __init__(self, a: int, inner: int, b: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(a, inner, 3, padding=1), nn.BatchNorm2d(inner)
        self.conv2, self.bn2 = nn.Conv2d(inner, b, 3, padding=1), nn.BatchNorm2d(b)
        self.relu = nn.ReLU(inplace=True)
        self.skip = nn.Identity() if a == b else nn.Conv2d(a, b, 1)

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        out += self.skip(x)
        return self.relu(out)


class Residual(nn.Module):
    """A stem, two blocks, a mean over places."""

    def __init__(self, width: int = 4, inner: int = 5, last: int = 6) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, width, 3, padding=1)
        self.blocks = nn.Sequential(Block(width, inner, width), Block(width, inner, last))
        self.head = nn.Linear(last, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(self.stem(x)).mean((2, 3)))


class Gated(nn.Module):
    """Depthwise and dense connections, and a gate for each channel."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, width, 1)
        self.depthwise = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.act = nn.PReLU(width)
        self.squeeze, self.gate = nn.Linear(width, 3), nn.Linear(3, width)
        self.dense = nn.Conv2d(2 + width, 5, 3, padding=1)
        self.up = nn.ConvTranspose2d(5, 3, 2, stride=2)
        self.out = nn.Linear(3 * 64, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = self.act(self.depthwise(self.first(x)))
        gate = torch.sigmoid(self.gate(torch.relu(self.squeeze(h.mean([-1, -2])))))
        h = torch.cat([x, h * gate[:, :, None, None]], 1)
        h = functional.gelu(self.up(functional.silu(self.dense(h))))
        return self.out(h.permute(0, 2, 3, 1).flatten(1))


class Transformer(nn.Module):
    """A block with attention and a feed-forward block, before each of which the rows are normalized."""

    def __init__(self, hidden: int = 6) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.randn(1, 3, 4))
        self.norms = nn.ModuleList([nn.LayerNorm(4), nn.LayerNorm(4)])
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.up, self.down = nn.Linear(4, hidden), nn.Linear(hidden, 4)
        self.value, self.act = nn.Linear(4, hidden), nn.ReLU()
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.place
        h = self.norms[0](x)
        x = x + self.attention(h, h, h, need_weights=False)[0]
        h = self.norms[1](x)
        x = x + self.down(self.act(self.up(h)) * self.value(h))
        return self.head(x.mean(1))


@dataclass(frozen=True)
class Grown:
    """A model, the shape of a row, and how it may grow."""

    make: Callable[[], nn.Module]
    shape: tuple[int, ...]
    widths: dict[str, int]
    alike: dict[str, int]
    deepen: tuple[str, ...]


def encoder() -> nn.Module:
    return nn.TransformerEncoderLayer(4, 2, 6, dropout=0.0, batch_first=True)


GROWN = {
    "convolutions": Grown(
        Convolutions, (2, 8, 8), {"conv1": 7, "conv2": 8, "fc1": 9}, {}, ("bn1", "conv2", "fc1")
    ),
    "residual": Grown(
        Residual,
        (2, 4, 4),
        {"stem": 7, "blocks.1.conv1": 11, "blocks.1.conv2": 8},
        {"blocks.0.conv2": 7, "blocks.1.skip": 8},
        ("blocks.0.bn1", "blocks.1.bn1"),
    ),
    "gated": Grown(
        Gated, (2, 4, 4), {"first": 6, "squeeze": 4, "dense": 8, "up": 5}, {"gate": 6}, ("squeeze",)
    ),
    "transformer": Grown(Transformer, (3, 4), {"up": 10}, {"value": 10}, ("act",)),
    "encoder": Grown(encoder, (3, 4), {"linear1": 9}, {}, ()),
}


def lived(model: nn.Module, *shape: int) -> tuple[nn.Module, Tensor]:
    """Return the model with running statistics that are its own, in float64, and inputs."""
    x = torch.randn(16, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    model = model.double()
    with torch.no_grad():
        for _ in range(3):
            model(2 * x + 1)
    return model.eval(), x


def pictures(model: Callable[[], nn.Module], rows: int = 32) -> Task:
    """Two classes of pictures, and a model in float64."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(rows, 2, 8, 8, generator=generator, dtype=torch.float64)
    return blobs(data=(x, (x.mean((1, 2, 3)) > 0).long()), model=lambda: model().double())
