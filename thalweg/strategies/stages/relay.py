"""Tells the callbacks of the whole run of what happens in its stages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from thalweg.errors import CheckpointError
from thalweg.strategies.stages.merged import EndedStage, Offset, histories
from thalweg.tasks.task import Task
from thalweg.train.callbacks import Callback, Callbacks, Training
from thalweg.train.gradients import Computed
from thalweg.train.history import Epoch, Evaluation, History
from thalweg.train.run import BaseRecipe


class WholeRun:
    """A run in stages as its callbacks see it: a `Training` that counts from the first stage on."""

    def __init__(
        self, whole: BaseRecipe, ended: Sequence[EndedStage], offset: Offset, stage: Training
    ) -> None:
        self._ended, self._offset, self._stage = ended, offset, stage
        self.recipe: Any = whole
        self.task: Task = whole.task
        self.epochs = whole.epochs
        self.model: nn.Module = stage.model
        self.optimizer: torch.optim.Optimizer = stage.optimizer
        self.computed: Computed = stage.computed

    @property
    def epoch(self) -> int:
        """How many epochs are finished."""
        return self._offset.epoch + self._stage.epoch

    @property
    def step(self) -> int:
        """How many updates there were."""
        return self._offset.step + self._stage.step

    @property
    def seconds(self) -> float:
        """How long training took."""
        return self._offset.seconds + self._stage.seconds

    @property
    def gradients(self) -> float:
        """What was computed."""
        return self._offset.gradients + self._offset.factor * self._stage.gradients

    @property
    def stopped(self) -> str:
        """Why the run stops."""
        return self._stage.stopped

    @property
    def history(self) -> History:
        """The epochs of all stages."""
        before, _ = histories(self._ended, self.recipe)
        return History([*before, *(self._offset.shifted(record) for record in self._stage.history)])

    @property
    def evaluations(self) -> list[Evaluation]:
        """The evaluations of all stages."""
        _, before = histories(self._ended, self.recipe)
        return [*before, *(self._offset.evaluation_of(each) for each in self._stage.evaluations)]

    @property
    def batch(self) -> Any:
        """The batch of the last step."""
        return self._stage.batch

    def stop(self, reason: str = "callback") -> None:
        """End the whole run after the step or epoch that it is in."""
        self._stage.stop(reason)


@dataclass
class Told:
    """The callbacks of the whole, whether they were told of its start, and the run at the end of a stage."""

    callbacks: Callbacks
    is_started: bool = False
    seen: Any = None


class Relay(Callback):
    """Hands on what a stage tells.

    Args:
        told: the callbacks of the whole.
        whole: its recipe.
        ended: the stages before.
        offset: what had been done before.
        is_last: whether no stage follows.
        is_judged: whether evaluations and epochs of the stage are those of the task.
    """

    def __init__(
        self,
        told: Told,
        whole: BaseRecipe,
        ended: Sequence[EndedStage],
        offset: Offset,
        *,
        is_last: bool,
        is_judged: bool,
    ) -> None:
        self.once, self.told = told, told.callbacks
        self.whole, self.ended, self.offset = whole, tuple(ended), offset
        self.is_last, self.is_judged = is_last, is_judged

    def _seen(self, training: Training) -> Any:
        return WholeRun(self.whole, self.ended, self.offset, training)

    def start(self, training: Training) -> None:
        """Tell of the start of the whole: once, in the first stage that is not yet done."""
        if self.once.is_started or (_is_done(training) and not self.is_last):
            return
        self.once.is_started = True
        self.told.tell("start", self._seen(training))

    def step(self, training: Training, loss: float) -> None:
        """Tell of an update."""
        self.told.tell("step", self._seen(training), loss)

    def evaluation(self, training: Training, evaluation: Evaluation) -> None:
        """Tell of an evaluation."""
        if self.is_judged:
            self.told.tell(
                "evaluation", self._seen(training), self.offset.evaluation_of(evaluation)
            )

    def epoch(self, training: Training, record: Epoch) -> None:
        """Tell of an epoch."""
        if self.is_judged:
            self.told.tell("epoch", self._seen(training), self.offset.shifted(record))

    def end(self, training: Training) -> None:
        """Keep the run, of whose end the callbacks are told when no stage follows."""
        self.once.seen = self._seen(training)

    def state_dict(self) -> dict[str, Any]:
        """Return the states of the callbacks."""
        return {"callbacks": self.told.state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Give them back."""
        self.told.load(state["callbacks"])


def _is_done(training: Training) -> bool:
    """Return whether a stage that begins was read from a checkpoint of its end."""
    budget = training.recipe.gradient_budget
    is_spent = budget is not None and training.gradients >= budget
    return is_spent or training.epoch >= training.epochs or bool(training.stopped)


class Mark(Callback):
    """Keeps in a checkpoint what it is of: strategy, stage, and the budget that the stages share."""

    def __init__(self, identity: str, stage: str, whole: BaseRecipe) -> None:
        self.mark = {
            "strategy": identity,
            "stage": stage,
            "number of epochs": whole.epochs,
            "budget of gradients": whole.gradient_budget,
        }

    def state_dict(self) -> dict[str, Any]:
        """Return what it is of."""
        return dict(self.mark)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Refuse a checkpoint of anything else."""
        for what, mine in self.mark.items():
            if state.get(what) != mine:
                raise CheckpointError(
                    f"The checkpoint is of another {what}: {state.get(what)!r} in the checkpoint, "
                    f"{mine!r} now. Use the same one, or another file."
                )
