"""Lab: a step at a cliff throws the parameters far away, a clipped one does not."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from thalweg.engine import chain
from thalweg.labs.lab import Lab, Theory
from thalweg.labs.picture import Axis, Picture, curve
from thalweg.labs.settings import setting
from thalweg.labs.slider import Slider
from thalweg.labs.watching import Patient, linear
from thalweg.optim import SGD, Optimizer
from thalweg.rules import clip_by_global_norm


@dataclass(frozen=True)
class Settings:
    """What can be chosen."""

    layers: int = setting(20, "factors T of the product", low=15, high=25)
    start: float = setting(1.2, "weight at the start, on the cliff", low=1.15, high=1.3)
    rate: float = setting(
        0.5,
        "learning rate, as a share of the largest that is stable at the foot",
        low=0.2,
        high=0.9,
    )
    clip: float = setting(1.0, "largest norm c of a clipped gradient", low=1, high=150)
    steps: int = setting(500, "steps of the clipped run", low=400, high=20_000)

    @property
    def epsilon(self) -> float:
        """The learning rate ε: a share of 2 over the curvature T² + 1 at w = 1, b = 0."""
        return 2 * self.rate / (self.layers**2 + 1)


@dataclass(frozen=True)
class Data:
    """Points (w, b) of the plain step, and of the clipped run, with their losses."""

    settings: Settings
    plain: Tensor
    clipped: Tensor
    losses: list[float]
    cosine: float


def compute(chosen: Settings) -> Data:
    """Take one plain step of ½(wᵀ·1 + b − 1)² from the cliff, and many clipped ones."""
    start = torch.tensor([chosen.start, 0.0], dtype=torch.float64)
    plain = torch.nn.Parameter(start.clone())
    _step(plain, SGD([plain], lr=chosen.epsilon), chosen.layers)
    point = torch.nn.Parameter(start.clone())
    optimizer = Optimizer([point], chain(clip_by_global_norm(chosen.clip)), lr=chosen.epsilon)
    path = [start]
    for _ in range(chosen.steps):
        _step(point, optimizer, chosen.layers)
        path.append(point.detach().clone())
    points = torch.stack(path)
    moves = plain.detach() - start, path[1] - start
    cosine = float(torch.nn.functional.cosine_similarity(*moves, dim=0))
    losses = _loss(points, chosen.layers).tolist()
    return Data(chosen, torch.stack([start, plain.detach()]), points, losses, cosine)


def _loss(point: Tensor, layers: int) -> Tensor:
    """Return ½(wᵀ + b − 1)²: flat for |w| < 1, steeper than any power of ten beyond."""
    w, b = point.unbind(-1)
    return (w**layers + b - 1).square() / 2


def _step(point: torch.nn.Parameter, optimizer: torch.optim.Optimizer, layers: int) -> None:
    (point.grad,) = torch.autograd.grad(_loss(point, layers), point)
    optimizer.step()


def _log10(value: float) -> float:
    return math.log10(max(value, 1e-300))


def detect(data: Data) -> dict[str, float]:
    """Return where each run goes."""
    lengths = (data.clipped[1:] - data.clipped[:-1]).norm(dim=1)
    return {
        "plain: w after a step": float(data.plain[1, 0]),
        "plain: log₁₀ of the loss after it": _log10(
            float(_loss(data.plain[1], data.settings.layers))
        ),
        "clipped: length of the first step": float(lengths[0]),
        "clipped: longest step": float(lengths.max()),
        "clipped: cosine with the plain step": data.cosine,
        "clipped: loss at the end": data.losses[-1],
    }


def prove(data: Data) -> dict[str, Theory]:
    """Return the step by the gradient in closed form, and its bound."""
    chosen, layers, w = data.settings, data.settings.layers, data.settings.start
    error = w**layers - 1
    after = w - chosen.epsilon * error * layers * w ** (layers - 1)
    b = -chosen.epsilon * error
    exponent = 2 * layers * math.log10(abs(after)) - math.log10(2)  # b − 1 is lost next to wᵀ
    gradient = math.hypot(error * layers * w ** (layers - 1), error)
    longest = chosen.epsilon * min(chosen.clip, gradient)
    thrown = exponent if abs(after) > 2 else _log10(0.5 * (after**layers + b - 1) ** 2)
    return {
        "plain: w after a step": Theory(
            after,
            1e-9 * abs(after),
            "w − ε(wᵀ − 1)·T·wᵀ⁻¹: the gradient has the height of the cliff twice",
        ),
        "plain: log₁₀ of the loss after it": Theory(
            thrown, 1e-4 * abs(thrown) + 1e-6, "2T·log₁₀|w|: the other side is higher by far"
        ),
        "clipped: length of the first step": Theory(
            longest, 1e-9, "εc: the gradient is scaled down to the norm c"
        ),
        "clipped: longest step": Theory(longest, 1e-9, "no step is longer than εc"),
        "clipped: cosine with the plain step": Theory(
            1.0, 1e-9, "g·c/‖g‖ has the direction of the gradient"
        ),
        "clipped: loss at the end": Theory(
            0.0, 1e-6, "it walks down the cliff and reaches the minimum at its foot"
        ),
    }


def draw(data: Data) -> Picture:
    """Draw the loss along w, the path of the clipped run on it, and where a plain step begins."""
    chosen = data.settings
    low = float(data.clipped[:, 0].min())
    grid = torch.linspace(min(low, 0.6), chosen.start + 0.02, 200, dtype=torch.float64)
    on = [torch.stack([w, data.clipped[-1, 1]]) for w in grid]
    shape = [max(float(_loss(point, chosen.layers)), 1e-9) for point in on]
    path = [max(loss, 1e-9) for loss in data.losses]
    return Picture(
        curves=(
            curve("loss along w", grid.tolist(), shape, dash=True),
            curve("clipped run", data.clipped[:, 0].tolist(), path, dots=True),
            curve(
                "plain step, the start",
                [chosen.start, chosen.start],
                [path[0], shape[-1]],
                dots=True,
            ),
        ),
        x=Axis("weight w"),
        y=Axis("loss", log=True),
        hint="The plain step leads far out of the picture on the other side. The clipped run comes "
        "down the cliff in steps of equal length, and shorter ones at its foot.",
    )


class _Layers(torch.nn.Module):
    """One weight w that an input is multiplied with T times, and b in the end."""

    def __init__(self, w: float, times: int) -> None:
        super().__init__()
        self.step = linear(torch.tensor([w], dtype=torch.float64))
        self.b = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
        self.times = times

    def forward(self, x: Tensor) -> Tensor:
        """Return x·wᵀ + b."""
        for _ in range(self.times):
            x = self.step(x)
        return x + self.b


def patients(chosen: Settings) -> list[Patient]:
    """Return the plain run, which goes on until the loss is not finite.

    That is in two steps, which do not tell a cliff from a rate that is too high.
    """
    model = _Layers(chosen.start, chosen.layers)
    optimizer = SGD(model.parameters(), lr=chosen.epsilon)
    one = torch.ones(1, 1, dtype=torch.float64)
    return [
        Patient(
            "plain run",
            *(model, optimizer, "half_mse", [(one, one)] * chosen.steps),
            meant=("cliff", "exploding_gradient", "lr_too_high"),
        )
    ]


LAB = Lab(
    name="cliffs",
    title="A cliff throws the plain step far away",
    what="The loss ½(wᵀ + b − 1)² multiplies one weight with itself T times, as a recurrent network "
    "does. For w below 1 it is flat, above 1 it rises like a cliff. One plain step of gradient "
    "descent from the cliff throws w to a place where the loss is larger by many powers of "
    "ten. With the gradient's norm clipped the same direction is taken with a step of bounded "
    "length, and the run reaches the minimum.",
    why="The gradient tells the direction of steepest descent within an infinitely small region, "
    "not how far it reaches. At a cliff it is longer than the way down by orders of magnitude. "
    "Clipping, g ← g·c/‖g‖ if ‖g‖ > c, keeps the direction and limits the step to εc, whatever "
    "the height of the cliff.",
    source="Goodfellow, Bengio and Courville, Deep Learning, sections 8.2.4 and 10.11.1; Pascanu, "
    "Mikolov and Bengio (2013), On the difficulty of training recurrent neural networks, "
    "arXiv:1211.5063",
    settings=Settings,
    compute=compute,
    detect=detect,
    prove=prove,
    draw=draw,
    slider=Slider(
        "clip",
        "largest norm c of a clipped gradient",
        (1.0, 3.0, 10.0, 30.0, 100.0, 150.0),
        1.0,
        "Below 1 the run is not at the foot after 500 steps. From about 200 on a clipped step leads past the "
        "foot onto the plain, where the gradient is nearly 0; from about 1000 on, to the cliff at the other "
        "side, and the run is thrown to and fro.",
    ),
    patients=patients,
)
"""The lab `cliffs`."""
