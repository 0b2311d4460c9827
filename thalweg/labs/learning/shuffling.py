"""Lab: where SGD comes to rest when rows are sorted, shuffled once, each epoch, or drawn again."""

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
from thalweg.tasks import Order

_KINDS = ("sorted", "once", "epoch", "drawn")
_NAMES = {
    "sorted": "sorted, never shuffled",
    "once": "shuffled once",
    "epoch": "shuffled each epoch",
    "drawn": "drawn with replacement",
}


@dataclass(frozen=True)
class Settings:
    """What can be chosen."""

    rows: int = setting(20, "rows of data", low=5, high=500)
    rate: float = setting(0.05, "learning rate", low=0.01, high=0.5)
    epochs: int = setting(15, "epochs", low=2, high=200)
    runs: int = setting(400, "runs of each kind, with seeds of their own", low=50, high=5000)
    seed: int = setting(0, "first seed of the runs", low=0)


@dataclass(frozen=True)
class Data:
    """For each kind of order the paths of w, a table (steps, runs); the rows have mean 0."""

    settings: Settings
    rows: Tensor
    paths: dict[str, Tensor]
    repeated: float


def compute(chosen: Settings) -> Data:
    """Descend ½(w − x)² row by row from w = 0, the mean of the rows and so the minimum."""
    x = torch.linspace(-1, 1, chosen.rows, dtype=torch.float64)
    paths = {kind: _path(chosen, x, kind) for kind in _KINDS}
    again = _path(chosen, x, "epoch")
    return Data(chosen, x, paths, float((again - paths["epoch"]).abs().max()))


def _path(chosen: Settings, x: Tensor, kind: str) -> Tensor:
    w = torch.zeros(chosen.runs, dtype=torch.float64)
    path = [w]
    for epoch in range(1, chosen.epochs + 1):
        for rows in _orders(chosen, kind, epoch).T:
            w = w - chosen.rate * (w - x[rows])
            path.append(w)
    return torch.stack(path)


def _orders(chosen: Settings, kind: str, epoch: int) -> Tensor:
    """Return the rows of an epoch of each run, a table (runs, rows)."""
    n, seeds = chosen.rows, range(chosen.seed, chosen.seed + chosen.runs)
    if kind == "sorted":
        return torch.arange(n).repeat(chosen.runs, 1)
    if kind == "drawn":
        draws = torch.Generator().manual_seed(chosen.seed * 1000 + epoch)
        return torch.randint(n, (chosen.runs, n), generator=draws)
    orders = [Order(seed, "once" if kind == "once" else "epoch") for seed in seeds]
    return torch.stack([_drawn(order, n, epoch) for order in orders])


def _drawn(order: Order, rows: int, epoch: int) -> Tensor:
    """Return the order of an epoch, which such an `Order` always draws."""
    found = order.permutation(rows, epoch)
    assert found is not None
    return found


def detect(data: Data) -> dict[str, float]:
    """Return the root mean square of w at the end of the last epoch, of each kind, and a run again."""
    found = {
        f"{_NAMES[kind]}: distance at the end": float(path[-1].square().mean().sqrt())
        for kind, path in data.paths.items()
    }
    found["the same seeds again: difference"] = data.repeated
    return found


def prove(data: Data) -> dict[str, Theory]:
    """Return the distance of each kind by the linear recursion of an epoch."""
    chosen, rate = data.settings, data.settings.rate
    n, epochs, kept = chosen.rows, chosen.epochs, 1 - rate
    weights = rate * kept ** torch.arange(n - 1, -1, -1, dtype=torch.float64)
    square = float(data.rows.square().mean())
    drawn = square * n / (n - 1) * float(weights.square().sum() - weights.sum() ** 2 / n)
    fixed = (1 - kept ** (n * epochs)) / (1 - kept**n)
    anew = (1 - kept ** (2 * n * epochs)) / (1 - kept ** (2 * n))
    # Sums of many independent rows are nearly normal: a mean square of r errs by √(2/r) of itself.
    share = 4 * math.sqrt(2 / chosen.runs) / 2
    independent = math.sqrt(square * rate / (2 - rate) * (1 - kept ** (2 * n * epochs)))
    because = {
        "sorted": "the last rows count most: Σε(1 − ε)ⁿ⁻ᵏxₖ an epoch, the same each time",
        "once": "each epoch errs in the same direction, and the errors add up",
        "epoch": "errors of epochs are independent, and within one rows balance each other",
        "drawn": "ε/(2 − ε) of the rows' variance: nothing balances",
    }
    values = {
        "sorted": (abs(float(weights @ data.rows)) * fixed, 1e-9),
        "once": (math.sqrt(drawn) * fixed, share * math.sqrt(drawn) * fixed),
        "epoch": (math.sqrt(drawn * anew), share * math.sqrt(drawn * anew)),
        "drawn": (independent, share * independent),
    }
    expected = {
        f"{_NAMES[kind]}: distance at the end": Theory(*values[kind], because[kind])
        for kind in _KINDS
    }
    expected["the same seeds again: difference"] = Theory(
        0.0, 0.0, "the order is a function of seed and epoch"
    )
    return expected


def draw(data: Data) -> Picture:
    """Draw the root mean square of w over the steps."""
    steps = range(1, len(data.paths["sorted"]))
    return Picture(
        curves=tuple(
            curve(_NAMES[kind], steps, path[1:].square().mean(1).sqrt().tolist())
            for kind, path in data.paths.items()
        ),
        x=Axis("steps"),
        y=Axis("distance from the minimum"),
        hint="The start is the minimum. Sorted rows drag w through all of them in each epoch, and "
        "leave it near the last ones. Of the others, a new order in each epoch stays closest "
        "at the ends of epochs.",
    )


def patients(chosen: Settings) -> list[Patient]:
    """Return the run on sorted rows, and the first of those that are shuffled in each epoch."""
    return [_patient(chosen, "sorted", ("data_order",)), _patient(chosen, "epoch", ())]


def _patient(chosen: Settings, kind: str, meant: tuple[str, ...]) -> Patient:
    x = torch.linspace(-1, 1, chosen.rows, dtype=torch.float64)
    orders = (_orders(chosen, kind, epoch)[0] for epoch in range(1, chosen.epochs + 1))
    one = torch.ones(1, 1, dtype=x.dtype)
    batches = [(one, x[row].reshape(1, 1)) for order in orders for row in order]
    model = linear(torch.zeros(1, dtype=x.dtype))
    optimizer = SGD(model.parameters(), lr=chosen.rate)
    return Patient(_NAMES[kind], model, optimizer, "half_mse", batches, meant)


LAB = Lab(
    name="shuffling",
    title="Sorted rows pull SGD to the last of them",
    what="SGD with a fixed learning rate begins at the minimum of the mean of ½(w − x)² and takes "
    "one row a step. With rows sorted by their value and never shuffled it comes to rest far "
    "from the minimum, near the last rows of the epoch. Shuffled once it is close, shuffled in "
    "each epoch closer still, and closer than with rows drawn with replacement. The same seed "
    "gives the same order.",
    why="After an epoch w is (1 − ε)ⁿw + Σε(1 − ε)ⁿ⁻ᵏxₖ: a mean in which the last rows count most. "
    "Sorted, these are all large. Shuffled, their mean is right, but a single order is kept in "
    "error in all epochs, while new ones average out. Within an epoch each row comes once, so "
    "that what is too large now is missing later; with replacement that is not so.",
    source="Goodfellow, Bengio and Courville, Deep Learning, section 8.1.3",
    settings=Settings,
    compute=compute,
    detect=detect,
    prove=prove,
    draw=draw,
    slider=Slider(
        "rate",
        "learning rate",
        (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5),
        0.05,
        "With shorter steps 15 epochs do not reach the place of rest; with longer ones single rows decide.",
    ),
    patients=patients,
)
"""The lab `shuffling`."""
