"""Random training runs: `fit` comes to what a plain loop in PyTorch comes to."""

from __future__ import annotations

import copy
import functools
import random
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hypothesis import event, example, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from tests.exact import RESUMED, same
from tests.examples import MORE
from tests.train.helpers import same_run
from thalweg import optim
from thalweg.errors import ThalwegError
from thalweg.meta import Accumulate
from thalweg.objective import L2, Cost
from thalweg.tasks import Data, Task
from thalweg.train import EarlyStopping, Run, fit

from .losses import CLASSES, POSITIONS, Case, cases, divisor, targets_of
from .runs import MIN_DELTA, Loop

INPUTS = 4
TOLERANCE = 1e-9
PLAIN = Case("cross_entropy", "classes", {}, "module")
USUAL: dict[str, Any] = {
    "case": PLAIN,
    "rows": 20,
    "ignored": set(),
    "batch_size": 8,
    "data": "arrays",
    "memory": "own",
    "dtype": np.float64,
    "validation": 0.3,
    "optimizer": "SGD",
    "lr": 0.05,
    "hidden": True,
    "strength": 0.0,
    "epochs": 3,
    "ending": "plain",
    "amount": 1,
}
OPTIMIZERS: dict[str, tuple[Any, Any]] = {
    "SGD": (
        functools.partial(optim.SGD, momentum=0.9),
        functools.partial(torch.optim.SGD, momentum=0.9),
    ),
    "Adam": (optim.Adam, torch.optim.Adam),
    "AdamW": (torch.optim.AdamW, torch.optim.AdamW),
    "Accumulate": (optim.SGD, torch.optim.SGD),
}


@st.composite
def trainings(draw: st.DrawFn) -> dict[str, Any]:
    rows = draw(st.integers(1, 40))
    size = draw(st.sampled_from([None, 1, 2, 3, 7, 8, 16, 50]))
    first = draw(st.integers(0, rows))
    return {
        "case": draw(cases()),
        "rows": rows,
        # a run of rows, so that there are whole batches of them
        "ignored": set(range(first, min(rows, first + draw(st.integers(0, 20))))),
        "batch_size": size,
        "data": draw(st.sampled_from(["arrays", "tensors", "dataset", "subset", "loader"])),
        "memory": draw(st.sampled_from(["own", "strided", "columns", "frozen"])),
        "dtype": draw(st.sampled_from([np.float64, np.float32])),
        "validation": draw(st.sampled_from([None, 0.3, 0.5])),
        "optimizer": draw(st.sampled_from(sorted(OPTIMIZERS))),
        "lr": draw(st.sampled_from([0.3, 0.05, 0.001])),
        "hidden": draw(st.booleans()),
        "strength": draw(st.sampled_from([0.0, 0.01])),
        "epochs": draw(st.integers(1, 3)),
        "ending": draw(st.sampled_from(["plain", "resumed", "early stopping", "budget"])),
        "amount": draw(st.integers(1, 6)),
    }


def model_of(training: dict[str, Any]) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(2)
        out = CLASSES * (POSITIONS if training["case"].targets == "positions" else 1)
        layers: list[nn.Module] = [nn.Linear(INPUTS, out)]
        if training["hidden"]:
            layers = [nn.Linear(INPUTS, 6), nn.Tanh(), nn.Linear(6, out)]
        if training["case"].targets == "positions":
            layers.append(nn.Unflatten(1, (CLASSES, POSITIONS)))
        return nn.Sequential(*layers).double()


def remembered(values: np.ndarray, memory: str) -> np.ndarray:
    """Return an array of these values that lies in memory in some way."""
    if memory == "strided":
        return np.repeat(values, 2, axis=0)[::2]
    if memory == "columns":
        return np.asfortranarray(values)
    values = values.copy()
    values.flags.writeable = memory != "frozen"
    return values


def arrays_of(training: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    noise = torch.Generator().manual_seed(training["rows"])
    x = torch.randn(training["rows"], INPUTS, generator=noise, dtype=torch.float64).numpy()
    y = targets_of(training["case"], training["rows"], training["ignored"], noise).numpy()
    y = y if y.dtype.kind == "i" else y.astype(training["dtype"])
    memory = training["memory"]
    return remembered(x.astype(training["dtype"]), memory), remembered(y, memory)


def plainly(*arrays: np.ndarray) -> tuple[Tensor, ...]:
    """Return copies as tensors, real numbers as those of the model."""
    tensors = [torch.from_numpy(a.copy()) for a in arrays]
    return tuple(t.double() if t.is_floating_point() else t for t in tensors)


def cut(training: dict[str, Any]) -> int:
    """Return how many of the rows are for training."""
    rows, share = training["rows"], training["validation"]
    return rows if share is None else rows - -(-rows * round(10 * share) // 10)


def data_of(training: dict[str, Any], x: np.ndarray, y: np.ndarray) -> Data:
    share, kind, n = training["validation"], training["data"], cut(training)
    if kind == "arrays":
        return Data.arrays(x, y, validation=share, split="last")
    u, v = plainly(x, y)
    if kind == "tensors":
        return Data.arrays(u, v, validation=share, split="last")
    train: Any = TensorDataset(u[:n], v[:n])
    held: Any = TensorDataset(u[n:], v[n:])
    if kind == "subset":  # of which it is not known that there are tensors in it
        whole = TensorDataset(u, v)
        train = torch.utils.data.Subset(whole, range(n))
        held = torch.utils.data.Subset(whole, range(n, len(u)))
    if kind == "loader":
        train = DataLoader(train, training["batch_size"] or max(n, 1))
        held = DataLoader(held, 3)
    return Data(train, held if share is not None else None)


def rate(training: dict[str, Any]) -> float:
    return training["lr"] / (40.0 if training["case"].sums else 1.0)


def optimizer_of(training: dict[str, Any]) -> Any:
    ours = OPTIMIZERS[training["optimizer"]][0]
    if training["optimizer"] != "Accumulate":
        return ours
    reduction: Any = "sum" if training["case"].sums else "mean"
    return lambda params, lr: Accumulate(ours(params, lr=lr), every=2, reduction=reduction)


def stopping(training: dict[str, Any]) -> EarlyStopping:
    metric = "train loss" if training["validation"] is None else "validation loss"
    return EarlyStopping(metric, patience=training["amount"] % 2 + 1, min_delta=MIN_DELTA)


def fitted(training: dict[str, Any], x: np.ndarray, y: np.ndarray) -> Run:
    """Train by `fit`; where the run is to be resumed, compare it with the one that was not stopped."""
    start = model_of(training)
    penalty = L2(training["strength"]) if training["strength"] else None
    task = Task(
        data_of(training, x, y),
        Cost(training["case"].given, penalty=penalty),
        lambda: copy.deepcopy(start),
        batch_size=training["batch_size"],
    )
    keywords: dict[str, Any] = {
        "lr": rate(training),
        "batch_size": training["batch_size"],
        "shuffle": "never",
        "progress": False,
    }
    if training["ending"] == "early stopping":
        keywords["early_stopping"] = stopping(training)
    if training["ending"] == "budget":
        keywords["gradient_budget"] = training["amount"]
    optimizer, epochs = optimizer_of(training), training["epochs"]
    run = fit(task, optimizer, epochs=epochs, **keywords)
    if training["ending"] == "resumed":
        with tempfile.TemporaryDirectory() as folder:
            keywords["checkpoint"] = Path(folder) / "run.thalweg"
            fit(task, optimizer, epochs=1, **keywords)
            resumed = fit(task, optimizer, epochs=epochs, resume=True, **keywords)
        same_run(resumed, run, because=RESUMED)
        assert (resumed.steps, resumed.gradients) == (run.steps, run.gradients)
    return run


def looped(training: dict[str, Any], x: np.ndarray, y: np.ndarray) -> Loop:
    """Train by the plain loop."""
    n = cut(training)
    theirs = OPTIMIZERS[training["optimizer"]][1]
    train, held = plainly(x[:n], y[:n]), plainly(x[n:], y[n:])
    loop = Loop(
        training["case"],
        model_of(training),
        functools.partial(theirs, lr=rate(training)),
        (train[0], train[1]),
        (held[0], held[1]) if training["validation"] is not None else None,
        training["batch_size"],
        2 if training["optimizer"] == "Accumulate" else 1,
        training["strength"],
    )
    ending = training["ending"]
    loop.run(
        training["epochs"],
        training["amount"] if ending == "budget" else None,
        stopping(training).patience if ending == "early stopping" else None,
    )
    return loop


def generators() -> list[Any]:
    """Return the states of the global generators."""
    numbers = np.random.get_state(legacy=False)
    return [torch.get_rng_state(), repr(numbers), repr(random.getstate())]


def near(a: float, b: float) -> bool:
    return abs(a - b) <= TOLERANCE * (1.0 + abs(b))


def compare(training: dict[str, Any]) -> bool:
    """Train in both ways and compare; return False where there is nothing to learn from."""
    x, y = arrays_of(training)
    before, drawn = (x.copy(), y.copy()), generators()
    try:
        run = fitted(training, x, y)
    except ThalwegError:
        if not refusable(training, y):
            raise
        return False
    finally:
        same([x, y], list(before), because="nobody writes to the caller's arrays")
        same(generators(), drawn, because="the caller's generators are put back")
    # the sum over nothing is 0: of a set of unknown rows that may be learned from
    if refusable(training, y):
        assert training["case"].sums  # over nothing it is 0
        return False
    loop = looped(training, x, y)
    assert (run.steps, run.gradients) == (loop.steps, loop.gradients)
    for p, q in zip(run.model.parameters(), loop.model.parameters(), strict=True):
        assert float((p - q).detach().abs().max()) <= TOLERANCE * (
            1.0 + float(q.detach().abs().max())
        )
    assert near(run.evaluate("train").loss, loop.loss(*loop.train))
    assert len(run.history) == len(loop.train_losses)
    for record, value in zip(run.history, loop.train_losses, strict=True):
        assert near(record.train_loss, value)
    found = [e.validation.loss for e in run.history if e.validation is not None]
    assert len(found) == len(loop.validation_losses)
    assert all(map(near, found, loop.validation_losses))
    return True


def refusable(training: dict[str, Any], y: np.ndarray) -> bool:
    """Whether a set is empty, or nothing in it counts for the loss."""
    n = cut(training)
    sets = [y[:n]] if training["validation"] is None else [y[:n], y[n:]]
    return any(not len(part) or nothing_counts(training["case"], part) for part in sets)


def nothing_counts(case: Case, targets: np.ndarray) -> bool:
    if case.targets not in ("classes", "positions"):
        return False
    if case.sums:
        return bool((targets == case.settings.get("ignore_index", -100)).all())
    return divisor(case, torch.from_numpy(targets.copy())) == 0


@settings(max_examples=40 * MORE)
@given(training=trainings())
@example(training=USUAL)
def test_random_runs_are_those_of_a_plain_loop(training: dict[str, Any]) -> None:
    event("compared" if compare(training) else "nothing to learn from")


def test_usual_runs_are_not_refused() -> None:
    for data in ("arrays", "tensors", "dataset", "subset", "loader"):
        for ending in ("plain", "resumed", "early stopping", "budget"):
            for optimizer in OPTIMIZERS:
                change = {"data": data, "ending": ending, "optimizer": optimizer}
                assert compare(USUAL | change), change
