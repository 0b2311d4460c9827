"""The records of a run to plain data and back; malformed records are refused."""

from __future__ import annotations

import math
from typing import Any

from thalweg.objective import Scores
from thalweg.train.history import Epoch, Evaluation, Reached, scores_from, scores_record


def epoch_record(record: Epoch) -> dict[str, Any]:
    """Return an epoch's record as plain data."""
    return {
        "epoch": record.epoch,
        "step": record.step,
        "seconds": record.seconds,
        "lr": record.lr,
        "train": scores_record(record.train),
        "validation": scores_record(record.validation),
    }


def epoch_from(record: dict[str, Any]) -> Epoch:
    """Return the epoch of a stored record; TypeError or ValueError where it is none."""
    train = _scores(record["train"])
    if train is None:
        raise ValueError("an epoch without training scores")
    return Epoch(
        count_from(record["epoch"]),
        count_from(record["step"]),
        amount_from(record["seconds"]),
        _number(record["lr"]),
        train,
        _scores(record["validation"]),
    )


def evaluation_record(record: Evaluation) -> dict[str, Any]:
    """Return an evaluation as plain data."""
    return {
        "epoch": record.epoch,
        "step": record.step,
        "seconds": record.seconds,
        "gradients": record.gradients,
        "scores": scores_record(record.scores),
    }


def evaluation_from(record: dict[str, Any]) -> Evaluation:
    """Return the evaluation of a stored record; TypeError or ValueError where it is none."""
    scores = _scores(record["scores"])
    if scores is None:
        raise ValueError("an evaluation without scores")
    return Evaluation(
        count_from(record["epoch"]),
        count_from(record["step"]),
        amount_from(record["seconds"]),
        amount_from(record["gradients"]),
        scores,
    )


def reached_from(record: dict[str, Any]) -> Reached:
    """Return when a target was reached; TypeError or ValueError for another record."""
    return Reached(
        count_from(record["step"]),
        count_from(record["epoch"]),
        amount_from(record["seconds"]),
        _number(record["value"]),
    )


def count_from(value: Any) -> int:
    """Return a whole number of at least 0; TypeError or ValueError for what is none."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"expected a whole number, got {value!r:.60}")
    if not 0 <= value < 1 << 62:
        raise ValueError(f"expected a whole number of at least 0, got {value!r:.60}")
    return value


def amount_from(value: Any) -> float:
    """Return a finite number of at least 0; TypeError or ValueError for what is none."""
    number = _number(value)
    if not 0 <= number < math.inf:
        raise ValueError(f"expected a finite number of at least 0, got {value!r:.60}")
    return number


def text_from(value: Any) -> str:
    """Return a text; TypeError for what is none."""
    if not isinstance(value, str):
        raise TypeError(f"expected a text, got {value!r:.60}")
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"expected a number, got {value!r:.60}")
    return float(value)


def _scores(record: dict[str, Any] | None) -> Scores | None:
    scores = scores_from(record)
    if scores is not None:
        for figure in (scores.loss, scores.penalty, *scores.metrics.values()):
            _number(figure)
    return scores
