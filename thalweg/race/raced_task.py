"""The task that is raced on, with the validation figure and the target that decide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from thalweg.errors import TaskError
from thalweg.race.judging.reached import Goal
from thalweg.race.trials.ranking import Direction
from thalweg.tasks import Target, Task
from thalweg.tasks.target import figure


@dataclass(frozen=True)
class RacedTask:
    """What was raced on: the task's name, its model in words, and the validation figure that
    decides.

    `source` says whose the target is: "given" by the user, of the "task", or, where there is none,
    set by a "rule" once the trials of tuning are done. `model` is empty until the race has built
    one.
    """

    task: str
    metric: str
    direction: Direction
    target: float | None
    source: Literal["given", "task", "rule"]
    model: str = ""

    @property
    def goal(self) -> Goal:
        """What decides, as far as it is known before the race."""
        return Goal(self.metric, self.direction, self.target)


def raced_task(task: Task, *, given: bool) -> RacedTask:
    """Return what is raced on; `given` says whether the target is the user's own."""
    metric = _deciding_metric(task)
    return RacedTask(
        task=task.name,
        metric=metric,
        direction=task.cost.direction(metric),
        target=None if task.target is None else float(task.target.value),
        source="rule" if task.target is None else "given" if given else "task",
    )


def with_target(task: object, target: float | Target | None) -> Task:
    """Return the task with the target that a user gave; a number is one of the deciding figure.

    Raises:
        TaskError: if it is not a task.
    """
    if not isinstance(task, Task):
        several = isinstance(task, Sequence)
        hint = " Race several one after another, then give the results to `thalweg.race.sum_up`."
        raise TaskError(
            f"A race takes one Task, or the name of one; got {task!r}.{hint if several else ''}"
        )
    if target is None:
        return task
    if isinstance(target, Target):
        return task.replace(target=target)
    return task.replace(target=Target(_deciding_metric(task), float(target)))


def _deciding_metric(task: Task) -> str:
    """The validation figure that decides: the target's, else the cost's first metric, else its
    loss.
    """
    if task.target is not None:
        return figure(task.target.metric)
    return task.cost.measures[0].name if task.cost.measures else "loss"
