"""One trial of a race: a training run, and the record of what it gave."""

from __future__ import annotations

import functools
import math
from dataclasses import replace

from thalweg.errors import DivergedError
from thalweg.race.plan import Plan, Trial
from thalweg.race.records import Curve, Status, TrialRecord
from thalweg.tasks import Task
from thalweg.train import Run, fit

_EVALUATIONS = 100
"""About how often a trial is evaluated, for a time to the target that is not rounded to whole
epochs.
"""


def run_trial(task: Task, trial: Trial, plan: Plan, *, metric: str, key: str) -> TrialRecord:
    """Train once and return the record. A run that diverges or raises gives a record too: it is a
    result.

    The whole budget is always used, so that the final metric means the same for every entrant. Time
    spent on evaluation does not count.

    Raises:
        KeyboardInterrupt: if the run was interrupted.
    """
    entrant = trial.entrant
    try:
        run = fit(
            task,
            functools.partial(entrant.factory, **entrant.hyperparameters),
            lr=trial.lr,
            epochs=plan.epochs,
            batch_size=plan.batch_size,
            seed=trial.seed,
            evaluate_every=_steps_between_evaluations(task, plan),
            progress=False,
        )
    except DivergedError as error:
        return _record(trial, key, metric, getattr(error, "run", None), "diverged", str(error))
    except Exception as error:  # whatever it is, the other trials go on
        return _record(trial, key, metric, None, "failed", f"{type(error).__name__}: {error}")
    if run.stopped == "interrupted":
        raise KeyboardInterrupt
    return _record(trial, key, metric, run, "finished", None)


def _record(
    trial: Trial, key: str, metric: str, run: Run | None, status: Status, error: str | None
) -> TrialRecord:
    record = TrialRecord(
        key=key,
        entrant=trial.entrant.name,
        lr=trial.lr,
        seed=trial.seed,
        status=status,
        error=error,
    )
    if run is None:
        return record
    return replace(
        record,
        steps=run.steps,
        seconds=run.seconds,
        reached_steps=run.reached.step if run.reached else None,
        reached_seconds=run.reached.seconds if run.reached else None,
        final=_final(run, metric) if status == "finished" else None,
        curve=_curve(run, metric),
    )


def _curve(run: Run, metric: str) -> Curve:
    evaluations = run.evaluations
    return Curve(
        epochs=tuple(evaluation.epoch for evaluation in evaluations),
        steps=tuple(evaluation.step for evaluation in evaluations),
        seconds=tuple(round(evaluation.seconds, 6) for evaluation in evaluations),
        loss=tuple(_short(evaluation.scores.loss) for evaluation in evaluations),
        metric=tuple(_short(evaluation.scores[metric]) for evaluation in evaluations),
    )


def _final(run: Run, metric: str) -> float | None:
    value = run.evaluations[-1].scores[metric] if run.evaluations else math.nan
    return value if math.isfinite(value) else None


def _short(value: float) -> float | None:
    """A value of a curve to seven digits, as many as float32 has: a race holds tens of thousands of
    them.
    """
    return float(f"{value:.7g}") if math.isfinite(value) else None


def _steps_between_evaluations(task: Task, plan: Plan) -> int | None:
    """Return how many steps to take between evaluations, None where the ends of the epochs are
    often enough.
    """
    rows = task.data.train.rows
    if rows is None:
        return None
    steps_an_epoch = 1 if plan.batch_size is None else math.ceil(rows / plan.batch_size)
    between = max(1, steps_an_epoch * plan.epochs // _EVALUATIONS)
    return between if between < steps_an_epoch else None
