"""A trial as a recipe: what `fit` is to do, whether the trial trains alone or in a stack."""

from __future__ import annotations

from typing import Any

from thalweg.numeric import is_schedule
from thalweg.race.entrants.entrant import Entrant
from thalweg.race.trials.plan import Setting, Trial
from thalweg.race.trials.point import Point
from thalweg.schedules import scheduler
from thalweg.tasks import Task
from thalweg.train.recipe import Recipe


def recipe_of(task: Task, trial: Trial, setting: Setting) -> Recipe:
    """Return the recipe of a trial.

    The whole budget is always used, so that the final metric means the same for every entrant. It
    is one of gradients, counted by rows: an optimizer that computes several in a step takes fewer
    steps, and so does one that takes more rows in each.

    Raises:
        TaskError: for an entrant whose parts do not fit the task.
    """
    setting = setting.of(trial.entrant)
    steps = setting.steps(task, trial.epochs)
    return Recipe(
        task=trial.entrant.task(task),
        **optimizing(trial.entrant, trial.point, steps),
        epochs=trial.epochs,
        batch_size=setting.batch_size,
        seed=trial.seed,
        evaluate_every=setting.evaluate_every(task, trial.epochs),
        gradient_budget=setting.gradients(task, trial.epochs),
        strategy=trial.entrant.strategy,
        device=setting.device,
    )


def optimizing(entrant: Entrant, point: Point, steps: int | None) -> dict[str, Any]:
    """Return the parts of a recipe that an entrant's point sets: the optimizer and its rate.

    An optimizer that takes no schedule is driven by a scheduler of PyTorch's kind.
    """
    rate = entrant.rate(point.lr, steps)
    parts: dict[str, Any] = {"optimizer": entrant.bound(dict(point.others)), "lr": rate}
    if is_schedule(rate) and not entrant.takes_schedules:
        share = entrant.schedule_factor(point.lr, steps)
        parts |= {
            "lr": point.lr,
            "scheduler": lambda optimizer: scheduler(optimizer, share),
            "scheduler_step": "step",
        }
    return parts
