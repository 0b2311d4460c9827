"""Small tasks in float64, and stacked trials beside the same trials alone."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from thalweg.objective import Cost
from thalweg.race.entrants.known import Entrant
from thalweg.race.stack.probe import CPU
from thalweg.race.stack.train import ModelStack, StackedModel, enter
from thalweg.race.stack.try_task import probe_task
from thalweg.race.trials.plan import Setting, Trial, Unit
from thalweg.race.trials.point import Point
from thalweg.race.trials.recipe import recipe_of
from thalweg.race.trials.records import TrialRecord
from thalweg.race.trials.run import run_trial
from thalweg.tasks import Data, Task, mlp
from thalweg.train import Run
from thalweg.train.restored.randomness import isolated

SETTING = Setting(batch_size=8, metric="accuracy", direction="max")


@functools.cache
def classes() -> Data:
    """Three classes of points in the plane: 44 rows to learn from, so that batches of 8 leave a ragged 4,
    and 12 to measure on."""
    own = torch.Generator().manual_seed(3)
    x = torch.randn(56, 4, generator=own, dtype=torch.float64)
    y = (x[:, :3] + 0.3 * torch.randn(56, 3, generator=own, dtype=torch.float64)).argmax(1)
    return Data.arrays(x, y, validation=12 / 56, split="last")


def task(model: Callable[[], nn.Module] | None = None, **parts: Any) -> Task:
    """Return a task on the three classes; the model is a dense network unless given."""
    build = model or (lambda: mlp([4, 7, 3], nn.Tanh))
    cost = parts.pop("cost", Cost("cross_entropy", metrics="accuracy"))
    return Task(
        data=parts.pop("data", classes()), cost=cost, model=lambda: build().double(), **parts
    )


def trials(
    entrants: Sequence[Entrant], rates: Sequence[float], seeds: Sequence[int], epochs: int = 2
) -> Unit:
    """Return a unit of every entrant at every rate with every seed, the seeds last."""
    return tuple(
        (f"{entrant.name} {lr} {seed}", Trial(entrant, Point(lr), seed, epochs))
        for seed, entrant, lr in itertools.product(seeds, entrants, rates)
    )


def entrant(factory: Any, name: str = "", **hyperparameters: Any) -> Entrant:
    """Return an entrant of these hyperparameters."""
    return Entrant(name or factory.__name__.lower(), factory, hyperparameters)


def stacked(task: Task, unit: Unit, setting: Setting = SETTING) -> list[StackedModel]:
    """Return what has become of the members of a stack."""
    with isolated(CPU):
        recipes = [recipe_of(task, trial, setting) for _, trial in unit]
        found = probe_task(recipes[0].task)
        members = [enter(recipe) for recipe in recipes]
        ModelStack(members, found).train()
    return members


def alone(task: Task, unit: Unit, setting: Setting = SETTING) -> list[Run]:
    """Return the runs of the trials, each by itself."""
    return [recipe_of(task, trial, setting).fit(progress=False) for _, trial in unit]


def assert_same(
    task: Task, unit: Unit, setting: Setting = SETTING, tolerance: float = 1e-10
) -> None:
    """Assert that the trials give the same curves and weights, stacked and alone."""
    members = stacked(task, unit, setting)
    for (key, _), member, run in zip(unit, members, alone(task, unit, setting), strict=True):
        assert member.status == "finished", (key, member.error)
        assert member.run is not None
        assert member.run.steps == run.steps
        assert member.run.gradients == run.gradients
        assert member.run.stopped == run.stopped
        assert_same_curve(member.run, run, tolerance, key)
        ours, theirs = member.model.state_dict(), run.model.state_dict()
        assert list(ours) == list(theirs)
        for name in theirs:
            near(ours[name], theirs[name], tolerance, f"{key}: {name}")


def assert_same_curve(ours: Run, theirs: Run, tolerance: float, key: str) -> None:
    """Assert that two runs were measured alike."""
    assert theirs.evaluations
    steps = [(e.epoch, e.step, e.gradients) for e in theirs.evaluations]
    assert [(e.epoch, e.step, e.gradients) for e in ours.evaluations] == steps
    for mine, other in zip(ours.evaluations, theirs.evaluations, strict=True):
        assert list(mine.scores.as_dict()) == list(other.scores.as_dict())
        for name, value in other.scores.as_dict().items():
            near(mine.scores[name], value, tolerance, f"{key}: {name} at step {other.step}")


def near(mine: Tensor | float, other: Tensor | float, tolerance: float, what: str) -> None:
    """Assert that numbers agree, relative to their size where that is above 1."""
    torch.testing.assert_close(
        torch.as_tensor(mine, dtype=torch.float64),
        torch.as_tensor(other, dtype=torch.float64),
        rtol=tolerance,
        atol=tolerance,
        msg=lambda text: f"{what}\n{text}",
    )


def records_alone(task: Task, unit: Unit, setting: Setting = SETTING) -> list[TrialRecord]:
    """Return the records of the trials, each by itself."""
    return [run_trial(task, trial, setting, key) for key, trial in unit]
