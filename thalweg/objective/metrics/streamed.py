"""Metrics that are fed batch by batch: objects with update, compute and reset, as those of torchmetrics."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def is_streamed(value: Any) -> bool:
    """Return whether `value` has the methods update, compute and reset."""
    return all(callable(getattr(value, name, None)) for name in ("update", "compute", "reset"))


class Streamed:
    """An object with update(outputs, targets), compute() and reset(), as a function of a whole set.

    The object itself is never fed: each pass over a set begins with a copy of it that was reset, so runs and
    sets share nothing. Under a binary cross-entropy it gets probabilities, and targets as integers,
    since torchmetrics takes logits for probabilities where they happen to lie between 0 and 1.

    Args:
        given: the object.
        loss: the name of the loss beside it.
    """

    def __init__(self, given: Any, loss: str = "") -> None:
        self._given = given
        self._loss = loss

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


def stream_of(function: Callable[..., Any]) -> Stream | None:
    """Return a stream of the metric with this function; None where it is not one that streams."""
    return function.begin() if isinstance(function, Streamed) else None
