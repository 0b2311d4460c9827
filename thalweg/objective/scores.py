"""What a pass over a set measured, and the meter that measures it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from thalweg.errors import TaskError, suggest
from thalweg.objective.metrics import Metric

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


class Meter:
    """Collects the batches of one pass; each batch weighs as many as it has rows, the ragged last
    one too.
    """

    def __init__(self, metrics: Sequence[Metric] = ()) -> None:
        self.metrics = metrics
        self.rows = 0
        self._loss = 0.0
        self._may_let_go = all(metric.additive for metric in metrics)
        self._values: list[tuple[int, list[float]]] = []  # rows, and each metric's value over them
        self._outputs: list[Any] = []
        self._targets: list[Any] = []
        self._held = 0

    def add(self, loss: float, outputs: Any, targets: Any, rows: int) -> None:
        """Take one batch: the mean loss of its `rows` rows, and what metrics are computed from."""
        self._loss += loss * rows
        self.rows += rows
        if not self.metrics:
            return
        if isinstance(outputs, Tensor) and isinstance(targets, Tensor):
            self._outputs.append(outputs.detach())
            self._targets.append(targets)
            self._held += outputs.numel()
            if self._may_let_go and self._held > _HELD:
                self._measure()
        else:  # structured outputs cannot be joined: each batch is measured on its own
            self._accumulate(outputs, targets, rows)

    def scores(self, penalty: float = 0.0) -> Scores:
        """Return the means over all rows taken so far."""
        if not self.rows:
            raise TaskError("No batch was measured.")
        self._measure()
        return Scores(self._loss / self.rows, penalty, self._means())

    def _means(self) -> dict[str, float]:
        if (
            len(self._values) == 1
        ):  # no rounding by a multiplication and a division by the same number
            return {
                metric.name: value
                for metric, value in zip(self.metrics, self._values[0][1], strict=True)
            }
        rows = sum(count for count, _ in self._values)
        return {
            metric.name: math.fsum(count * values[i] for count, values in self._values) / rows
            for i, metric in enumerate(self.metrics)
        }

    def _measure(self) -> None:
        if not self._outputs:
            return
        single = len(self._outputs) == 1
        outputs = self._outputs[0] if single else torch.cat(self._outputs)
        targets = self._targets[0] if single else torch.cat(self._targets)
        self._outputs, self._targets, self._held = [], [], 0
        self._accumulate(outputs, targets, len(targets))

    def _accumulate(self, outputs: Any, targets: Any, rows: int) -> None:
        with torch.no_grad():
            self._values.append((rows, [metric(outputs, targets) for metric in self.metrics]))
