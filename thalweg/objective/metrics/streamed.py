"""Metrics that are fed batch by batch: objects with update, compute and reset, as those of torchmetrics."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from thalweg.errors import TaskError
from thalweg.objective.metrics.metric import Metric, MetricFunction


def is_streamed(value: Any) -> bool:
    """Return whether `value` has the methods update, compute and reset."""
    return all(callable(getattr(value, name, None)) for name in ("update", "compute", "reset"))


class Streamed:
    """An object with update(outputs, targets), compute() and reset(), as a function of a whole set.

    The object itself is never fed: each pass over a set begins with a copy of it that was reset, so runs and
    sets share nothing. Under a binary cross-entropy it gets probabilities, and targets as whole numbers,
    since torchmetrics takes logits for probabilities where they happen to lie between 0 and 1.

    Args:
        given: the object.
        loss: the name of the loss beside it.
    """

    def __init__(self, given: Any, loss: str = "") -> None:
        self._given = given
        self._loss = loss

    @classmethod
    def metric(cls, given: Any, loss: str) -> Metric:
        """Return the metric that the object is, named by its class; `higher_is_better` is its direction."""
        name, better = type(given).__name__, getattr(given, "higher_is_better", None)
        if not isinstance(better, bool):
            raise TaskError(
                f"The metric {name} does not say whether higher is better. Say it, and give the metrics "
                "of a collection one by one: Metric('name', metric, direction='max')."
            )
        return cls.named(Metric(name, given, "max" if better else "min"), loss)

    @classmethod
    def named(cls, metric: Metric, loss: str) -> Metric:
        """Return the metric whose function is the object, with the name and direction it was given."""
        return Metric(
            metric.name,
            cls(metric.function, loss),
            metric.direction,
            False,
            metric.low,
            metric.high,
        )

    def __call__(self, outputs: Any, targets: Any) -> Any:
        """Return the figure of these rows alone."""
        stream = self.begin()
        stream.update(outputs, targets)
        return stream.compute()

    def begin(self) -> Stream:
        """Return a copy that has seen nothing."""
        fresh = copy.deepcopy(self._given)
        fresh.reset()
        return Stream(fresh, self._loss)


class Stream:
    """A copy of a streamed metric during one pass over a set."""

    def __init__(self, metric: Any, loss: str) -> None:
        self._metric = metric
        self._loss = loss

    def update(self, outputs: Any, targets: Any) -> None:
        """Add a batch."""
        if isinstance(outputs, Tensor) and callable(getattr(self._metric, "to", None)):
            self._metric = self._metric.to(outputs.device)
        if isinstance(targets, Tensor) and self._loss.startswith("binary_cross_entropy"):
            targets = targets.long()
            if self._loss.endswith("with_logits"):
                outputs = outputs.sigmoid()
        with torch.no_grad():
            self._metric.update(outputs, targets)

    def compute(self) -> Any:
        """Return the figure of all batches."""
        return self._metric.compute()


def stream_of(function: MetricFunction | Callable[..., Any]) -> Stream | None:
    """Return a stream of the metric with this function; None where it is not one that streams."""
    return function.begin() if isinstance(function, Streamed) else None
