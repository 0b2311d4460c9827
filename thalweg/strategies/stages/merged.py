"""The stages of a run as one: its history, evaluations and costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from torch import nn

from thalweg.strategies.stages.stage import Stage, StageRecord
from thalweg.strategies.stages.units import as_whole_gradients, in_gradients
from thalweg.train.history import Epoch, Evaluation, History, Reached
from thalweg.train.run import BaseRecipe, Run

_Record = TypeVar("_Record", Epoch, Evaluation, Reached)


@dataclass(repr=False)
class StagedRun(Run):
    """A run in stages: model and optimizer are those of the last one; `stages` says what each spent.

    History and evaluations are those of the stages that have the figures of the task, their epochs
    numbered through; `steps`, `seconds` and `gradients` count all stages.
    """

    stages: tuple[StageRecord, ...]


@dataclass(frozen=True)
class Offset:
    """What had been done before a stage began, and how its gradients count in the whole."""

    epoch: int = 0
    step: int = 0
    seconds: float = 0.0
    gradients: float = 0.0
    factor: float = 1.0

    def shifted(self, record: _Record) -> _Record:
        """Return a record of a stage, counted from the beginning of the whole."""
        return replace(
            record,
            epoch=self.epoch + record.epoch,
            step=self.step + record.step,
            seconds=self.seconds + record.seconds,
        )

    def evaluation_of(self, record: Evaluation) -> Evaluation:
        """Return an evaluation, counted from the beginning of the whole."""
        gradients = self.gradients + self.factor * record.gradients
        return replace(self.shifted(record), gradients=gradients)


@dataclass(frozen=True)
class EndedStage:
    """A stage that has ended, with its run."""

    stage: Stage
    recipe: BaseRecipe
    run: Run

    @property
    def model(self) -> nn.Module:
        """The trained model, as it is handed on."""
        return self.stage.finish(self.run.model)

    @property
    def epochs(self) -> int:
        """The epochs that count in the history of the whole."""
        return self.run.epochs if self.stage.is_judged else 0


def offset_after(ended: Sequence[EndedStage], whole: BaseRecipe) -> Offset:
    """Return what the stages so far have done."""
    return Offset(
        epoch=sum(each.epochs for each in ended),
        step=sum(each.run.steps for each in ended),
        seconds=sum(each.run.seconds for each in ended),
        gradients=sum(_gradients(each, whole) for each in ended),
    )


def offset_of(stage: Stage, made: BaseRecipe, before: Offset, whole: BaseRecipe) -> Offset:
    """Return the offset of a stage: what was done before, and what making it has cost."""
    return replace(
        before,
        gradients=before.gradients + in_gradients(stage.row_passes, whole),
        factor=as_whole_gradients(1.0, made, whole),
    )


def _gradients(ended: EndedStage, whole: BaseRecipe) -> float:
    own = as_whole_gradients(ended.run.gradients, ended.recipe, whole)
    return own + in_gradients(ended.stage.row_passes, whole)


def histories(ended: Sequence[EndedStage], whole: BaseRecipe) -> tuple[History, list[Evaluation]]:
    """Return history and evaluations of the stages that have the figures of the task."""
    history, evaluations = History(), []
    for k, each in enumerate(ended):
        if not each.stage.is_judged:
            continue
        offset = offset_of(each.stage, each.recipe, offset_after(ended[:k], whole), whole)
        history.epochs += [offset.shifted(record) for record in each.run.history]
        evaluations += [offset.evaluation_of(record) for record in each.run.evaluations]
    return history, evaluations


def merged(ended: Sequence[EndedStage], whole: BaseRecipe) -> StagedRun:
    """Return the run that the stages make together."""
    last = ended[-1].run
    history, evaluations = histories(ended, whole)
    total = offset_after(ended, whole)
    return StagedRun(
        recipe=whole,
        model=ended[-1].model,
        optimizer=last.optimizer,
        history=history,
        evaluations=evaluations,
        steps=total.step,
        seconds=total.seconds,
        gradients=total.gradients,
        stopped=last.stopped,
        best=_best(ended, whole),
        reached=_reached(ended, whole),
        stages=tuple(
            StageRecord(
                each.stage.name,
                each.run.epochs,
                each.run.steps,
                _gradients(each, whole),
                each.run.seconds,
                each.run.stopped,
                tuple(each.stage.log()),
            )
            for each in ended
        ),
    )


def _best(ended: Sequence[EndedStage], whole: BaseRecipe) -> Epoch | None:
    """Return the best epoch of the last stage: only its model is kept."""
    last = ended[-1]
    if last.run.best is None or not last.stage.is_judged:
        return None
    return offset_after(ended[:-1], whole).shifted(last.run.best)


def _reached(ended: Sequence[EndedStage], whole: BaseRecipe) -> Reached | None:
    for k, each in enumerate(ended):
        hit = each.run.reached
        if hit is not None and each.stage.is_judged:
            return offset_after(ended[:k], whole).shifted(hit)
    return None
