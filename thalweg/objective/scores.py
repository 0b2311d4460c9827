"""What a pass over a set measured, and the meter that measures it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree

from thalweg.errors import TaskError, sentence, suggest
from thalweg.objective.join import JoinError, fit_together, join_batches
from thalweg.objective.metrics.metric import Metric
from thalweg.objective.metrics.streamed import Stream, stream_of
from thalweg.objective.weight import Weight

# Outputs are kept and measured together, since a metric costs about the same for ten rows as for
# ten thousand; at this many numbers (16 MB in float32) they are measured and let go.
_HELD = 1 << 22


@dataclass(frozen=True)
class Scores:
    """Loss L, penalty λΩ and metrics of one set, reported apart; the objective is J = L + λΩ.

    >>> scores = Scores(loss=0.5, penalty=0.25, metrics={"accuracy": 0.9})
    >>> scores["accuracy"], scores.objective
    (0.9, 0.75)
    """

    loss: float
    penalty: float = 0.0
    metrics: Mapping[str, float] = field(default_factory=dict)

    @property
    def objective(self) -> float:
        """J = L + λΩ."""
        return self.loss + self.penalty

    def __getitem__(self, name: str) -> float:
        """Return the figure called `name`: loss, penalty, objective or a metric's name."""
        if name in ("loss", "penalty", "objective"):
            return float(getattr(self, name))
        if name not in self.metrics:
            known = ["loss", "penalty", "objective", *self.metrics]
            raise TaskError(
                f"No figure is called {name!r}.{suggest(name, known)} There are: "
                f"{', '.join(known)}."
            )
        return self.metrics[name]

    def as_dict(self) -> dict[str, float]:
        """Return loss, penalty and metrics as one flat dictionary."""
        return {"loss": self.loss, "penalty": self.penalty, **self.metrics}


class Mean:
    """A mean over batches by their weights; a batch of weight 0 is left out.

    Sums, of the weight "sum", are added up instead.

    >>> mean = Mean()
    >>> for value, weight in ((1.0, 3), (3.0, 1), (math.nan, 0)):
    ...     mean.add(value, weight)
    >>> mean.value()
    1.5
    """

    def __init__(self) -> None:
        self.batches = 0
        self._total = self._weight = self._last = 0.0

    def add(self, value: float, weight: Weight) -> None:
        """Add the value of a batch."""
        if weight == "sum":
            self._total += value
            self.batches += 1
        elif weight:  # else it may well be 0/0
            self._total += value * weight
            self._weight += weight
            self.batches += 1
            self._last = value

    def value(self) -> float:
        """Return the mean; NaN where nothing counted."""
        if self.batches == 1 and self._weight:
            return self._last  # without rounding by a product and a quotient
        if not self.batches:
            return math.nan
        return self._total / self._weight if self._weight else self._total


class Meter:
    """Collects the batches of one pass; each batch counts by its weight, the ragged last one too."""

    def __init__(self, metrics: Sequence[Metric] = ()) -> None:
        self.metrics = metrics
        self.rows = 0
        self._loss = Mean()
        self._streams = [stream_of(metric.function) for metric in metrics]
        self._may_let_go = all(
            metric.additive or stream is not None
            for metric, stream in zip(metrics, self._streams, strict=True)
        )
        self._means = [Mean() for _ in metrics]
        self._parts: list[tuple[Any, Any, int]] = []  # outputs, targets and rows of batches
        self._held = 0

    def add(
        self, loss: float, outputs: Any, targets: Any, rows: int, weight: Weight | None = None
    ) -> None:
        """Add one batch of so many rows: its loss, and what metrics are computed from.

        `weight` is what the loss of the batch weighs, as `Loss.measured` gives it; None is its rows.
        """
        self._loss.add(loss, rows if weight is None else weight)
        self.rows += rows
        if not self.metrics:
            return
        plain = isinstance(outputs, Tensor) and isinstance(targets, Tensor)
        if self._may_let_go and self._parts and not (plain and self._goes_with(outputs, targets)):
            self._measure()
        self._parts.append((_detached(outputs), targets, rows))
        self._held += outputs.numel() if plain else _HELD
        if self._may_let_go and self._held > _HELD:
            self._measure()

    @property
    def counts(self) -> bool:
        """Whether any batch so far had a weight in the loss."""
        return self._loss.batches > 0

    def scores(self, penalty: float = 0.0) -> Scores:
        """Return the figures of all batches so far."""
        if not self.rows:
            raise TaskError("No batch was measured.")
        self._measure()
        values = {
            metric.name: mean.value() if stream is None else _result(metric, stream)
            for metric, mean, stream in zip(self.metrics, self._means, self._streams, strict=True)
        }
        return Scores(self._loss.value(), penalty, values)

    def _goes_with(self, outputs: Tensor, targets: Tensor) -> bool:
        """Whether a batch can be joined with those held: sequences may differ in length."""
        held = self._parts[-1]
        return (
            isinstance(held[0], Tensor)
            and isinstance(held[1], Tensor)
            and fit_together((held[0], outputs))
            and fit_together((held[1], targets))
        )

    def _measure(self) -> None:
        if not self._parts:
            return
        outputs, targets, rows = joined(self._parts, self.metrics)
        self._parts, self._held = [], 0
        with torch.no_grad():
            for metric, mean, stream in zip(self.metrics, self._means, self._streams, strict=True):
                if stream is not None:
                    _feed(metric, stream, outputs, targets)
                    continue
                value = metric(outputs, targets)
                mean.add(value, metric.weigh(outputs, targets, rows) if metric.additive else 1.0)


def _feed(metric: Metric, stream: Stream, outputs: Any, targets: Any) -> None:
    def function(outputs: Any, targets: Any) -> float:
        stream.update(outputs, targets)
        return 0.0

    metric.number(function, outputs, targets)


def _result(metric: Metric, stream: Stream) -> float:
    return metric.number(lambda outputs, targets: stream.compute(), None, None)


def joined(
    parts: Sequence[tuple[Any, Any, int]], metrics: Sequence[Metric], axis: int = 0
) -> tuple[Any, Any, int]:
    """Return batches (outputs, targets, rows) as one; the outputs have their rows along `axis`.

    Raises TaskError, with advice, where they cannot be joined.
    """
    rows = [count for _, _, count in parts]
    names = ", ".join(metric.name for metric in metrics if not metric.additive)
    whole = []
    for k, role in enumerate(("outputs", "targets")):
        try:
            whole.append(join_batches([part[k] for part in parts], rows, axis if k == 0 else 0))
        except JoinError as error:
            raise TaskError(
                f"The metric {names} is one of the whole set, and the {role} of its batches cannot be "
                f"joined: {sentence(error)} "
                "Pad them to one shape, return one entry a row, or declare the metric "
                "a mean over batches: Metric(…, additive=True)."
            ) from None
    return whole[0], whole[1], sum(rows)


def _detached(outputs: Any) -> Any:
    if isinstance(outputs, Tensor):
        return outputs.detach()
    return _pytree.tree_map_only(Tensor, Tensor.detach, outputs)
