"""Lab: the 0-1 loss cannot be descended; its surrogate goes on where the 0-1 loss has ended."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from thalweg.errors import TaskError
from thalweg.labs.lab import Lab, Theory
from thalweg.labs.picture import Axis, Picture, curve
from thalweg.labs.settings import setting
from thalweg.labs.slider import Slider
from thalweg.labs.watching import Patient, linear
from thalweg.optim import SGD

_FROM = 0.5
"""The slope of the surrogate is taken over this last part of the logarithm of the steps."""
_NUDGE = 1e-9
"""The length of a step of which the 0-1 loss takes no notice."""


@dataclass(frozen=True)
class Settings:
    """What can be chosen."""

    rows: int = setting(30, "rows of a training set", low=10, high=200)
    features: int = setting(20, "features, at least half as many as rows", low=5, high=200)
    sets: int = setting(60, "training sets", low=20, high=500)
    rate: float = setting(2.0, "learning rate", low=0.5, high=4)
    steps: int = setting(800, "steps of gradient descent", low=500, high=20_000)
    seed: int = setting(0, "seed of the sets", low=0)


@dataclass(frozen=True)
class Data:
    """After each step and for each set: the surrogate, the training error, and the error of all inputs."""

    settings: Settings
    surrogate: Tensor
    train: Tensor
    true: Tensor
    nudged: float


def compute(chosen: Settings) -> Data:
    """Descend the logistic loss of each set; classes are the sign of a linear function of normal inputs."""
    if not chosen.rows / 2 <= chosen.features <= chosen.rows:
        raise TaskError(
            "features must be at least half of rows, for sets that are soon separated, and at most rows; got "
            f"{chosen.features} features and {chosen.rows} rows."
        )
    signed, start, truth, nudge = _problem(chosen)
    changed = _error(start + _NUDGE * nudge, signed) - _error(start, signed)
    w, rows = start, []
    for _ in range(chosen.steps):
        margins = torch.einsum("srf,sf->sr", signed, w)
        angle = functional.cosine_similarity(w, truth[None], dim=1).clamp(-1, 1).acos()
        rows.append((functional.softplus(-margins).mean(1), _error(w, signed), angle / math.pi))
        pull = torch.sigmoid(-margins)
        w = w + chosen.rate * torch.einsum("sr,srf->sf", pull, signed) / chosen.rows
    surrogate, train, true = (torch.stack(each) for each in zip(*rows, strict=True))
    return Data(chosen, surrogate, train, true, float(changed.abs().max()))


def _problem(chosen: Settings) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return rows times their class, starts, the true direction, and directions of a tiny step."""
    draws = torch.Generator().manual_seed(chosen.seed)
    shape = (chosen.sets, chosen.rows, chosen.features)
    x = torch.randn(shape, generator=draws, dtype=torch.float64)
    truth = functional.one_hot(torch.tensor(0), chosen.features).double()
    signed = x * torch.sign(x @ truth)[..., None]  # a row is right where w·signed is positive
    start = torch.randn(chosen.sets, chosen.features, generator=draws, dtype=torch.float64)
    return signed, start, truth, torch.randn(start.shape, generator=draws, dtype=torch.float64)


def _error(w: Tensor, signed: Tensor) -> Tensor:
    """Return the 0-1 loss of each set."""
    return (torch.einsum("srf,sf->sr", signed, w) <= 0).double().mean(1)


def _ended(data: Data) -> Tensor:
    """Return for each set the last step before which its training error was not 0."""
    steps = torch.arange(1, len(data.train) + 1)[:, None]
    return (steps * (data.train > 0)).max(0).values.clamp(max=len(data.train) - 1)


def detect(data: Data) -> dict[str, float]:
    """Return what became of both losses, and of the error of all inputs after training errors were gone."""
    ended = _ended(data)
    at_zero = data.true.gather(0, ended[None])[0]
    fell = at_zero - data.true[-1]
    start = int(len(data.train) ** _FROM)
    steps = torch.arange(start, len(data.train), dtype=torch.float64).log()
    steps = steps - steps.mean()
    level = data.surrogate[start:].mean(1).log()
    return {
        "0-1 loss: change by a step of 1e-9": data.nudged,
        "0-1 loss of the training sets at the end": float(data.train[-1].mean()),
        "surrogate: slope in logarithms at the end": float(steps @ level / (steps @ steps)),
        "sets whose test error fell after the last training error": float(
            (fell > 0).double().mean()
        ),
    }


def prove(data: Data) -> dict[str, Theory]:
    """Return 0, 0, −1 and 1."""
    return {
        "0-1 loss: change by a step of 1e-9": Theory(
            0.0,
            0.0,
            "it is constant but where a margin is 0: its gradient is 0, and shows no way down",
        ),
        "0-1 loss of the training sets at the end": Theory(
            0.0, 1e-3, "the sets can be separated, and gradient descent on the surrogate does so"
        ),
        "surrogate: slope in logarithms at the end": Theory(
            -1.0,
            0.25,
            "‖w‖ grows like log t and the loss falls like 1/t; the slope is not there yet while margins are "
            "few",
        ),
        "sets whose test error fell after the last training error": Theory(
            1.0,
            0.25,
            "margins go on growing, and w turns to the widest: in more than three sets of four",
        ),
    }


def draw(data: Data) -> Picture:
    """Draw the three losses over the steps, the mean of the sets."""
    picked = sorted({round(1.04**k) for k in range(400) if 1.04**k < len(data.train)})
    at = [k - 1 for k in picked]
    return Picture(
        curves=tuple(
            curve(name, picked, values[at].mean(1).tolist(), dash=name == "training error")
            for name, values in (
                ("surrogate", data.surrogate),
                ("training error", data.train),
                ("test error", data.true),
            )
        ),
        x=Axis("steps", log=True),
        y=Axis("loss"),
        hint="The training error is 0 while the surrogate still falls, and with it the test error, "
        "which is the angle to the true direction over π.",
    )


def patients(chosen: Settings) -> list[Patient]:
    """Return gradient descent on the surrogate of the first set."""
    signed, start, _, _ = _problem(chosen)
    model = linear(start[0])
    optimizer = SGD(model.parameters(), lr=chosen.rate)
    batch = signed[0], torch.ones(chosen.rows, 1, dtype=signed.dtype)
    loss = "binary_cross_entropy_with_logits"
    return [Patient("first set", model, optimizer, loss, [batch] * chosen.steps)]


LAB = Lab(
    name="surrogate-loss",
    title="The 0-1 loss has no slope, its surrogate does",
    what="Classes are the sign of a linear function. What counts is the share of errors, the 0-1 "
    "loss, but a tiny step does not change it. Gradient descent on the negative log-likelihood "
    "makes training errors vanish, and does not stop there: the surrogate falls further, and "
    "the error on new inputs with it.",
    why="The 0-1 loss is constant wherever no margin is 0, so its gradient is 0 and says nothing. "
    "The logistic loss has a slope for every row, least where the margin is large. Once all "
    "rows are right, lengthening w lowers the loss like 1/t, and turning it to a direction with "
    "wider margins lowers it further. Such a direction is closer to the true one.",
    source="Goodfellow, Bengio and Courville, Deep Learning, section 8.1.2; Soudry et al. (2018), "
    "The implicit bias of gradient descent on separable data, arXiv:1710.10345",
    settings=Settings,
    compute=compute,
    detect=detect,
    prove=prove,
    draw=draw,
    slider=Slider(
        "features",
        "features, for 30 rows",
        (15, 18, 20, 25, 30),
        20,
        "With fewer features not all sets are soon separated; with more than rows any labels are.",
        unit="features",
    ),
    patients=patients,
)
"""The lab `surrogate-loss`."""
