"""Training a trial by itself, and the record of a run."""

from __future__ import annotations

import math
from dataclasses import replace

from thalweg.errors import DivergedError
from thalweg.race.trials.host_noise import noise_on_host
from thalweg.race.trials.plan import Setting, Trial
from thalweg.race.trials.recipe import recipe_of
from thalweg.race.trials.records import FAULTS, Curve, Status, TrialRecord
from thalweg.tasks import Task
from thalweg.train import Run
from thalweg.train.gradients import gradient_rows


def run_trial(task: Task, trial: Trial, setting: Setting, key: str) -> TrialRecord:
    """Train once and return the record.

    A run that diverges or raises gives a record that says so. Time spent on evaluation does not
    count.

    Raises:
        KeyboardInterrupt: if the run was interrupted.
    """
    try:
        with noise_on_host(setting.device, setting.draws):
            run = recipe_of(task, trial, setting).fit(progress=False)
    except DivergedError as error:
        return recorded(trial, key, setting, getattr(error, "run", None), "diverged", str(error))
    except FAULTS as error:  # the other trials go on
        return recorded(trial, key, setting, None, "failed", f"{type(error).__name__}: {error}")
    if run.stopped == "interrupted":
        raise KeyboardInterrupt
    return recorded(trial, key, setting, run, "finished", None)


def recorded(
    trial: Trial, key: str, setting: Setting, run: Run | None, status: Status, error: str | None
) -> TrialRecord:
    """Return the record of a trial, which has no run where it failed before its first step."""
    record = trial.blank_record(key, status, error)
    if run is None:
        return record
    return replace(
        record,
        steps=run.steps,
        seconds=round(run.seconds, 6),
        gradients=_rounded(run.gradients),
        unit=gradient_rows(run.task),
        final=_final(run, setting.metric) if status == "finished" else None,
        curve=_curve(run, setting.metric),
    )


def _curve(run: Run, metric: str) -> Curve:
    evaluations = run.evaluations
    return Curve(
        epochs=tuple(evaluation.epoch for evaluation in evaluations),
        steps=tuple(evaluation.step for evaluation in evaluations),
        seconds=tuple(round(evaluation.seconds, 6) for evaluation in evaluations),
        gradients=tuple(_rounded(evaluation.gradients) for evaluation in evaluations),
        loss=tuple(short(evaluation.scores.loss) for evaluation in evaluations),
        metric=tuple(short(evaluation.scores[metric]) for evaluation in evaluations),
    )


def _rounded(gradients: float) -> float:
    return round(gradients, 6)


def _final(run: Run, metric: str) -> float | None:
    value = run.evaluations[-1].scores[metric] if run.evaluations else math.nan
    return value if math.isfinite(value) else None


def short(value: float) -> float | None:
    """A value of a curve to twelve digits; None for one that JSON cannot hold.

    >>> short(0.1 + 0.2), short(float("nan"))
    (0.3, None)
    """
    return float(f"{value:.12g}") if math.isfinite(value) else None
