"""Lab: what noise and what bias in the gradient do to the place where descent comes to rest."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from thalweg.labs.lab import Lab, Theory
from thalweg.labs.picture import Axis, Picture, curve
from thalweg.labs.settings import setting
from thalweg.labs.slider import Slider
from thalweg.labs.watching import Patient, linear
from thalweg.optim import SGD

_CURVATURES = (0.2, 1.0)
"""Eigenvalues of the Hessian."""


@dataclass(frozen=True)
class Settings:
    """What can be chosen."""

    noise: float = setting(0.5, "standard deviation σ of the gradient's noise", low=1e-3, high=10)
    bias: float = setting(0.1, "bias b of each part of the gradient", low=-1, high=1)
    rate: float = setting(0.2, "learning rate ε", low=0.05, high=1)
    steps: int = setting(300, "steps", low=150, high=5000)
    runs: int = setting(1000, "runs", low=100, high=20_000)
    seed: int = setting(0, "seed of the noise", low=0)


@dataclass(frozen=True)
class Data:
    """For each kind of run the points, a table (steps, runs, 2); the minimum is at 0."""

    settings: Settings
    paths: dict[str, Tensor]


def compute(chosen: Settings) -> Data:
    """Descend ½Σλᵢxᵢ² by the gradient, with noise, with noise and bias, and with falling steps."""
    return Data(
        chosen,
        {
            "exact": _path(chosen, noise=0.0, bias=0.0),
            "noise": _path(chosen, noise=chosen.noise, bias=0.0),
            "noise and bias": _path(chosen, noise=chosen.noise, bias=chosen.bias),
            "noise and bias, steps that fall": _path(
                chosen, noise=chosen.noise, bias=chosen.bias, falls=True
            ),
        },
    )


def _rate(chosen: Settings, step: int, *, falls: bool) -> float:
    """Return ε, or ε/(1 + kε·λ/2) with the smallest λ, which falls like 1/k."""
    return chosen.rate / (1 + step * chosen.rate * _CURVATURES[0] / 2) if falls else chosen.rate


def _path(chosen: Settings, *, noise: float, bias: float, falls: bool = False) -> Tensor:
    draws = torch.Generator().manual_seed(chosen.seed)
    curvatures = torch.tensor(_CURVATURES, dtype=torch.float64)
    x = torch.ones(chosen.runs if noise else 1, 2, dtype=torch.float64)
    path = [x]
    for k in range(chosen.steps):
        g = curvatures * x + bias + noise * torch.randn(x.shape, generator=draws, dtype=x.dtype)
        x = x - _rate(chosen, k, falls=falls) * g
        path.append(x)
    return torch.stack(path)


def detect(data: Data) -> dict[str, float]:
    """Return means and deviations at the end, along the flatter axis."""
    ends = {name: path[-1, :, 0] for name, path in data.paths.items()}
    found = {"exact: log₁₀ of the distance": math.log10(abs(float(ends["exact"][0])))}
    for name in ("noise", "noise and bias", "noise and bias, steps that fall"):
        found[f"{name}: mean"] = float(ends[name].mean())
        found[f"{name}: deviation"] = float(ends[name].std())
    return found


def _moments(chosen: Settings, bias: float, *, falls: bool) -> tuple[float, float]:
    """Return mean and deviation at the end by their recursions."""
    mean, variance, curvature = 1.0, 0.0, _CURVATURES[0]
    for k in range(chosen.steps):
        rate = _rate(chosen, k, falls=falls)
        mean = (1 - rate * curvature) * mean - rate * bias
        variance = (1 - rate * curvature) ** 2 * variance + rate**2 * chosen.noise**2
    return mean, math.sqrt(variance)


def prove(data: Data) -> dict[str, Theory]:
    """Return (1 − ελ)ᵗ, −b/λ and √(εσ²/(λ(2 − ελ))), or what has become of them by the last step."""
    chosen, root = data.settings, math.sqrt(data.settings.runs)
    expected = {
        "exact: log₁₀ of the distance": Theory(
            chosen.steps * math.log10(1 - chosen.rate * _CURVATURES[0]),
            1e-6,
            "(1 − ελ)ᵗ: without error there is no floor",
        )
    }
    because = {
        "noise": ("noise has no mean", "√(εσ²/(λ(2 − ελ))): a floor that falls with ε"),
        "noise and bias": ("−b/λ, whatever ε is", "bias adds no noise"),
        "noise and bias, steps that fall": (
            "−b/λ: shorter steps do not help against bias",
            "falls with ε, to nothing in the end",
        ),
    }
    for name, (of_mean, of_deviation) in because.items():
        bias = 0.0 if name == "noise" else chosen.bias
        mean, deviation = _moments(chosen, bias, falls=name.endswith("fall"))
        expected[f"{name}: mean"] = Theory(mean, 4 * deviation / root, of_mean)
        expected[f"{name}: deviation"] = Theory(
            deviation, 4 * deviation / math.sqrt(2 * chosen.runs), of_deviation
        )
    return expected


def draw(data: Data) -> Picture:
    """Draw the root mean square distance from the minimum over the steps."""
    curves = []
    for name, path in data.paths.items():
        distance = path.square().sum(2).mean(1).sqrt().clamp(min=1e-300)
        curves.append(curve(name, range(len(distance)), distance.tolist()))
    return Picture(
        curves=tuple(curves),
        x=Axis("steps"),
        y=Axis("distance from the minimum", log=True),
        hint="At first all runs are alike: far from the minimum an error matters little. Then each "
        "meets its floor. Falling steps lower that of the noise, slowly, and not that of the "
        "bias.",
    )


def patients(chosen: Settings) -> list[Patient]:
    """Return a run with noise, which comes of its rows, and one with a bias, which comes of no row."""
    return [
        _patient(chosen, "noise", bias=0.0, meant=("batch_too_small",)),
        _patient(chosen, "noise and bias", bias=chosen.bias, meant=("wrong_gradient",)),
    ]


def _patient(chosen: Settings, run: str, *, bias: float, meant: tuple[str, ...]) -> Patient:
    """Return the first run of a kind, as a linear model of two rows whose targets have noise."""
    draws = torch.Generator().manual_seed(chosen.seed)
    curvatures = torch.tensor(_CURVATURES, dtype=torch.float64)
    n = len(curvatures)
    inputs = torch.diag((n * curvatures).sqrt())  # XᵀX/n has the curvatures
    shape = (chosen.runs, n)
    drawn = [
        torch.randn(shape, generator=draws, dtype=torch.float64)[0] for _ in range(chosen.steps)
    ]
    targets = [-chosen.noise * each * (n / curvatures).sqrt() for each in drawn]
    model = linear(torch.ones(n, dtype=torch.float64))
    if bias:
        model.weight.register_hook(lambda g: g + bias)  # type: ignore[no-untyped-call]
    optimizer = SGD(model.parameters(), lr=chosen.rate)
    batches = [(inputs, each.reshape(n, 1)) for each in targets]
    return Patient(run, model, optimizer, "half_mse", batches, meant)


LAB = Lab(
    name="inexact-gradients",
    title="Noise leaves a floor that steps can lower, bias one that they cannot",
    what="Gradient descent on a quadratic bowl gets gradients with errors: noise without a mean, "
    "and a bias that is always the same. Noise makes it wander around the minimum, in a cloud "
    "whose width shrinks with the learning rate. Bias makes it rest beside the minimum, at a "
    "distance that no learning rate changes. Without either the distance falls geometrically, "
    "for ever.",
    why="With ĝ = λx + b + ξ the mean follows x ← (1 − ελ)x − εb and rests at −b/λ; the variance "
    "follows v ← (1 − ελ)²v + ε²σ² and rests at εσ²/(λ(2 − ελ)). Most objectives in deep "
    "learning offer only estimates of the gradient: from a batch, or of a loss that stands for "
    "another. Unbiased ones are worth more than precise ones.",
    source="Goodfellow, Bengio and Courville, Deep Learning, section 8.2.6",
    settings=Settings,
    compute=compute,
    detect=detect,
    prove=prove,
    draw=draw,
    slider=Slider(
        "noise",
        "standard deviation σ of the gradient's noise",
        (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0),
        0.5,
        "The findings hold beyond, too; with less noise its floor lies below that of the bias.",
    ),
    patients=patients,
)
"""The lab `inexact-gradients`."""
