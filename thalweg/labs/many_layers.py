"""Lab: what a step does to many layers at once, against what the gradient promises."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from thalweg.labs.lab import Lab, Theory
from thalweg.labs.picture import Axis, Picture, curve
from thalweg.labs.settings import setting
from thalweg.labs.slider import Slider


@dataclass(frozen=True)
class Settings:
    """What can be chosen."""

    layers: int = setting(20, "layers of one unit each", low=2, high=60)
    rates: tuple[float, ...] = setting((0.1, 0.005), "learning rates ε", low=1e-4, high=0.5)


@dataclass(frozen=True)
class Step:
    """One step: the change that each order of the expansion predicts, and the actual one."""

    layers: int
    rate: float
    first: float
    second: float
    actual: float


def compute(chosen: Settings) -> list[Step]:
    """Return a step for each rate, from weights that are all 1."""
    return [_step(chosen.layers, rate) for rate in chosen.rates]


def _output(w: torch.Tensor) -> torch.Tensor:
    return w.prod()


def _step(layers: int, rate: float) -> Step:
    w = torch.ones(layers, dtype=torch.float64, requires_grad=True)
    (g,) = torch.autograd.grad(_output(w), w, create_graph=True)
    (hg,) = torch.autograd.grad(g @ g.detach(), w)
    step = -rate * g.detach()
    first = float(g.detach() @ step)
    second = 0.5 * rate**2 * float(g.detach() @ hg)
    with torch.no_grad():
        actual = float(_output(w + step) - _output(w))
    return Step(layers, rate, first, second, actual)


def detect(steps: list[Step]) -> dict[str, float]:
    """Return the predicted and the actual change of the output."""
    found = {}
    for step in steps:
        found[f"ε = {step.rate:g}: first order"] = step.first
        found[f"ε = {step.rate:g}: second order"] = step.second
        found[f"ε = {step.rate:g}: actual"] = step.actual
    return found


def prove(steps: list[Step]) -> dict[str, Theory]:
    """Return −εn, ½ε²n(n − 1) and (1 − ε)ⁿ − 1."""
    expected = {}
    for step in steps:
        n, rate = step.layers, step.rate
        expected[f"ε = {rate:g}: first order"] = Theory(
            -rate * n, 1e-12, "−ε·gᵀg: each of the n gradients is the product of the others, 1"
        )
        expected[f"ε = {rate:g}: second order"] = Theory(
            rate**2 * n * (n - 1) / 2, 1e-9, "½ε²·gᵀHg: each of the n(n − 1) mixed derivatives is 1"
        )
        expected[f"ε = {rate:g}: actual"] = Theory(
            (1 - rate) ** n - 1, 1e-12, "every weight becomes 1 − ε, and the output their product"
        )
    return expected


def draw(steps: list[Step]) -> Picture:
    """Draw the change of the output over the rate: promised, with the second order, and actual."""
    n = steps[0].layers
    largest = max(step.rate for step in steps)
    rates = [largest * k / 100 for k in range(101)]
    return Picture(
        curves=(
            curve("first order", rates, [-rate * n for rate in rates]),
            curve("second order", rates, [-rate * n + rate**2 * n * (n - 1) / 2 for rate in rates]),
            curve("actual", rates, [(1 - rate) ** n - 1 for rate in rates]),
        ),
        x=Axis("learning rate ε"),
        y=Axis("change of ŷ"),
        hint="All curves leave 0 with the same slope. The output cannot fall below 0, by more than 1, "
        "whatever the first order promises.",
    )


LAB = Lab(
    name="many-layers",
    title="A step changes all layers at once, and the gradient does not know",
    what="The output ŷ = x·w₁·w₂·…·wₙ with x = 1 and all weights 1 is to become smaller, by one step of "
    "gradient descent on it. The gradient promises a change of −εn. With 20 layers and ε = 0.1 that is −2, "
    "and the step brings −0.878; with ε = 0.005 it is −0.1, and the step brings −0.0954.",
    why="The gradient says what happens if one weight changes and the others do not. Here all change, and "
    "the second order is ½ε²·n(n − 1), which grows with the square of the depth. Where "
    "a layer's statistics are held, as batch normalization does, the layers below cannot change scale and "
    "shift, and most of these interactions are gone.",
    source="Goodfellow, Bengio and Courville, Deep Learning, section 8.7.1; Ioffe and Szegedy 2015",
    settings=Settings,
    compute=compute,
    detect=detect,
    prove=prove,
    draw=draw,
    slider=Slider(
        "layers",
        "layers of one unit each",
        (2, 5, 10, 20, 40, 60),
        20,
        "One layer has no others that it could miss; beyond 60 the second order is far off, too.",
        unit="layers",
    ),
    patients="one step shows it, and no training follows.",
)
"""The lab `many-layers`."""
