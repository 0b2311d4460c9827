"""Lab: the first pass descends the risk, later ones the empirical risk; and batches that grow."""

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

_START = 1.0
"""The distance of the start from the mean."""
_STEPS = 60
"""Steps by batches."""
_LARGEST = 4096
"""Rows of a batch, at most, in the runs that the doctor watches."""


@dataclass(frozen=True)
class Settings:
    """What can be chosen."""

    rows: int = setting(10, "rows of data", low=5, high=200)
    rate: float = setting(0.2, "learning rate", low=0.02, high=0.5)
    growth: float = setting(1.2, "factor by which batches grow with each step", low=1.05, high=2)
    runs: int = setting(20_000, "runs, each with data of its own", low=500, high=50_000)
    seed: int = setting(0, "seed of the data", low=0)


@dataclass(frozen=True)
class Data:
    """Tables (steps, runs): the loss of each row before the step on it, w there, and w with other batches."""

    settings: Settings
    loss: Tensor
    w: Tensor
    constant: Tensor
    growing: Tensor


def compute(chosen: Settings) -> Data:
    """Descend ½(w − x)², x normal around 0, row by row in two passes; then by means of batches."""
    noise = torch.Generator().manual_seed(chosen.seed)
    x = torch.randn(chosen.rows, chosen.runs, generator=noise, dtype=torch.float64)
    w = torch.full((chosen.runs,), _START, dtype=torch.float64)
    losses, path = [], []
    for row in torch.cat([x, x]):
        losses.append((w - row).square() / 2)
        path.append(w)
        w = w - chosen.rate * (w - row)
    paths = []
    for growth in (1.0, chosen.growth):
        w = torch.full((chosen.runs,), _START, dtype=torch.float64)
        steps = [w]
        for k in range(_STEPS):
            deviation = math.sqrt(1 / _size(growth, k))
            mean = deviation * torch.randn(chosen.runs, generator=noise, dtype=torch.float64)
            w = w - chosen.rate * (w - mean)
            steps.append(w)
        paths.append(torch.stack(steps))
    return Data(chosen, torch.stack(losses), torch.stack(path), *paths)


def _size(growth: float, step: int) -> int:
    """Return the rows of a batch, whose mean is drawn at once."""
    return math.ceil(growth ** min(step, 200))


def detect(data: Data) -> dict[str, float]:
    """Return how far the losses before each step are from the risk, in each pass, and two distances."""
    n = data.settings.rows
    gap = data.loss - (data.w.square() + 1) / 2  # the risk of w is ½w² + ½
    return {
        "first pass: loss before the step − risk": float(gap[:n].mean()),
        "second pass: loss before the step − risk": float(gap[n:].mean()),
        "batches of 1: distance at the end": float(data.constant[-1].square().mean().sqrt()),
        "growing batches: distance at the end": float(data.growing[-1].square().mean().sqrt()),
    }


def prove(data: Data) -> dict[str, Theory]:
    """Return 0, the mean of what w still holds of the row, and the recursions of the variance."""
    chosen, rate = data.settings, data.settings.rate
    n, root = chosen.rows, math.sqrt(chosen.runs)
    # A row comes back after n steps: w holds ε(1 − ε)ⁿ⁻¹ of it.
    held = rate * (1 - rate) ** (n - 1)
    # ½(w − x)² − ½w² − ½ is ½(x² − 1) − wx, of variance ½ + E w² where w does not hold x.
    squares = [_square(rate, k) for k in range(n)]
    spread = math.sqrt(sum(0.5 + each for each in squares)) / n
    expected = {
        "first pass: loss before the step − risk": Theory(
            0.0,
            4 * spread / root,
            "the row is new to w: its loss is an unbiased estimate of the risk",
        ),
        "second pass: loss before the step − risk": Theory(
            -held,
            6 * spread / root,  # losses of a second pass are not independent
            "w holds ε(1 − ε)ⁿ⁻¹ of the row it meets again: the loss is too low by that",
        ),
    }
    for name, growth in (("batches of 1", 1.0), ("growing batches", chosen.growth)):
        distance = math.sqrt(_square(rate, _STEPS, growth))
        expected[f"{name}: distance at the end"] = Theory(
            distance,
            4 * distance / math.sqrt(2 * chosen.runs),
            "v ← (1 − ε)²v + ε²σ²/m: a floor of ε/(2 − ε) with m = 1, none where m grows",
        )
    return expected


def _square(rate: float, steps: int, growth: float = 1.0) -> float:
    """Return E w² after so many steps on new rows: v ← (1 − ε)²v + ε²/m."""
    square = _START**2
    for k in range(steps):
        square = (1 - rate) ** 2 * square + rate**2 / _size(growth, k)
    return square


def draw(data: Data) -> Picture:
    """Draw the root mean square of w over the steps, by single rows and by growing batches."""
    steps = range(len(data.constant))
    floor = math.sqrt(data.settings.rate / (2 - data.settings.rate))
    return Picture(
        curves=(
            curve("batches of 1", steps, data.constant.square().mean(1).sqrt().tolist()),
            curve("growing batches", steps, data.growing.square().mean(1).sqrt().tolist()),
            curve("floor of batches of 1", steps, [floor] * len(data.constant), dash=True),
        ),
        x=Axis("steps"),
        y=Axis("distance from the minimum", log=True),
        hint="With the same learning rate throughout, growing batches go on where single rows meet "
        "a floor of noise: they do what a falling learning rate does, in fewer steps.",
    )


def patients(chosen: Settings) -> list[Patient]:
    """Return a run on single new rows, and one on batches that grow, of which the mean is the row."""
    return [
        _patient(chosen, "batches of 1", 1.0, ("batch_too_small",)),
        _patient(chosen, "growing batches", chosen.growth, ()),
    ]


def _patient(chosen: Settings, run: str, growth: float, meant: tuple[str, ...]) -> Patient:
    draws = torch.Generator().manual_seed(chosen.seed)
    sizes = [min(_size(growth, k), _LARGEST) for k in range(_STEPS)]
    batches = [
        (
            torch.ones(size, 1, dtype=torch.float64),
            torch.randn(size, 1, generator=draws, dtype=torch.float64),
        )
        for size in sizes
    ]
    model = linear(torch.full((1,), _START, dtype=torch.float64))
    optimizer = SGD(model.parameters(), lr=chosen.rate)
    return Patient(run, model, optimizer, "half_mse", batches, meant)


LAB = Lab(
    name="streaming",
    title="Only the first pass sees new rows",
    what="SGD takes one row a step. In the first pass the loss of each row before its step is an "
    "unbiased estimate of the risk; in the second pass it is too low, for w contains a part of "
    "the row already. With new rows for ever and a fixed learning rate the noise of single "
    "rows leaves a floor. Batches that grow from step to step have none.",
    why="As long as a row is new, its gradient is an unbiased estimate of the gradient of the risk "
    "itself, whatever the model has learned before: SGD then descends the generalization error. "
    "In later passes it descends the empirical risk. The noise of a batch of m rows is 1/m of "
    "that of a row, so with growing m it dies out while the steps stay long.",
    source="Goodfellow, Bengio and Courville, Deep Learning, section 8.1.3; Smith et al. (2018), "
    "Don't decay the learning rate, increase the batch size, arXiv:1711.00489",
    settings=Settings,
    compute=compute,
    detect=detect,
    prove=prove,
    draw=draw,
    slider=Slider(
        "growth",
        "factor by which batches grow with each step",
        (1.05, 1.1, 1.2, 1.5, 2.0),
        1.2,
        "With slower growth 60 steps show no difference; faster growth is over in a few steps.",
    ),
    patients=patients,
)
"""The lab `streaming`."""
