"""The networks of benchmarks/starts.py with which the recommendation was made. All learn the digits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from torch import Tensor, nn

WIDTH, CLASSES = 64, 10
PIXELS = 64

Build = Callable[[], nn.Module]
Activation = Callable[[], nn.Module]


class Residual(nn.Module):
    """x + a branch of two layers, with a normalization before them or without."""

    def __init__(self, width: int, activation: Activation = nn.ReLU, norm: bool = False) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            *([nn.LayerNorm(width)] if norm else []),
            *(activation(), nn.Linear(width, width), activation(), nn.Linear(width, width)),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Add the branch."""
        return x + self.branch(x)  # type: ignore[no-any-return]


def plain(depth: int, activation: Activation, norm: bool = False, width: int = WIDTH) -> Build:
    return tapered([width] * depth, activation, norm)


def tapered(widths: Sequence[int], activation: Activation, norm: bool = False) -> Build:
    def build() -> nn.Module:
        layers: list[nn.Module] = []
        for into, width in zip([PIXELS, *widths], widths, strict=False):
            layers.append(nn.Linear(into, width))
            layers += [nn.LayerNorm(width)] if norm else []
            layers.append(activation())
        return nn.Sequential(*layers, nn.Linear(widths[-1], CLASSES))

    return build


def residual(
    depth: int, activation: Activation = nn.ReLU, norm: bool = False, width: int = WIDTH
) -> Build:
    return lambda: nn.Sequential(
        nn.Linear(PIXELS, width),
        *(Residual(width, activation, norm) for _ in range(depth // 2)),
        nn.Linear(width, CLASSES),
    )


def convolutions(
    depth: int, activation: Activation = nn.ReLU, channels: int = 12, norm: bool = False
) -> Build:
    def build() -> nn.Module:
        layers: list[nn.Module] = [nn.Unflatten(1, (1, 8, 8))]
        for k in range(depth):
            layers.append(nn.Conv2d(channels if k else 1, channels, 3, padding=1))
            layers += [nn.BatchNorm2d(channels)] if norm else []
            layers.append(activation())
        return nn.Sequential(
            *layers, nn.AvgPool2d(2), nn.Flatten(), nn.Linear(channels * 16, CLASSES)
        )

    return build


NETWORKS: dict[str, Build] = {
    "2 ReLU": plain(2, nn.ReLU),
    "10 ReLU": plain(10, nn.ReLU),
    "20 ReLU": plain(20, nn.ReLU),
    "40 ReLU": plain(40, nn.ReLU),
    "10 tanh": plain(10, nn.Tanh),
    "40 tanh": plain(40, nn.Tanh),
    "20 GELU": plain(20, nn.GELU),
    "20 leaky ReLU": plain(20, partial(nn.LeakyReLU, 0.1)),
    "20 ReLU, layer norm": plain(20, nn.ReLU, norm=True),
    "residual, 5 blocks": residual(10),
    "residual, 25 blocks": residual(50),
    "6 convolutions": convolutions(6),
}

OTHERS: dict[str, Build] = {
    "15 ReLU, width 128": plain(15, nn.ReLU, width=128),
    "30 tanh, width 32": plain(30, nn.Tanh, width=32),
    "8 GELU, width 96": plain(8, nn.GELU, width=96),
    "12 SiLU": plain(12, nn.SiLU),
    "30 ELU, width 48": plain(30, nn.ELU, width=48),
    "5 sigmoid": plain(5, nn.Sigmoid),
    "narrowing ReLU": tapered([128, 128, 96, 96, 64, 64, 32, 32], nn.ReLU),
    "10 tanh, layer norm": plain(10, nn.Tanh, norm=True, width=48),
    "residual tanh, 10 blocks": residual(20, nn.Tanh, width=48),
    "residual GELU, layer norm, 8 blocks": residual(16, nn.GELU, norm=True, width=48),
    "10 convolutions, tanh": convolutions(10, nn.Tanh, channels=8),
    "5 convolutions, batch norm": convolutions(5, channels=8, norm=True),
}
