"""Lab: many points of weight space are the same model."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from thalweg.labs.lab import Lab, Theory
from thalweg.labs.picture import Axis, Picture, curve
from thalweg.labs.settings import setting
from thalweg.labs.slider import Slider

_INPUTS, _ROWS = 2, 40
_SCALES = 9
"""Scales α that are tried on each side of 1."""

Point = list[Tensor]
"""The matrices W₁ (n, inputs), W₂ (n, n), …, and the row a (1, n) at the end."""


@dataclass(frozen=True)
class Settings:
    """What can be chosen."""

    units: int = setting(4, "units n of a hidden layer", low=2, high=5)
    layers: int = setting(2, "hidden layers m", low=1, high=2)
    scale: float = setting(10.0, "largest scale α of a layer", low=1.5, high=1000)
    seed: int = setting(0, "seed of data and weights", low=0)


@dataclass(frozen=True)
class Data:
    """What the symmetries of one network do.

    `losses` are those of all permutations of units, `points` how many of these are different weights;
    `scales`, `scaled` and `norms` what scaling the first layer by α and the last by 1/α does to loss and
    gradient; `first`, `last` and `rest` the squared norms of the gradient's parts at α = 1.
    """

    settings: Settings
    loss: float
    losses: Tensor
    points: int
    scales: list[float]
    scaled: list[float]
    norms: list[float]
    first: float
    last: float
    rest: float
    along: float


def compute(chosen: Settings) -> Data:
    """Permute the units of each hidden layer in every way, then scale two layers against each other."""
    draws = torch.Generator().manual_seed(chosen.seed)
    x = torch.randn(_ROWS, _INPUTS, generator=draws, dtype=torch.float64)
    y = torch.randn(_ROWS, generator=draws, dtype=torch.float64)
    shapes = [
        (chosen.units, _INPUTS),
        *[(chosen.units,) * 2] * (chosen.layers - 1),
        (1, chosen.units),
    ]
    point = [torch.randn(shape, generator=draws, dtype=torch.float64) for shape in shapes]
    losses, points = _permuted(point, x, y, chosen.units)
    scales = [chosen.scale ** (k / _SCALES) for k in range(-_SCALES, _SCALES + 1)]
    at = [_scaled(point, scale) for scale in scales]
    gradients = [_gradient(each, x, y) for each in at]
    own = _gradient(point, x, y)
    return Data(
        settings=chosen,
        loss=float(_loss(point, x, y)),
        losses=losses,
        points=points,
        scales=scales,
        scaled=[float(_loss(each, x, y)) for each in at],
        norms=[math.sqrt(sum(float(g.square().sum()) for g in each)) for each in gradients],
        first=float(own[0].square().sum()),
        last=float(own[-1].square().sum()),
        rest=sum(float(g.square().sum()) for g in own[1:-1]),
        along=float((own[0] * point[0]).sum() - (own[-1] * point[-1]).sum()),
    )


def _loss(point: Point, x: Tensor, y: Tensor) -> Tensor:
    h = x
    for matrix in point[:-1]:
        h = torch.relu(h @ matrix.T)
    return (h @ point[-1][0] - y).square().mean() / 2


def _gradient(point: Point, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    leaves = [each.clone().requires_grad_() for each in point]
    return torch.autograd.grad(_loss(leaves, x, y), leaves)


def _permuted(point: Point, x: Tensor, y: Tensor, units: int) -> tuple[Tensor, int]:
    """Return the losses of all permutations of hidden units, and how many of the points differ."""
    orders = list(itertools.permutations(range(units)))
    losses, seen = [], set()
    for ways in itertools.product(orders, repeat=len(point) - 1):
        moved = list(point)
        for layer, way in enumerate(ways):
            moved[layer] = moved[layer][list(way)]
            moved[layer + 1] = moved[layer + 1][:, list(way)]
        losses.append(_loss(moved, x, y))
        seen.add(tuple(torch.cat([each.flatten() for each in moved]).tolist()))
    return torch.stack(losses), len(seen)


def _scaled(point: Point, scale: float) -> Point:
    return [point[0] * scale, *point[1:-1], point[-1] / scale]


def detect(data: Data) -> dict[str, float]:
    """Return the number of equal points, the ranges of the loss, and the gradient's norm."""
    return {
        "permutations: different points": data.points,
        "permutations: range of the loss": float(data.losses.max() - data.losses.min()) / data.loss,
        "scales: range of the loss": (max(data.scaled) - min(data.scaled)) / data.loss,
        "largest scale: norm of the gradient": data.norms[-1],
        "gradient along the direction of scaling": data.along,
    }


def prove(data: Data) -> dict[str, Theory]:
    """Return n!ᵐ, 0, 0, what α does to each layer's gradient, and 0."""
    n, m, scale = data.settings.units, data.settings.layers, data.settings.scale
    norm = math.sqrt(data.first / scale**2 + data.last * scale**2 + data.rest)
    return {
        "permutations: different points": Theory(
            math.factorial(n) ** m, 0.0, "n!ᵐ: each of m layers has n! orders of its units"
        ),
        "permutations: range of the loss": Theory(
            0.0,
            1e-12,
            "a unit that moves takes its weights along; sums in another order round otherwise",
        ),
        "scales: range of the loss": Theory(0.0, 1e-11, "relu(αz) = α·relu(z) for α > 0; rounding"),
        "largest scale: norm of the gradient": Theory(
            norm,
            1e-9 * norm,
            "the gradient of what is multiplied by α is divided by it: √(g₁²/α² + g₂²α²)",
        ),
        "gradient along the direction of scaling": Theory(
            0.0, 1e-10, "the loss is constant there: Σw₁g₁ = Σw₂g₂"
        ),
    }


def draw(data: Data) -> Picture:
    """Draw loss and norm of the gradient over the scale."""
    return Picture(
        curves=(
            curve("loss", data.scales, data.scaled),
            curve("norm of the gradient", data.scales, data.norms, dots=True),
        ),
        x=Axis("scale α of the first layer, 1/α of the last", log=True),
        y=Axis("value", log=True),
        hint="All these points are the same function. Its gradient can be made as long as one "
        "likes: a long gradient is not a sign that a model is far from a minimum, and a step that "
        "suits one point is too long for another.",
    )


LAB = Lab(
    name="identifiability",
    title="One function, very many points",
    what="The units of a small ReLU network are put into every order, each with the weights that "
    "lead to it and from it: n!ᵐ different points, all with the same loss. Then the first "
    "layer is multiplied by α and the last divided by it: a curve of points with the same "
    "loss, along which the gradient's norm changes as one likes.",
    why="A network cannot tell its units apart, nor relu(αz)/α from relu(z). So no data, however "
    "many, single out one point: every minimum comes with n!ᵐ copies, each of them a surface. "
    "Such minima are no trouble, for all are as good. But distances, norms of gradients and "
    "curvatures depend on the copy, and say little by themselves.",
    source="Goodfellow, Bengio and Courville, Deep Learning, section 8.2.2",
    settings=Settings,
    compute=compute,
    detect=detect,
    prove=prove,
    draw=draw,
    slider=Slider(
        "scale",
        "largest scale α of a layer",
        (1.5, 3.0, 10.0, 30.0, 100.0, 1000.0),
        10.0,
        "At 1 nothing is scaled; beyond 1000 rounding is seen.",
    ),
    patients="one network is looked at in many points, and none is trained.",
)
"""The lab `identifiability`."""
