"""What can be said of a recipe before it trains."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from thalweg.doctor.before.data import data_verdicts
from thalweg.doctor.before.model import model_verdicts
from thalweg.doctor.before.rows import read_sets
from thalweg.doctor.forks.remedies import advice
from thalweg.doctor.report import Report
from thalweg.doctor.verdict import Statistic, Verdict
from thalweg.numeric import is_schedule
from thalweg.tasks.place import place_of
from thalweg.tasks.sources.batches import Order
from thalweg.train.gradients import epoch_steps
from thalweg.train.recipe import Recipe
from thalweg.train.restored.randomness import isolated, seed_weights

LOOKS = 200
"""Steps at which a schedule is evaluated."""
STILL = 0.01
"""A rate below this share of its peak no longer moves the weights."""
IDLE = 0.3
"""The largest share of the steps in which a schedule may be below that rate."""


def check(recipe: Recipe) -> Report:
    """Return what can be said of a recipe before it trains: of data, model, optimizer and schedule.

    Nothing is trained, and random generators stay as they are. What cannot be checked is said in the
    report, with the reason.
    """
    found: list[Verdict] = []
    failed: list[str] = []

    def guarded(name: str, do: Callable[[], list[Verdict]]) -> None:
        try:
            found.extend(do())
        except Exception as error:  # the user's data and model: training will say what is wrong
            failed.append(f"{name}: {type(error).__name__}: {error}")

    task = recipe.task
    with isolated():
        guarded("data", lambda: data_verdicts(read_sets(task), task.cost))
        seed_weights(recipe.seed, torch.device("cpu"))
        try:
            model = task.build()
            optimizer = recipe.bind(model)
        except Exception as error:
            failed.append(f"model: {type(error).__name__}: {error}")
        else:
            parts = (model, optimizer, task.cost)
            guarded("model", lambda: model_verdicts(*parts, _batch(recipe, model)))
            guarded("optimizer", lambda: _not_stepped(model, optimizer))
        guarded("schedule", lambda: _idle_schedule(recipe))
    return Report(tuple(found), tuple(failed))


def _batch(recipe: Recipe, model: nn.Module) -> tuple[Any, Any]:
    source = recipe.task.data.train
    with source.untraced():
        batches = source.batches(recipe.task.batch_size, Order(recipe.seed), place=place_of(model))
        return next(batches)


def _not_stepped(model: nn.Module, optimizer: torch.optim.Optimizer) -> list[Verdict]:
    """Return a fault where parameters that want a gradient are in no group of the optimizer."""
    groups = optimizer.param_groups
    stepped = {id(p) for p in itertools.chain.from_iterable(group["params"] for group in groups)}
    left = [
        name
        for name, p in model.named_parameters()
        if p.requires_grad and id(p) not in stepped
    ]  # fmt: skip
    if not left or not stepped:
        return []
    return [
        Verdict(
            "not_stepped",
            Statistic("parameters in no group of the optimizer", float(len(left)), high=0.0),
            status="confirmed",
            where=left[0],
            words=f"The optimizer does not know {', '.join(left[:3])}.",
            remedy=advice("groups", "give the optimizer all parameters, or freeze these"),
        )
    ]


def _idle_schedule(recipe: Recipe) -> list[Verdict]:
    """Return a warning where the rate is next to nothing for a large part of the run."""
    rate: Any = recipe.rate
    batches = epoch_steps(recipe.task.data.train, recipe.batch_size)
    if not is_schedule(rate) or batches is None:
        return []
    steps = recipe.epochs * -(-batches // recipe.accumulate)
    places = np.unique(np.linspace(0, steps - 1, LOOKS).astype(int))
    rates = np.array([float(rate(int(step))) for step in places])
    if not rates.max() > 0:
        return []
    still = rates < STILL * rates.max()
    share = float(still.mean())
    if share <= IDLE:
        return []
    where = "ends long before the run" if still[-1] else "begins long after the run"
    return [
        Verdict(
            "idle_schedule",
            Statistic(f"share of steps below {STILL:.0%} of the largest rate", share, high=IDLE),
            kind="warning",
            status="confirmed",
            words=f"The schedule {where}.",
            remedy=advice("steps", f"a schedule of {steps} steps"),
        )
    ]
