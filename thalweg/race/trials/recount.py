"""Records of earlier versions, in which every batch counted as one gradient, counted by rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from thalweg.race.trials.plan import Setting, Trial
from thalweg.race.trials.records import TrialRecord
from thalweg.tasks import Task
from thalweg.train.gradients import batch_rows, epoch_rows, gradient_rows


def by_rows(record: TrialRecord, task: Task, trial: Trial, setting: Setting) -> TrialRecord:
    """Return a record with its gradients in the unit of the task: so many rows are 1.

    What was trained is the same, so a finished trial need not run again. Of an optimizer that takes
    several gradients in a step, those of one step are taken to be of one batch.
    """
    unit, source = gradient_rows(task), task.data.train
    if unit is None or record.unit == unit:
        return record
    if record.unit is not None:  # the task had batches of another size
        scale = record.unit / unit
        return _with(record, unit, lambda steps, gradients: scale * gradients)
    size = batch_rows(source, setting.of(trial.entrant).batch_size)
    rows = epoch_rows(source)
    if size is None or rows is None:
        return record

    def seen(steps: int) -> int:
        """How many rows so many steps have seen: the last batch of an epoch holds what is left."""
        epochs, rest = divmod(steps, -(-rows // size))
        return epochs * rows + rest * size

    def counted(steps: int, batches: float) -> float:
        return batches / steps * seen(steps) / unit if steps else 0.0

    return _with(record, unit, counted)


def _with(record: TrialRecord, unit: int, counted: Callable[[int, float], float]) -> TrialRecord:
    curve = record.curve
    gradients = tuple(
        round(counted(steps, each), 6)
        for steps, each in zip(curve.steps, curve.gradients, strict=True)
    )
    return replace(
        record,
        gradients=round(counted(record.steps, record.gradients), 6),
        unit=unit,
        curve=replace(curve, gradients=gradients),
    )
