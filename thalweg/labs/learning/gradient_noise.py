"""Lab: the standard error of a batch's gradient falls like one over the root of its rows."""

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

_FEATURES = 6


@dataclass(frozen=True)
class Settings:
    """What can be chosen."""

    batches: tuple[float, ...] = setting(
        (1, 10, 100, 1000), "rows m of a batch, at least two sizes", low=1, high=2000
    )
    rows: int = setting(2000, "rows of the data", low=100, high=20_000)
    draws: int = setting(500, "batches of each size", low=100, high=20_000)
    seed: int = setting(0, "seed of the data and of the batches", low=0)


@dataclass(frozen=True)
class Data:
    """The gradient of each row (rows, features), and for each size ‖ĝ − g‖² of its batches.

    `without` are batches of half of the rows, each drawn at most once.
    """

    settings: Settings
    gradients: Tensor
    squares: list[Tensor]
    without: Tensor


def compute(chosen: Settings) -> Data:
    """Draw batches with replacement, and batches of half of the rows without."""
    if len(set(chosen.batches)) < 2:
        raise TaskError(
            f"batches needs two different sizes, to have a slope; got {chosen.batches}."
        )
    noise = torch.Generator().manual_seed(chosen.seed)
    x = torch.randn(chosen.rows, _FEATURES, generator=noise, dtype=torch.float64)
    y = x.sum(1) + torch.randn(chosen.rows, generator=noise, dtype=torch.float64)
    gradients = -x * y[:, None]  # of ½(y − wᵀx)² at w = 0
    centred = gradients - gradients.mean(0)
    squares = []
    for m in (int(size) for size in chosen.batches):
        at = torch.randint(chosen.rows, (chosen.draws, m), generator=noise)
        squares.append(torch.stack([centred[rows].mean(0).square().sum() for rows in at]))
    half = chosen.rows // 2
    orders = [torch.randperm(chosen.rows, generator=noise)[:half] for _ in range(chosen.draws)]
    without = torch.stack([centred[rows].mean(0).square().sum() for rows in orders])
    return Data(chosen, gradients, squares, without)


def detect(data: Data) -> dict[str, float]:
    """Return the standard error at each size, and its slope in logarithms."""
    sizes = data.settings.batches
    errors = [float(each.mean().sqrt()) for each in data.squares]
    found = {f"m = {m:g}: standard error": each for m, each in zip(sizes, errors, strict=True)}
    found["slope in logarithms"] = _slope(sizes, errors)
    found["half of the rows, each once: standard error"] = float(data.without.mean().sqrt())
    return found


def _weights(sizes: tuple[float, ...]) -> Tensor:
    x = torch.tensor(sizes, dtype=torch.float64).log()
    x = x - x.mean()
    return x / (x @ x)


def _slope(sizes: tuple[float, ...], errors: list[float]) -> float:
    return float(_weights(sizes) @ torch.tensor(errors, dtype=torch.float64).log())


def prove(data: Data) -> dict[str, Theory]:
    """Return σ/√m with σ² the trace of the rows' covariance, −½, and what drawing once saves."""
    chosen, half = data.settings, data.settings.rows // 2
    centred = data.gradients - data.gradients.mean(0)
    trace = float(centred.square().sum(1).mean())
    expected, within = {}, []
    for m in chosen.batches:
        share = _share(centred, int(m), chosen.draws)
        within.append(share)
        expected[f"m = {m:g}: standard error"] = Theory(
            math.sqrt(trace / m),
            share * math.sqrt(trace / m),
            "σ/√m: m rows drawn apart from each other; four standard errors",
        )
    spread = float(_weights(chosen.batches).abs() @ torch.tensor(within, dtype=torch.float64))
    expected["slope in logarithms"] = Theory(
        -0.5, spread, "ten times less noise for a hundred times the rows"
    )
    left = math.sqrt(trace / half * (chosen.rows - half) / (chosen.rows - 1))
    expected["half of the rows, each once: standard error"] = Theory(
        left,
        left * _share(centred, half, chosen.draws),
        "σ/√m·√((n − m)/(n − 1)): rows that are left out are all that can err",
    )
    return expected


def _share(centred: Tensor, m: int, draws: int) -> float:
    """Return four standard errors of the root of the mean square, as a share of it.

    The variance of ‖Σz/m‖² is (Var‖z‖²/m + 2(1 − 1/m)·tr Σ²)/m².
    """
    single = centred.square().sum(1)
    covariance = centred.T @ centred / len(centred)
    variance = float(single.var()) / m + 2 * (1 - 1 / m) * float(covariance.square().sum())
    return 4 * math.sqrt(variance / draws) / float(single.mean()) / 2


def draw(data: Data) -> Picture:
    """Draw the standard error over the rows of a batch, beside σ/√m."""
    sizes = data.settings.batches
    centred = data.gradients - data.gradients.mean(0)
    trace = float(centred.square().sum(1).mean())
    errors = [float(each.mean().sqrt()) for each in data.squares]
    return Picture(
        curves=(
            curve("measured", sizes, errors, dots=True, line=False),
            curve("σ/√m", sizes, [math.sqrt(trace / m) for m in sizes], dash=True),
        ),
        x=Axis("rows m of a batch", log=True),
        y=Axis("standard error of the gradient", log=True),
        hint="A hundred times the rows, and the work, for a tenth of the error.",
    )


LAB = Lab(
    name="gradient-noise",
    title="A hundred times the rows for a tenth of the noise",
    what="The gradient of a batch estimates that of all rows. Batches of several sizes are drawn "
    "many times, and the length of their error is measured: it falls with the square root of "
    "the rows, while the work grows with the rows. A batch in which no row comes twice errs a "
    "little less, and a batch of all rows not at all.",
    why="The mean of m rows drawn apart from each other has the variance of one row over m, so its "
    "standard error is σ/√m. Ten rows instead of one are worth it more than a thousand in "
    "the place of a hundred. Without replacement the error has a factor √((n − m)/(n − 1)) "
    "more, which is near 1 for small batches.",
    source="Goodfellow, Bengio and Courville, Deep Learning, section 8.1.3",
    settings=Settings,
    compute=compute,
    detect=detect,
    prove=prove,
    draw=draw,
    slider=Slider(
        "batch",
        "rows m of the largest batch",
        (150, 200, 300, 500, 1000, 2000),
        1000,
        "It is larger than the other sizes, 1, 10 and 100; larger ones than 2000 take longer than seconds.",
        unit="rows",
        settings=lambda batch: {"batches": (1.0, 10.0, 100.0, float(batch))},
    ),
    patients="the gradient is measured at one point, and no step is taken.",
)
"""The lab `gradient-noise`."""
