"""What a step of one optimizer with routes takes, beside one optimizer for each route, in processor time.

    python benchmarks/routing.py               small and larger networks, Lion and AdamW; then Muon and AdamW
    python benchmarks/routing.py --threads 2 --seconds 20

Contestants are interleaved. "two" are two optimizers over the same parameters, "alone" AdamW over all of
them. A ratio below 1 says that routes take less than two optimizers.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import torch
from _contest import Neighbours, contest
from solvers_speed import Timed
from torch import nn

from thalweg import Optimizer, optim, route
from thalweg.rules import lion
from thalweg.rules.adam import adamw

SIZES = ((16, 4), (32, 24), (256, 12))
"""Width, and how many layers."""


def network(width: int, layers: int) -> nn.Module:
    """Return a network with gradients, the same for every contestant."""
    torch.manual_seed(0)
    inner = [m for _ in range(layers) for m in (nn.Linear(width, width), nn.LayerNorm(width))]
    model = nn.Sequential(nn.Linear(16, width), *inner, nn.Linear(width, 16))
    for p in model.parameters():
        p.grad = torch.randn_like(p)
    return model


def parted(width: int, layers: int) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Return the hidden matrices of a network, and its other parameters."""
    model = network(width, layers)
    routes = Optimizer(model, route(hidden=lion, rest=adamw())).routes().rows
    hidden = {row.name for row in routes if row.route == "hidden"}
    named = dict(model.named_parameters())
    return (
        [p for name, p in named.items() if name in hidden],
        [p for name, p in named.items() if name not in hidden],
    )


def of_lion(width: int, layers: int) -> dict[str, list[Any]]:
    """Return the optimizers of each contestant, for Lion and AdamW."""
    hidden, rest = parted(width, layers)
    return {
        "routes": [Optimizer(network(width, layers), route(hidden=lion, rest=adamw()), lr=1e-4)],
        "two": [Optimizer(hidden, lion, lr=1e-4), Optimizer(rest, adamw(), lr=1e-4)],
        "alone": [Optimizer(network(width, layers), adamw(), lr=1e-4)],
    }


def of_muon(width: int, layers: int) -> dict[str, list[Any]]:
    """Return the optimizers of each contestant, for Muon and AdamW."""
    hidden, rest = parted(width, layers)
    return {
        "routes": [optim.Muon(network(width, layers), lr=1e-4)],
        "two": [
            optim.Muon(hidden, lr=1e-4, adjust_lr_fn="match_rms_adamw"),
            optim.AdamW(rest, lr=1e-4, weight_decay=0.1),
        ],
        "alone": [Optimizer(network(width, layers), adamw(), lr=1e-4)],
    }


def stepping(optimizers: list[Any]) -> Callable[[], None]:
    """Return a function that steps all of them."""

    def step() -> None:
        for each in optimizers:
            each.step()

    return step


def measure(title: str, optimizers: dict[str, list[Any]], seconds: float) -> None:
    """Print the microseconds of a step of each contestant, and the ratio."""
    contestants = [Timed(name, stepping(each)) for name, each in optimizers.items()]
    contest(contestants, seconds)
    took = {c.name: c.median for c in contestants}
    shown = "  ".join(f"{name} {1e6 * t:9.1f} µs" for name, t in took.items())
    print(f"{title:32s} {shown}  routes / two {took['routes'] / took['two']:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each comparison")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    neighbours = Neighbours()
    for width, layers in SIZES:
        title = f"Lion, {layers} layers of {width}"
        measure(title, of_lion(width, layers), options.seconds)
    for width, layers in SIZES:
        measure(f"Muon, {layers} layers of {width}", of_muon(width, layers), options.seconds)
    warning = neighbours.warning()
    if warning:
        print(warning)


if __name__ == "__main__":
    main()
