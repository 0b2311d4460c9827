"""Lab: the way down may lead away from the minimum, around a hill, or to no point at all."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from thalweg.labs.lab import Lab, Theory
from thalweg.labs.picture import Axis, Picture, curve
from thalweg.labs.settings import setting
from thalweg.labs.slider import Slider
from thalweg.labs.watching import NOTHING, OfPoint, Patient, value
from thalweg.optim import SGD
from thalweg.solvers import minimize

_HEIGHT, _DEPTH, _PLACE = 1.0, 2.0, 4.0
"""The hill e^{−x²/2} of height 1, and a valley of depth 2 at x = 4."""
_HILL_RATE = 0.05
_WALL = 20.0
"""How steep the walls of the ring are, compared with its slope."""


@dataclass(frozen=True)
class Settings:
    """What can be chosen."""

    side: float = setting(0.3, "distance of both starts from the top of the hill", low=0.15, high=1)
    turn: float = setting(
        0.1, "angle of the ring's start from its far end, in radians", low=0.05, high=1
    )
    rate: float = setting(0.02, "learning rate on the ring", low=0.02, high=0.04)
    steps: int = setting(1000, "steps of each run", low=1000, high=20_000)


@dataclass(frozen=True)
class Data:
    """Paths: of x from both sides of the hill, of (x, y) along the ring, and of w on separable classes."""

    settings: Settings
    left: Tensor
    right: Tensor
    best: float
    ring: Tensor
    weight: Tensor


def compute(chosen: Settings) -> Data:
    """Descend three landscapes."""
    far = math.pi - chosen.turn
    start = torch.tensor([math.cos(far), math.sin(far)], dtype=torch.float64)
    left, right = (
        _descend(_hill, torch.tensor(x, dtype=torch.float64), _HILL_RATE, chosen.steps)
        for x in (-chosen.side, chosen.side)
    )
    best = minimize(_hill, torch.tensor(_PLACE, dtype=torch.float64)).fun
    ring = _descend(_ring, start, chosen.rate, chosen.steps)
    weight = _descend(_separable, torch.zeros((), dtype=torch.float64), 1.0, chosen.steps)
    return Data(chosen, left, right, best, ring, weight)


def _hill(x: Tensor) -> Tensor:
    """Return a hill at 0, a valley on its right, and a plain on its left."""
    return _HEIGHT * torch.exp(-(x**2) / 2) - _DEPTH * torch.exp(-((x - _PLACE) ** 2) / 2)


def _ring(point: Tensor) -> Tensor:
    """Return a round valley of radius 1 with its floor falling to (1, 0)."""
    r = point.square().sum().sqrt()
    value: Tensor = _WALL / 2 * (r - 1) ** 2 + (1 - point[0] / r) / 2
    return value


def _separable(w: Tensor) -> Tensor:
    """Return −log of the likelihood of x = 1 being of class 1, and of x = −1 being of class 0."""
    return torch.nn.functional.softplus(-w)


def _descend(fun: Callable[[Tensor], Tensor], start: Tensor, rate: float, steps: int) -> Tensor:
    at, path = start, [start]
    for _ in range(steps):
        at = at.detach().requires_grad_()
        (g,) = torch.autograd.grad(fun(at), at)
        at = at.detach() - rate * g
        path.append(at)
    return torch.stack(path)


def detect(data: Data) -> dict[str, float]:
    """Return where the runs end, how long the way around was, and how the weight grows."""
    arc = float((data.ring[1:] - data.ring[:-1]).norm(dim=1).sum())
    chord = float((data.ring[-1] - data.ring[0]).norm())
    return {
        "wrong side of the hill: value at the end": float(_hill(data.left[-1])),
        "right side of the hill: value at the end": float(_hill(data.right[-1])),
        "ring: length of the way": arc,
        "ring: the way / the straight line": arc / chord,
        "separable classes: weight at the end": float(data.weight[-1]),
        "separable classes: weight gained by the last half of the steps": float(
            data.weight[-1] - data.weight[len(data.weight) // 2]
        ),
    }


def prove(data: Data) -> dict[str, Theory]:
    """Return the plain's height, the valley's, the arc, and the weight of the flow w + eʷ = 1 + t."""
    turn, steps = data.settings.turn, data.settings.steps
    chord = 2 * math.cos(turn / 2)
    weight, half = _flow(steps), _flow(steps / 2)
    return {
        "wrong side of the hill: value at the end": Theory(
            0.0, 0.02, "the plain on the left is 0, and has no end: the run goes on for ever"
        ),
        "right side of the hill: value at the end": Theory(
            data.best, 1e-6, "the valley, which a solver finds that begins in it"
        ),
        "ring: length of the way": Theory(
            math.pi - turn,
            0.02 * math.pi,
            "π less the angle at the start; the path cuts the bend a little",
        ),
        "ring: the way / the straight line": Theory(
            (math.pi - turn) / chord, 0.04, "up to π/2, and no bound where valleys are more winding"
        ),
        "separable classes: weight at the end": Theory(
            weight,
            0.3,
            "w + eʷ = 1 + t, of gradient flow: near log t; a step of length 1 is a little ahead",
        ),
        "separable classes: weight gained by the last half of the steps": Theory(
            weight - half, 0.01, "log 2: as much again for each doubling, without end"
        ),
    }


def _flow(t: float) -> float:
    """Return w with w + eʷ = 1 + t, by Newton's method."""
    w = math.log1p(t)
    for _ in range(50):
        w -= (w + math.exp(w) - 1 - t) / (1 + math.exp(w))
    return w


def draw(data: Data) -> Picture:
    """Draw the value over the steps of each run."""
    steps = [*range(50), *range(50, len(data.left), 10)]
    ring = torch.stack([_ring(point) for point in data.ring])
    return Picture(
        curves=(
            curve("wrong side of the hill", steps, _hill(data.left)[steps].tolist()),
            curve("right side of the hill", steps, _hill(data.right)[steps].tolist()),
            curve("around the ring", steps, ring[steps].tolist()),
            curve("separable classes", steps, _separable(data.weight)[steps].tolist()),
        ),
        x=Axis("steps"),
        y=Axis("value"),
        hint="From both sides of the hill the loss falls, and only one way leads to the valley. "
        "Around the ring it rests for long before it falls. On separable classes it falls for "
        "ever.",
    )


def patients(chosen: Settings) -> list[Patient]:
    """Return descent from the wrong side of the hill, onto the plain."""
    model = OfPoint(_hill, torch.tensor(-chosen.side, dtype=torch.float64))
    optimizer = SGD(model.parameters(), lr=_HILL_RATE)
    return [
        Patient(
            "wrong side of the hill",
            *(model, optimizer, value, [NOTHING] * chosen.steps),
            meant=("plateau_or_saddle",),
        )
    ]


LAB = Lab(
    name="local-structure",
    title="Down is not always the way to the minimum",
    what="Three landscapes without bad minima or saddles. Beside a hill, a start on the wrong side "
    "descends to a plain that has no end, and never sees the valley on the other side. In a "
    "round valley the way is half as long again as the straight line. And on classes that a "
    "line can separate the loss has no minimum: the weight grows like log t, for ever.",
    why="The gradient knows the surroundings of a point only. Where they do not point to the "
    "minimum, small steps, however good, lead elsewhere or take a long way around; crossing the "
    "hill would need a step that nothing suggests. A likelihood without a minimum makes the "
    "weights grow as long as one trains. Much of that is avoided by a start in the right "
    "region.",
    source="Goodfellow, Bengio and Courville, Deep Learning, section 8.2.7",
    settings=Settings,
    compute=compute,
    detect=detect,
    prove=prove,
    draw=draw,
    slider=Slider(
        "side",
        "distance of both starts from the top of the hill",
        (0.15, 0.2, 0.3, 0.5, 0.7, 1.0),
        0.3,
        "Nearer to the top 1000 steps do not lead down; farther away the valley's slope begins.",
    ),
    patients=patients,
)
"""The lab `local-structure`."""
