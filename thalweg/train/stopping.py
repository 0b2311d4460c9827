"""Early stopping: when, and the best parameters."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from torch import nn

from thalweg.errors import TaskError
from thalweg.numeric import as_whole, is_real
from thalweg.objective import Cost
from thalweg.tasks.target import figure
from thalweg.train.history import Epoch
from thalweg.train.restored.weights import Weights


@dataclass(frozen=True)
class EarlyStopping:
    """Stop when a figure has not improved for `patience` epochs, and go back to the best
    parameters.

    `metric` names a validation figure ("validation loss", "accuracy") or a training one ("train
    loss"). An epoch improves if it beats the best so far by more than `min_delta`. `restore_best`
    False keeps the last parameters. A figure that is NaN never improves.

    Raises:
        TaskError: `patience` is not an integer of at least 1, or `min_delta` not a number of at least 0.

    Example:
        >>> from thalweg import EarlyStopping, fit, load_task
        >>> stop = EarlyStopping("accuracy", patience=2)
        >>> run = fit(
        ...     load_task("digits_logistic"),
        ...     "adam",
        ...     lr=0.1,
        ...     epochs=50,
        ...     early_stopping=stop,
        ...     progress=False,
        ... )
        >>> run.stopped, run.epochs < 50
        ('early stopping', True)

    Source: Goodfellow, Bengio, Courville, Deep Learning, algorithm 7.1.
    """

    metric: str = "validation loss"
    patience: int = 5
    min_delta: float = 0.0
    restore_best: bool = True

    def __post_init__(self) -> None:
        patience = as_whole(self.patience)
        if patience is None or patience < 1:
            raise TaskError(
                "patience must be an integer of at least 1, a number of epochs; got "
                f"patience={self.patience!r}."
            )
        object.__setattr__(self, "patience", patience)
        if not (is_real(self.min_delta) and self.min_delta >= 0):
            raise TaskError(f"min_delta must be a number ≥ 0; got {self.min_delta!r}.")

    @property
    def on_train(self) -> bool:
        """Whether the figure is one of the training set."""
        return self.metric.startswith(("train ", "train_"))

    @property
    def figure(self) -> str:
        """The cost's name of the figure."""
        return self.metric[len("train ") :] if self.on_train else figure(self.metric)

    def value(self, record: Epoch) -> float:
        """Return the figure in an epoch's record."""
        scores = record.train if self.on_train else record.validation
        if scores is None:
            raise TaskError(
                f"Early stopping on {self.metric!r} needs a validation set, and the data has none. "
                "Give one (validation=0.1), or stop on the training set with EarlyStopping('train "
                "loss')."
            )
        return scores[self.figure]


@dataclass
class Tracker:
    """Follows a figure from epoch to epoch and keeps the best parameters."""

    rule: EarlyStopping
    direction: str
    best: Epoch | None = None
    waited: int = 0
    weights: Weights = field(default_factory=Weights)

    @classmethod
    def of(cls, rule: EarlyStopping, cost: Cost) -> Tracker:
        """Return a tracker of `rule` under `cost`; TaskError if the cost has no such figure."""
        return cls(rule, cost.direction(rule.figure))

    def update(self, record: Epoch, model: nn.Module) -> bool:
        """Take an epoch; return whether to stop."""
        if self.improves(record):
            self.best, self.waited = record, 0
            if self.rule.restore_best:
                self.weights = Weights.of(model)
        else:
            self.waited += 1
        return self.waited >= self.rule.patience

    def improves(self, record: Epoch) -> bool:
        """Return whether `record` beats the best so far by more than `min_delta`."""
        value = self.rule.value(record)
        if math.isnan(value):
            return False
        if self.best is None:
            return True
        best = self.rule.value(self.best)
        gain = value - best if self.direction == "max" else best - value
        return gain > self.rule.min_delta

    def restore(self, model: nn.Module) -> None:
        """Put the best parameters back into `model`."""
        if self.weights:
            self.weights.put(model)
