"""A physics-informed network: Poisson's equation on the unit square, by Adam, L-BFGS and self-scaled Broyden.

    Δu = f inside, u = 0 on the boundary, with f such that u = sin πx · sin πy + ½ sin 3πx · sin 2πy

The network is multiplied by 16·x(1 − x)·y(1 − y), so that it is zero on the boundary; the loss is the mean
square of Δu − f at fixed points. Adam goes first, then two solvers from the same point.

    python examples/poisson.py                    a few seconds
    python examples/poisson.py --iterations 2000  longer, and lower
"""

from __future__ import annotations

import argparse
import math
import tempfile
from pathlib import Path

import torch
from torch import Tensor, nn

from thalweg import optim
from thalweg.solvers import flat_objective, minimize

WAVES = ((1.0, 1, 1), (0.5, 3, 2))
PICTURE = Path(tempfile.gettempdir()) / "thalweg-poisson.svg"


class Network(nn.Module):
    """u(x, y), zero on the boundary."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(2, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1)
        )

    def forward(self, points: Tensor) -> Tensor:
        """Return u at points, [points, 2]."""
        edge = 16 * (points * (1 - points)).prod(1)
        u: Tensor = edge * self.layers(2 * points - 1)[:, 0]
        return u


def solution(points: Tensor) -> Tensor:
    x, y = math.pi * points.T
    return torch.stack([a * (k * x).sin() * (m * y).sin() for a, k, m in WAVES]).sum(0)


def source(points: Tensor) -> Tensor:
    x, y = math.pi * points.T
    waves = [-a * (k * k + m * m) * math.pi**2 * (k * x).sin() * (m * y).sin() for a, k, m in WAVES]
    return torch.stack(waves).sum(0)


def residuals(network: nn.Module, points: Tensor) -> Tensor:
    points = points.clone().requires_grad_()
    u = network(points).sum()
    (slopes,) = torch.autograd.grad(u, points, create_graph=True)
    second = [
        torch.autograd.grad(slopes[:, axis].sum(), points, create_graph=True)[0][:, axis]
        for axis in (0, 1)
    ]
    return second[0] + second[1] - source(points)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--iterations", type=int, default=100, help="of each solver")
    iterations = parser.parse_args().iterations
    torch.manual_seed(0)
    network = Network().double()
    points = torch.quasirandom.SobolEngine(2).draw(151, dtype=torch.float64)[1:]
    line = torch.linspace(0, 1, 41, dtype=torch.float64)
    grid = torch.cartesian_prod(line, line)

    def loss(network: nn.Module) -> Tensor:
        return residuals(network, points).square().mean()

    def tell(name: str) -> float:
        with torch.no_grad():
            error = (network(grid) - solution(grid)).norm() / solution(grid).norm()
        value = loss(network).item()
        print(f"{name:22} loss {value:9.2e}, relative error of u {error.item():.1e}")
        return value

    adam = optim.Adam(network.parameters(), lr=5e-3)
    for _ in range(200):
        adam.zero_grad()
        loss(network).backward()
        adam.step()
    first = tell("after Adam")

    flat = flat_objective(network, loss)
    for method, name in (("lbfgs", "L-BFGS"), ("ssbroyden", "self-scaled Broyden")):
        result = minimize(flat.fun, flat.x0, method, tol=0, max_iter=iterations)
        flat.write(result.x)
        last = tell(f"… {name}")
    assert last < first / 10
    draw(network, len(line), grid)
    print(f"The picture: {PICTURE}")


def draw(network: nn.Module, side: int, grid: Tensor) -> None:
    """Write a picture of the network's solution and of its error, over the unit square."""
    with torch.no_grad():
        u = network(grid)
    maps = [heat_map(u, "u", side), heat_map(u - solution(grid), "error of u", side)]
    parts = "".join(
        f'<g transform="translate({24 + 424 * k} 48)">{each}</g>' for k, each in enumerate(maps)
    )
    style = "<style>text{font:15px system-ui,sans-serif}</style><rect width='872' height='472' fill='#fff'/>"
    PICTURE.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 872 472">{style}{parts}</svg>',
        encoding="utf-8",
    )


def heat_map(values: Tensor, title: str, side: int) -> str:
    """Return values at the points of a grid as squares: blue below 0, orange above, white at 0."""
    most = values.abs().max().item()
    pixels = 400 / side
    squares = "".join(
        f'<rect x="{(k // side) * pixels:.2f}" y="{400 - (k % side + 1) * pixels:.2f}" '
        f'width="{pixels:.2f}" height="{pixels:.2f}" shape-rendering="crispEdges" '
        f'fill="{"#d04a02" if value > 0 else "#0072b2"}" fill-opacity="{abs(value) / most:.3f}"/>'
        for k, value in enumerate(values.tolist())
    )
    return f'<text y="-16">{title}: white is 0, full colour ±{most:.2g}</text>{squares}'


if __name__ == "__main__":
    main()
