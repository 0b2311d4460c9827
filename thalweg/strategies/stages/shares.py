"""What a stage gets of the budget of the whole: epochs, gradient-equivalents, seed and schedule."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from thalweg.errors import TaskError
from thalweg.numeric import is_real, is_schedule
from thalweg.schedules import Schedule
from thalweg.strategies.stages.merged import Offset
from thalweg.strategies.stages.stage import Stage
from thalweg.strategies.stages.units import in_gradients, unit_of
from thalweg.tasks.sources.batches import derive
from thalweg.train.gradients import epoch_rows
from thalweg.train.run import BaseRecipe


@dataclass(frozen=True, repr=False)
class continued(Schedule):  # noqa: N801 - schedules are called like functions
    """A schedule that goes on where an earlier stage left it.

        schedule(k + after)

    >>> from thalweg.schedules import cosine
    >>> continued(cosine(0.1, steps=100), 50)(0) == cosine(0.1, steps=100)(50)
    True
    """

    schedule: Schedule
    after: float

    def _value(self, k: float) -> float:
        return self.schedule(k + self.after)


def cuts_of(stages: Sequence[Stage]) -> list[float]:
    """Return the share that is spent at the beginning of each stage, and 1 at the end.

    >>> cuts_of([Stage("first"), Stage("second", share=3)])
    [0.0, 0.25, 1.0]
    """
    total = math.fsum(stage.share for stage in stages)
    before = [math.fsum(stage.share for stage in stages[:k]) for k in range(len(stages))]
    return [*(each / total for each in before), 1.0]


def share_of(recipe: BaseRecipe, stages: Sequence[Stage], k: int, before: Offset) -> BaseRecipe:
    """Return the recipe with the epochs, the seed and the learning rate of stage k.

    The first stage has the seed of the whole, so that a single one is the run without a strategy. A
    schedule goes on over the stages; a scheduler of PyTorch's kind begins again in each.
    """
    if len(stages) == 1:
        return recipe
    changes: dict[str, Any] = {"epochs": _epochs(recipe, stages, k)}
    if k:
        changes["seed"] = derive(recipe.seed, "stage", k)
    rate = recipe.rate
    if is_schedule(rate):
        changes["lr"] = _later(rate, before.step)
        if isinstance(
            recipe.optimizer, str
        ):  # the name of a schedule in it is what the rate is now
            changes["optimizer"] = recipe.optimizer.partition("+")[0].strip()
    if not stages[k].is_judged:
        changes |= {"early_stopping": None, "stop_at": None, "evaluate_every": None}
    return recipe.replace(**changes)


def _epochs(recipe: BaseRecipe, stages: Sequence[Stage], k: int) -> int:
    cuts = cuts_of(stages)
    first, last = (round(cut * recipe.epochs) for cut in cuts[k : k + 2])
    if last <= first and recipe.gradient_budget is None:
        raise TaskError(
            f"The share of {cuts[k + 1] - cuts[k]:.3g} of {recipe.epochs} epochs is not a whole epoch. Give "
            "the run more epochs, or the stage a larger share."
        )
    return max(1, last - first)


def _later(rate: Any, steps: int) -> Any:
    if not steps:
        return rate
    if isinstance(rate, Schedule):
        return continued(rate, steps)
    return lambda k: rate(k + steps)


def within_budget(
    made: BaseRecipe, recipe: BaseRecipe, stages: Sequence[Stage], k: int, before: Offset
) -> BaseRecipe:
    """Return a stage's own recipe with its part of the budget of gradients, where there is one.

    What a stage leaves or overdraws changes what the last one may spend, so that the whole costs what
    is asked for.
    """
    if recipe.gradient_budget is None or (len(stages) == 1 and not stages[0].row_passes):
        return made
    left = cuts_of(stages)[k + 1] * recipe.gradient_budget - before.gradients
    left -= in_gradients(stages[k].row_passes, recipe)
    if left <= 0:
        raise TaskError(
            f"The budget of {recipe.gradient_budget:g} gradient-equivalents is spent before the stage "
            "begins, by the stages before or its own preparation. Give it a larger share."
        )
    budget = left * unit_of(recipe) / unit_of(made)
    rows = epoch_rows(made.task.data.train)
    epochs = made.epochs if rows is None else math.ceil(budget * unit_of(made) / rows)
    return made.replace(gradient_budget=budget, epochs=max(1, epochs))


def check_share(name: str, share: object) -> None:
    """Raise TaskError for a share that is not a fraction between 0 and 1."""
    if not (is_real(share) and 0 < share < 1):  # type: ignore[operator]  # it is a number
        raise TaskError(f"{name} must be a fraction of the budget, 0 < {name} < 1; got {share!r}.")
