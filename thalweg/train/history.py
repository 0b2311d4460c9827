"""The record of a run: one entry an epoch, and one an evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, overload

from thalweg.errors import TaskError, suggest
from thalweg.objective import Scores

_LARGE = 1e5


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

        Raises TaskError for a name that the records do not have.
        """
        rows = [record.as_dict() for record in self.epochs]
        if rows and name not in rows[0]:
            raise TaskError(
                f"The history has no column {name!r}.{suggest(name, rows[0])} It has: "
                f"{', '.join(rows[0])}."
            )
        return [row[name] for row in rows]

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
