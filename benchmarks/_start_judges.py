"""The networks of benchmarks/starts.py that judge the recommendation: of kinds that played no part in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from _start_networks import CLASSES, PIXELS, Build, plain
from torch import Tensor, nn

SIDE = 8

Data = tuple[Tensor, Tensor]


def as_given(x: Tensor, y: Tensor) -> Data:
    """The digits and their names."""
    return x, y


def images(x: Tensor, y: Tensor) -> Data:
    """The digits and themselves."""
    return x, x


def pairs(x: Tensor, y: Tensor) -> Data:
    """Two digits beside one another, and how far their numbers are apart, in threes."""
    other = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    apart = (y - y[other]).abs().to(x.dtype) / 3
    return torch.cat([x, x[other]], 1), apart[:, None]


@dataclass(frozen=True)
class Problem:
    """A network, what it is to learn, and when it has."""

    build: Build
    data: Callable[[Tensor, Tensor], Data] = as_given
    loss: str = "cross_entropy"
    target: float = 0.2
    faster: float = 1.0
    """What the learning rates are multiplied by: a mean over outputs has a smaller curvature."""


class Added(nn.Sequential):
    """x + what the layers make of it."""

    def forward(self, x: Tensor) -> Tensor:
        """Add the branch."""
        return x + super().forward(x)  # type: ignore[no-any-return]


class Transposed(nn.Sequential):
    """The layers along the other axis: over tokens instead of channels."""

    def forward(self, x: Tensor) -> Tensor:
        """Turn the last two axes, and back."""
        return super().forward(x.transpose(1, 2)).transpose(1, 2)  # type: ignore[no-any-return]


class Joined(nn.Sequential):
    """x and what the layers make of it, side by side."""

    def forward(self, x: Tensor) -> Tensor:
        """Append the branch."""
        return torch.cat([x, super().forward(x)], 1)


class Last(nn.Module):
    """The last state of a GRU."""

    def __init__(self, into: int, width: int) -> None:
        super().__init__()
        self.gru = nn.GRU(into, width, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        """Read a sequence."""
        return self.gru(x)[1][0]  # type: ignore[no-any-return]


class Mean(nn.Module):
    """The mean over the tokens."""

    def forward(self, x: Tensor) -> Tensor:
        """Drop the axis of the tokens."""
        return x.mean(1)


class Sine(nn.Module):
    """An activation whose gain nobody knows."""

    def forward(self, x: Tensor) -> Tensor:
        """Take the sine."""
        return x.sin()


class Positions(nn.Module):
    """A vector for each place, added to the token there."""

    def __init__(self, tokens: int, width: int) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.randn(tokens, width) / 10)

    def forward(self, x: Tensor) -> Tensor:
        """Add the places."""
        return x + self.place


class Siamese(nn.Module):
    """How far two inputs are apart, by what one tower makes of each."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        tower: list[nn.Module] = []
        for k in range(depth):
            tower += [nn.Linear(width if k else PIXELS, width), nn.ReLU()]
        self.tower = nn.Sequential(*tower, nn.Linear(width, width))
        self.head = nn.Linear(width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Compare the halves of the inputs."""
        one, other = x.split(PIXELS, 1)
        return self.head((self.tower(one) - self.tower(other)).abs())  # type: ignore[no-any-return]


def rows() -> nn.Module:
    """Eight tokens, each a row of the image."""
    return nn.Unflatten(1, (SIDE, SIDE))


def recurrent(width: int) -> Build:
    return lambda: nn.Sequential(
        rows(),
        *(nn.Linear(SIDE, width), nn.Tanh(), Last(width, width)),
        *(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, CLASSES)),
    )


def mixer(blocks: int, width: int) -> Build:
    def mixing(size: int) -> nn.Sequential:
        return nn.Sequential(nn.Linear(size, 2 * size), nn.GELU(), nn.Linear(2 * size, size))

    def block() -> nn.Module:
        across = Added(nn.LayerNorm(width), Transposed(mixing(SIDE)))
        return nn.Sequential(across, Added(nn.LayerNorm(width), mixing(width)))

    return lambda: nn.Sequential(
        rows(), nn.Linear(SIDE, width), *(block() for _ in range(blocks)), Mean(), head(width)
    )


def transformer(layers: int, width: int) -> Build:
    def layer() -> nn.Module:
        return nn.TransformerEncoderLayer(width, 4, 2 * width, dropout=0.0, batch_first=True)

    return lambda: nn.Sequential(
        *(rows(), nn.Linear(SIDE, width), Positions(SIDE, width)),
        *(layer() for _ in range(layers)),
        *(Mean(), head(width)),
    )


def head(width: int) -> nn.Module:
    return nn.Linear(width, CLASSES)


def depthwise(blocks: int, channels: int) -> Build:
    def block() -> list[nn.Module]:
        apart = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        return [apart, nn.ReLU(), nn.Conv2d(channels, channels, 1), nn.ReLU()]

    def build() -> nn.Module:
        first = [nn.Unflatten(1, (1, SIDE, SIDE)), nn.Conv2d(1, channels, 3, padding=1), nn.ReLU()]
        layers = [layer for _ in range(blocks) for layer in block()]
        return nn.Sequential(
            *first, *layers, nn.AvgPool2d(2), nn.Flatten(), nn.Linear(channels * 16, CLASSES)
        )

    return build


def joined(layers: int, growth: int) -> Build:
    return lambda: nn.Sequential(
        *(
            Joined(nn.Linear(PIXELS + k * growth, growth), nn.ReLU(), nn.Linear(growth, growth))
            for k in range(layers)
        ),
        nn.Linear(PIXELS + layers * growth, CLASSES),
    )


def gated(depth: int, width: int) -> Build:
    def build() -> nn.Module:
        layers: list[nn.Module] = []
        for k in range(depth):
            layers += [nn.Linear(width if k else PIXELS, 2 * width), nn.GLU()]
        return nn.Sequential(*layers, head(width))

    return build


def bottleneck(*widths: int) -> Build:
    def build() -> nn.Module:
        layers: list[nn.Module] = []
        for into, width in zip([PIXELS, *widths], widths, strict=False):
            layers += [nn.Linear(into, width), nn.Sigmoid()]
        return nn.Sequential(*layers, nn.Linear(widths[-1], PIXELS))

    return build


JUDGES: dict[str, Problem] = {
    "GRU over rows": Problem(recurrent(32)),
    "12 ReLU, width 20": Problem(plain(12, nn.ReLU, width=20)),
    "mixer, 2 blocks": Problem(mixer(2, 24)),
    "depthwise convolutions, 3 blocks": Problem(depthwise(3, 8)),
    "post-norm transformer, 2 layers": Problem(transformer(2, 24)),
    "sigmoid autoencoder": Problem(bottleneck(32, 16, 32), images, "mse_loss", 0.06, 30.0),
    "siamese ReLU, Huber": Problem(lambda: Siamese(48, 4), pairs, "huber_loss", 0.1),
    "8 gated layers": Problem(gated(8, 48)),
    "densely joined ReLU, 6 layers": Problem(joined(6, 24)),
    "8 sine layers": Problem(plain(8, Sine, width=48)),
}
