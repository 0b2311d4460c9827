"""Lab: what a minimal network can express but seldom learns, a wider one learns."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from thalweg.labs.lab import Lab, Theory
from thalweg.labs.picture import Axis, Picture, curve
from thalweg.labs.settings import setting
from thalweg.labs.slider import Slider
from thalweg.labs.watching import Patient
from thalweg.optim import SGD

_LEARNED = 1e-3
"""The loss at which the function counts as learned."""
_STUCK = 0.25
"""The loss where one of the two slopes is missing: ½·½·1²."""


@dataclass(frozen=True)
class Settings:
    """What can be chosen."""

    widths: tuple[float, ...] = setting(
        (2, 3, 4, 6, 10), "hidden units n, at least two widths", low=2, high=100
    )
    runs: int = setting(1000, "runs of each width", low=100, high=20_000)
    rate: float = setting(0.5, "learning rate, over n", low=0.05, high=1)
    steps: int = setting(100, "steps of gradient descent", low=50, high=5000)
    seed: int = setting(0, "seed of the starts", low=0)


@dataclass(frozen=True)
class Data:
    """The loss of each run of each width, after the last step."""

    settings: Settings
    losses: list[Tensor]


def compute(chosen: Settings) -> Data:
    """Learn |x| at x = ±1 by Σ relu(wᵢx), from small weights."""
    losses = []
    for w in _starts(chosen):
        n = w.shape[1]
        for _ in range(chosen.steps):
            w = w - chosen.rate / n * 2 * _gradient(w)
        losses.append(_loss(w))
    return Data(chosen, losses)


def _starts(chosen: Settings) -> list[Tensor]:
    """Return the weights that the runs of each width begin with, a table (runs, n)."""
    draws = torch.Generator().manual_seed(chosen.seed)
    return [
        (2 * torch.rand(chosen.runs, n, generator=draws, dtype=torch.float64) - 1) / n
        for n in (int(width) for width in chosen.widths)
    ]


def _errors(w: Tensor) -> tuple[Tensor, Tensor]:
    """Return the errors at x = 1, where the positive weights answer, and at x = −1."""
    return w.clamp(min=0).sum(1) - 1, (-w).clamp(min=0).sum(1) - 1


def _loss(w: Tensor) -> Tensor:
    right, left = _errors(w)
    return (right**2 + left**2) / 4


def _gradient(w: Tensor) -> Tensor:
    """Return the gradient of the loss, the mean of ½(Σ relu(wx) − 1)² over both x."""
    right, left = _errors(w)
    return ((w > 0) * right[:, None] - (w < 0) * left[:, None]) / 2


def detect(data: Data) -> dict[str, float]:
    """Return the share of runs that learned the function, and the losses of both kinds of runs."""
    found = {
        f"n = {n:g}: share of runs that learn": float((losses < _LEARNED).double().mean())
        for n, losses in zip(data.settings.widths, data.losses, strict=True)
    }
    everything = torch.cat(data.losses)
    failed = everything[everything >= _LEARNED]
    found["loss where it is learned"] = float(everything[everything < _LEARNED].max())
    found["least loss where it is not"] = float(failed.min()) if len(failed) else _STUCK
    return found


def prove(data: Data) -> dict[str, Theory]:
    """Return 1 − 2¹⁻ⁿ, 0 and ¼."""
    expected = {}
    for n in data.settings.widths:
        share = 1 - 2 ** (1 - n)
        expected[f"n = {n:g}: share of runs that learn"] = Theory(
            share,
            4 * math.sqrt(share * (1 - share) / data.settings.runs) + 1 / data.settings.runs,
            "1 − 2¹⁻ⁿ: not all n weights may have the same sign at the start; four standard errors",
        )
    expected["loss where it is learned"] = Theory(0.0, _LEARNED, "both slopes can be made exact")
    expected["least loss where it is not"] = Theory(
        _STUCK, 1e-6, "one of the two slopes has no unit, and a gradient of 0 brings none"
    )
    return expected


def draw(data: Data) -> Picture:
    """Draw the share of runs that learn over the width."""
    widths = data.settings.widths
    shares = [float((losses < _LEARNED).double().mean()) for losses in data.losses]
    return Picture(
        curves=(
            curve("measured", widths, shares, dots=True, line=False),
            curve("1 − 2¹⁻ⁿ", widths, [1 - 2 ** (1 - n) for n in widths], dash=True),
        ),
        x=Axis("hidden units n", log=True),
        y=Axis("share of runs that learn |x|"),
        hint="Two units can express the function. Half of the starts do not find it, and no more "
        "than one in 500 fails with ten.",
    )


class _Units(torch.nn.Module):
    """Σ relu(wᵢx)."""

    def __init__(self, w: Tensor) -> None:
        super().__init__()
        self.units = torch.nn.Linear(1, len(w), bias=False, dtype=w.dtype)
        self.relu = torch.nn.ReLU()
        with torch.no_grad():
            self.units.weight.copy_(w[:, None])

    def forward(self, x: Tensor) -> Tensor:
        """Return the sum of the units."""
        outputs: Tensor = self.relu(self.units(x)).sum(1, keepdim=True)
        return outputs


def patients(chosen: Settings) -> list[Patient]:
    """Return the first start of the narrowest network that fails, and the first of the widest."""
    starts = _starts(chosen)
    narrow = min(starts, key=lambda w: w.shape[1])
    wide = max(starts, key=lambda w: w.shape[1])
    fails = (narrow > 0).all(1) | (narrow < 0).all(1)
    found = [_patient(chosen, wide[0], ())]
    if bool(fails.any()):
        meant = ("dead_units", "plateau_or_saddle")
        found.insert(0, _patient(chosen, narrow[fails][0], meant))
    return found


def _patient(chosen: Settings, w: Tensor, meant: tuple[str, ...]) -> Patient:
    model = _Units(w)
    optimizer = SGD(model.parameters(), lr=2 * chosen.rate / len(w))
    x = torch.tensor([[1.0], [-1.0]], dtype=torch.float64)
    batches = [(x, x.abs())] * chosen.steps
    run = f"{len(w)} units" + (" with weights of one sign" if meant else "")
    return Patient(run, model, optimizer, "half_mse", batches, meant)


LAB = Lab(
    name="limits",
    title="A wider network finds what a minimal one misses",
    what="|x| = relu(x) + relu(−x) needs two hidden units. With just two, gradient descent from "
    "small random weights learns it in half of the runs and is left with a loss of ¼ in the "
    "others. With each further unit the share of failures halves.",
    why="A unit with a positive weight sees positive inputs only. Where all units have the same "
    "sign at the start, nothing answers on the other side, and a gradient of 0 changes nothing "
    "there: for n units that happens once in 2ⁿ⁻¹ starts. Theory says that finding the best "
    "minimal network is hard in the worst case. In practice one asks for less: a network with "
    "more units than needed, and a small loss instead of the least.",
    source="Goodfellow, Bengio and Courville, Deep Learning, section 8.2.8; Blum and Rivest (1992), "
    "Training a 3-node neural network is NP-complete, Neural Networks 5",
    settings=Settings,
    compute=compute,
    detect=detect,
    prove=prove,
    draw=draw,
    slider=Slider(
        "width",
        "hidden units n of the widest network; the others have 2, 3, 4 and 6",
        (8, 10, 20, 50, 100),
        10,
        "It is the widest of five; wider ones than 100 hardly ever fail.",
        unit="units",
        settings=lambda width: {"widths": (2.0, 3.0, 4.0, 6.0, float(width))},
    ),
    patients=patients,
)
"""The lab `limits`."""
