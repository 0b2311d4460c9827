"""Lab: the risk, the empirical risk, and how their gap shrinks with the number of rows."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from thalweg.errors import TaskError
from thalweg.labs.lab import Lab, Theory
from thalweg.labs.picture import Axis, Picture, curve
from thalweg.labs.settings import setting
from thalweg.labs.slider import Slider


@dataclass(frozen=True)
class Settings:
    """What can be chosen."""

    sizes: tuple[float, ...] = setting(
        (15, 30, 60, 120, 240), "rows m of a training set, at least two", low=9, high=2000
    )
    features: int = setting(5, "features d", low=1, high=20)
    noise: float = setting(1.0, "standard deviation σ of the target's noise", low=0.01, high=10)
    sets: int = setting(1000, "training sets of each size", low=100, high=20_000)
    seed: int = setting(0, "seed of the sets", low=0)


@dataclass(frozen=True)
class Data:
    """Of each size and set: both risks where the empirical one is least, and the empirical one at w = 0."""

    settings: Settings
    empirical: list[Tensor]
    risk: list[Tensor]
    fixed: list[Tensor]


def compute(chosen: Settings) -> Data:
    """Draw sets, solve each by least squares, and compute the risk from the distribution itself."""
    if len(set(chosen.sizes)) < 2 or min(chosen.sizes) < chosen.features + 4:
        raise TaskError(
            "sizes needs two different numbers, each at least features + 4, for the risk to have a variance; "
            f"got {chosen.sizes} with features {chosen.features}."
        )
    draws = torch.Generator().manual_seed(chosen.seed)
    truth = torch.ones(chosen.features, dtype=torch.float64) / math.sqrt(chosen.features)
    data = Data(chosen, [], [], [])
    for size in chosen.sizes:
        shape = (chosen.sets, int(size))
        x = torch.randn(*shape, chosen.features, generator=draws, dtype=torch.float64)
        y = x @ truth + chosen.noise * torch.randn(shape, generator=draws, dtype=torch.float64)
        w = torch.linalg.lstsq(x, y[..., None]).solution
        data.empirical.append((y - (x @ w)[..., 0]).square().mean(1) / 2)
        data.risk.append(((w[..., 0] - truth).square().sum(1) + chosen.noise**2) / 2)
        data.fixed.append(y.square().mean(1) / 2)
    return data


def detect(data: Data) -> dict[str, float]:
    """Return the mean of each risk at each size, and the slope of the gap."""
    found = {}
    for size, empirical, risk in _rows(data):
        found[f"m = {size:g}: empirical risk"] = float(empirical.mean())
        found[f"m = {size:g}: risk"] = float(risk.mean())
    first, last = data.fixed[0], data.settings.sizes[0]
    found[f"m = {last:g}: empirical risk of w = 0"] = float(first.mean())
    gaps = [float((risk - empirical).mean()) for _, empirical, risk in _rows(data)]
    found["gap: slope in logarithms"] = _slope(data.settings.sizes, gaps)
    return found


def _rows(data: Data) -> list[tuple[float, Tensor, Tensor]]:
    return list(zip(data.settings.sizes, data.empirical, data.risk, strict=True))


def _slope(sizes: tuple[float, ...], gaps: list[float]) -> float:
    x, y = (torch.tensor(each, dtype=torch.float64).log() for each in (sizes, gaps))
    x = x - x.mean()
    return float(x @ y / (x @ x))


def prove(data: Data) -> dict[str, Theory]:
    """Return ½σ²(1 − d/m), ½σ²(1 + d/(m − d − 1)) and what follows, each with four standard errors."""
    chosen, d = data.settings, data.settings.features
    half, sets = chosen.noise**2 / 2, math.sqrt(chosen.sets)
    expected, gaps, errors = {}, [], []
    for m in (int(size) for size in chosen.sizes):
        least = half * (1 - d / m), half * math.sqrt(2 * (m - d)) / m
        excess = d / (m - d - 1)
        square = d * (d + 2) / ((m - d - 1) * (m - d - 3))
        risk = half * (1 + excess), half * math.sqrt(square - excess**2)
        expected[f"m = {m:g}: empirical risk"] = Theory(
            least[0],
            4 * least[1] / sets,
            "½σ²(1 − d/m): the residuals have m − d degrees of freedom; four standard errors",
        )
        expected[f"m = {m:g}: risk"] = Theory(
            risk[0],
            4 * risk[1] / sets,
            "½σ²(1 + d/(m − d − 1)), the mean of an inverse Wishart matrix; four standard errors",
        )
        gaps.append(risk[0] - least[0])
        errors.append(4 * (least[1] + risk[1]) / sets / gaps[-1])
    m, total = int(chosen.sizes[0]), (1 + chosen.noise**2) / 2
    expected[f"m = {m:g}: empirical risk of w = 0"] = Theory(
        total,
        4 * total * math.sqrt(2 / m) / sets,
        "of a fixed w it is an unbiased estimate of the risk",
    )
    x = torch.tensor(chosen.sizes, dtype=torch.float64).log()
    x = x - x.mean()
    within = float((x.abs() / (x @ x)) @ torch.tensor(errors, dtype=torch.float64))
    expected["gap: slope in logarithms"] = Theory(
        _slope(chosen.sizes, gaps),
        within,
        "the gap is ½σ²(d/m + d/(m − d − 1)), which comes to σ²d/m",
    )
    return expected


def draw(data: Data) -> Picture:
    """Draw both risks over the number of rows."""
    sizes, half = data.settings.sizes, data.settings.noise**2 / 2
    means = [[float(each.mean()) for each in kind] for kind in (data.risk, data.empirical)]
    return Picture(
        curves=(
            curve("risk", sizes, means[0], dots=True),
            curve("empirical risk", sizes, means[1], dots=True),
            curve("least risk", sizes, [half] * len(sizes), dash=True),
        ),
        x=Axis("rows m of the training set", log=True),
        y=Axis("risk"),
        hint="The training set makes a model look better than the best that there is, and it is "
        "worse. Both are off by about the same, and the gap between them halves when the rows "
        "double.",
    )


LAB = Lab(
    name="empirical-risk",
    title="What training minimizes is not the risk",
    what="Targets are a known linear function of normal inputs with normal noise, so the risk of "
    "every model is known without any data. Least squares on m rows has a lower empirical risk "
    "than the best model of all, and a higher risk. Both come to the same as m grows, and "
    "their gap shrinks like 1/m.",
    why="The risk J* = E_p L is the mean of the loss over the distribution that the data come from; "
    "the empirical risk is the mean over the rows there are. For a model chosen without these "
    "rows it is unbiased. For one chosen by them it is too low, for the choice fits their noise "
    "as well: by ½σ²d/m with d parameters, while the risk is too high by ½σ²d/(m − d − 1).",
    source="Goodfellow, Bengio and Courville, Deep Learning, section 8.1.1",
    settings=Settings,
    compute=compute,
    detect=detect,
    prove=prove,
    draw=draw,
    slider=Slider(
        "features",
        "features d",
        (1, 2, 3, 5, 8, 11),
        5,
        "The smallest training set has 15 rows, and a mean of the risk needs four rows more than features.",
        unit="features",
    ),
    patients="least squares are solved in closed form; no optimizer follows a gradient.",
)
"""The lab `empirical-risk`."""
