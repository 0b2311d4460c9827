"""Lab: how fast coordinate descent contracts where two variables pull at each other."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from thalweg.errors import TaskError
from thalweg.labs.lab import Lab, Theory
from thalweg.labs.picture import Axis, Picture, curve
from thalweg.labs.settings import setting
from thalweg.labs.slider import Slider, multiples
from thalweg.solvers import Quadratic, Result, coordinate_descent


@dataclass(frozen=True)
class Settings:
    """What can be chosen."""

    alphas: tuple[float, ...] = setting((0.1, 0.3, 1.0, 3.0), "values of α", low=1e-3, high=100)
    start: tuple[float, ...] = setting((-0.6, 1.0), "the start, x₁ and x₂ ≠ 0")
    sweeps: int = setting(8, "sweeps over both variables", low=2, high=40)


@dataclass(frozen=True)
class Contraction:
    """One α: the points after each update, and the result."""

    alpha: float
    path: list[list[float]]
    result: Result


def compute(chosen: Settings) -> list[Contraction]:
    """Return a run for each α."""
    if len(chosen.start) != 2 or chosen.start[1] == 0:
        raise TaskError(f"start must be two numbers, the second not 0; got {chosen.start}.")
    return [_run(alpha, chosen) for alpha in chosen.alphas]


def _run(alpha: float, chosen: Settings) -> Contraction:
    quadratic = Quadratic([[2 + 2 * alpha, -2.0], [-2.0, 2 + 2 * alpha]])
    path = [list(chosen.start)]

    def solve(x: Tensor, block: Tensor) -> Tensor:
        values = quadratic.solve(x, block)
        path.append(x.index_copy(0, block, values).tolist())
        return values

    start = torch.tensor(chosen.start, dtype=torch.float64)
    result = coordinate_descent(quadratic, start, solve=solve, tol=0.0, max_sweeps=chosen.sweeps)
    return Contraction(alpha, path, result)


def detect(runs: list[Contraction]) -> dict[str, float]:
    """Return the factor of x₂ and of the objective in the first sweeps after the first."""
    found = {}
    for run in runs:
        history = run.result.history
        found[f"α = {run.alpha:g}: x a sweep"] = run.path[4][1] / run.path[2][1]
        found[f"α = {run.alpha:g}: objective a sweep"] = history[2].fun / history[1].fun
    return found


def prove(runs: list[Contraction]) -> dict[str, Theory]:
    """Return 1/(1+α)² and its square."""
    expected = {}
    for run in runs:
        factor = (1 + run.alpha) ** -2
        expected[f"α = {run.alpha:g}: x a sweep"] = Theory(
            factor, 1e-12, "1/(1+α)²: each update sets one variable to 1/(1+α) of the other"
        )
        expected[f"α = {run.alpha:g}: objective a sweep"] = Theory(
            factor**2, 1e-12, "the square of that of x, as the objective is quadratic"
        )
    return expected


def draw(runs: list[Contraction]) -> Picture:
    """Draw the paths in the plane."""
    return Picture(
        curves=tuple(
            curve(f"α = {run.alpha:g}", *zip(*run.path, strict=True), dots=True) for run in runs
        ),
        x=Axis("x₁"),
        y=Axis("x₂"),
        hint="Each path starts at the same point and moves along one axis at a time, towards the minimum "
        "at 0.",
    )


LAB = Lab(
    name="coordinate-descent",
    title="Coordinate descent is slow where variables pull at each other",
    what="The objective (x₁ − x₂)² + α(x₁² + x₂²) is minimized over x₁, then over x₂, and so on, each "
    "time exactly. For a large α two or three sweeps arrive. For a small α the path is a "
    "staircase of small steps along the diagonal, though every step is the best one that its "
    "variable can take.",
    why="The first term wants the variables to be equal, so that neither can move far while the other "
    "is held. The minimum over x₁ is x₂/(1+α), that over x₂ is x₁/(1+α): a sweep contracts x by "
    "1/(1+α)², and the objective by the square of that. Without the coupling one sweep would do. "
    "So coordinate descent is a good strategy where variables, or blocks of them, have separate "
    "roles, and a bad one where one variable's best value depends strongly on another's.",
    source="Goodfellow, Bengio and Courville, Deep Learning, section 8.7.2",
    settings=Settings,
    compute=compute,
    detect=detect,
    prove=prove,
    draw=draw,
    slider=Slider(
        "alpha",
        "smallest α; the others are 3, 10 and 30 times it",
        (0.01, 0.03, 0.1, 0.3, 1.0, 3.0),
        0.1,
        "For smaller α the staircase has more stairs than can be seen; beyond 3 each path is hardly more "
        "than one step.",
        settings=lambda alpha: {"alphas": multiples(alpha, (1, 3, 10, 30))},
    ),
    patients="each step solves for one variable exactly; no optimizer follows a gradient.",
)
"""The lab `coordinate-descent`."""
