"""The record of a run: one entry an epoch, and one an evaluation; as plain data, and back."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any, overload

from thalweg.errors import MissingExtraError, TaskError, suggest
from thalweg.objective import Scores
from thalweg.reading import amount_from, count_from, number_from
from thalweg.report.parts.drawn import Chart
from thalweg.report.plots.runs import plot_runs

_LARGE = 1e5
_MANY = 12


@dataclass(frozen=True)
class Epoch:
    """The figures of one epoch.

    `train` combines the epoch's batches, each measured just before the step on it (as in Keras), so it
    lags behind `validation`, which is measured on the whole set after the epoch. The penalty is that of
    the epoch's last parameters. `seconds` is the training time since the start of the run, evaluations
    excluded; `step` counts optimizer steps since the start; `lr` is the learning rate of the epoch's
    last step.
    """

    epoch: int
    step: int
    seconds: float
    lr: float
    train: Scores
    validation: Scores | None = None

    @property
    def train_loss(self) -> float:
        """The training loss, without the penalty."""
        return self.train.loss

    @property
    def penalty(self) -> float:
        """The penalty λΩ after the epoch."""
        return self.train.penalty

    def as_dict(self) -> dict[str, float]:
        """Return the record flat: epoch, step, seconds, lr, train_loss, penalty, train_accuracy,
        validation_loss, …
        """
        flat: dict[str, float] = {
            "epoch": self.epoch,
            "step": self.step,
            "seconds": self.seconds,
            "lr": self.lr,
            "train_loss": self.train.loss,
            "penalty": self.train.penalty,
        }
        flat |= {f"train_{name}": value for name, value in self.train.metrics.items()}
        if self.validation is not None:
            flat["validation_loss"] = self.validation.loss
            flat |= {f"validation_{name}": value for name, value in self.validation.metrics.items()}
        return flat


@dataclass(frozen=True)
class Evaluation:
    """The validation figures at one step: after every epoch, and every `evaluate_every` steps where
    asked. `gradients` is what training had computed until then, in gradient-equivalents (see `Run`).
    """

    epoch: int
    step: int
    seconds: float
    gradients: float
    scores: Scores


@dataclass(frozen=True)
class Reached:
    """When a target was first met: step, epoch, training seconds, and the figure then."""

    step: int
    epoch: int
    seconds: float
    value: float


@dataclass
class History(Sequence[Epoch]):
    """The epochs of a run in order.

    >>> history = History(
    ...     [Epoch(1, 10, 0.1, 1e-3, Scores(0.5)), Epoch(2, 20, 0.2, 1e-3, Scores(0.25))]
    ... )
    >>> history.column("train_loss"), len(history), history[-1].step
    ([0.5, 0.25], 2, 20)
    """

    epochs: list[Epoch] = field(default_factory=list)

    def column(self, name: str) -> list[float]:
        """Return one figure over the epochs, such as "train_loss" or "validation_accuracy".

        Raises:
            TaskError: for a name that the records do not have.
        """
        rows = [record.as_dict() for record in self.epochs]
        if rows and name not in rows[0]:
            raise TaskError(
                f"The history has no column {name!r}.{suggest(name, rows[0])} It has: "
                f"{', '.join(rows[0])}."
            )
        return [row[name] for row in rows]

    def to_pandas(self) -> Any:
        """Return the epochs as a pandas DataFrame, a column for each figure, the epochs as its index.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError:
            raise MissingExtraError("pandas", "A history as a DataFrame", "data") from None
        return pd.DataFrame([record.as_dict() for record in self.epochs]).set_index("epoch")

    def plot(self, path: str | os.PathLike[str] | None = None) -> Chart:
        """Draw loss and metrics over the epochs; return the chart, which a notebook shows.

        Args:
            path: an .html file to write the picture to, a page that needs nothing else.

        Raises:
            ValueError: the history is empty, or the path does not end in .html.
        """
        return plot_runs({"run": [record.as_dict() for record in self.epochs]}, path)

    def _repr_html_(self) -> str:
        """A table for notebooks: the figures of each epoch; of many, the first and the last."""
        shown = [*self.epochs[:5], *self.epochs[-5:]] if len(self) > _MANY else self.epochs
        rows = [record.as_dict() for record in shown]
        head = "".join(f"<th>{escape(name)}</th>" for name in (rows[0] if rows else ()))
        lines = ["".join(f"<td>{value:.6g}</td>" for value in row.values()) for row in rows]
        if len(self) > _MANY:
            lines.insert(5, f'<td colspan="{len(rows[0])}">… {len(self) - 10} more …</td>')
        body = "".join(f"<tr>{line}</tr>" for line in lines)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

    @overload
    def __getitem__(self, index: int) -> Epoch: ...
    @overload
    def __getitem__(self, index: slice) -> list[Epoch]: ...
    def __getitem__(self, index: int | slice) -> Epoch | list[Epoch]:
        """Return one epoch's record, or several."""
        return self.epochs[index]

    def __len__(self) -> int:
        return len(self.epochs)

    def __iter__(self) -> Iterator[Epoch]:
        return iter(self.epochs)


def summary(record: Epoch) -> str:
    """Return an epoch's figures on one line.

    >>> from thalweg.objective import Scores
    >>> summary(Epoch(1, 10, 0.5, 1e-3, Scores(0.5), Scores(0.6, 0, {"accuracy": 0.9})))
    'train loss 0.5000  validation loss 0.6000  validation accuracy 0.9000'
    """
    parts = [f"train loss {_figure(record.train.loss)}"]
    if record.train.penalty:
        parts.append(f"penalty {_figure(record.train.penalty)}")
    if record.validation is None:
        metrics = record.train.metrics.items()
        parts += [f"train {name} {_figure(value)}" for name, value in metrics]
    else:
        parts.append(f"validation loss {_figure(record.validation.loss)}")
        metrics = record.validation.metrics.items()
        parts += [f"validation {name} {_figure(value)}" for name, value in metrics]
    return "  ".join(parts)


def scores_from(record: dict[str, Any] | None) -> Scores | None:
    """Return the `Scores` of a stored record (loss, penalty, metrics)."""
    if record is None:
        return None
    return Scores(record["loss"], record["penalty"], dict(record["metrics"]))


def scores_record(scores: Scores | None) -> dict[str, Any] | None:
    """Return `scores` as plain data."""
    if scores is None:
        return None
    return {"loss": scores.loss, "penalty": scores.penalty, "metrics": dict(scores.metrics)}


def _figure(value: float) -> str:
    """Return four decimals, or four digits where the number is so large that they say nothing."""
    return f"{value:.4g}" if abs(value) >= _LARGE else f"{value:.4f}"


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
    """Return the epoch of a stored record; TypeError or ValueError if it is not one."""
    train = _scores(record["train"])
    if train is None:
        raise ValueError("an epoch without training scores")
    return Epoch(
        count_from(record["epoch"]),
        count_from(record["step"]),
        amount_from(record["seconds"]),
        number_from(record["lr"]),
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
    """Return the evaluation of a stored record; TypeError or ValueError if it is not one."""
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
        number_from(record["value"]),
    )


def _scores(record: dict[str, Any] | None) -> Scores | None:
    scores = scores_from(record)
    if scores is not None:
        for figure in (scores.loss, scores.penalty, *scores.metrics.values()):
            number_from(figure)
    return scores
