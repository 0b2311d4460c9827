"""Measuring all models of a stack on a whole set, as `thalweg.train.evaluate` measures one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from thalweg.objective import Cost, Scores
from thalweg.objective.metrics import Metric
from thalweg.objective.scores import _HELD
from thalweg.race.stack.loss import Losses, StackedPenalty
from thalweg.race.stack.models import Models
from thalweg.tasks.sources import ArraySource
from thalweg.train.evaluate import EVALUATION_ROWS, evaluating

_ROWS = 4
"""How many times the rows of a training step are evaluated at a time: without gradients they need a
fraction of its memory.
"""


class Evaluator:
    """Evaluates a stack on a set.

    Args:
        source: the set, its targets as the loss wants them.
        cost: what is measured.
        losses: the surrogate of every model.
        penalty: the penalties of every model, or None.
        batch: rows of a training step.
        whole: whether all models are to be called together, since they draw noise together.
    """

    def __init__(
        self,
        source: ArraySource,
        cost: Cost,
        losses: Losses,
        penalty: StackedPenalty | None,
        batch: int,
        *,
        whole: bool,
    ) -> None:
        self._source = source
        self._measures = cost.measures
        self._losses = losses
        self._penalty = penalty
        self._batch = batch
        self._whole = whole
        self._mapped: dict[str, bool] = {}

    def __call__(self, models: Models) -> list[Scores]:
        """Return the scores of every model; random numbers must be kept by the caller."""
        chunk = len(models) if self._whole else self._chunk(len(models))
        scores: list[Scores] = []
        with evaluating(models.base):
            penalties = None if self._penalty is None else self._penalty(models.trained).tolist()
            for start in range(0, len(models), chunk):
                part = slice(start, min(start + chunk, len(models)))
                scores += self._scores(models, part, penalties)
        return scores

    def _chunk(self, models: int) -> int:
        """Return how many models to evaluate at a time."""
        rows = min(EVALUATION_ROWS, len(self._source.inputs))
        return max(1, min(models, _ROWS * models * self._batch // rows))

    def _scores(self, models: Models, part: slice, penalties: list[float] | None) -> list[Scores]:
        count = part.stop - part.start
        losses, rows = torch.zeros(count, dtype=torch.float64), 0
        meter = _Meter(self._measures, self._mapped)
        whole = None if count == len(models) else part
        for inputs, targets in self._source.batches(EVALUATION_ROWS):
            outputs = models(inputs, shared=True, rows=whole)
            losses += self._losses(outputs, targets, True).double() * len(targets)
            rows += len(targets)
            meter.add(outputs, targets)
        figures = meter.means()
        return [
            Scores(
                loss,
                0.0 if penalties is None else penalties[part.start + k],
                {name: values[k] for name, values in figures.items()},
            )
            for k, loss in enumerate((losses / rows).tolist())
        ]


class _Meter:
    """Collects the outputs of all models as `thalweg.objective.Meter` does those of one."""

    def __init__(self, measures: Sequence[Metric], mapped: dict[str, bool]) -> None:
        self._measures = measures
        self._mapped = mapped
        self._may_let_go = all(metric.additive for metric in measures)
        self._outputs: list[Any] = []
        self._targets: list[Any] = []
        self._held = 0
        self._values: list[tuple[int, list[list[float]]]] = []

    def add(self, outputs: Any, targets: Any) -> None:
        """Take a batch."""
        if not self._measures:
            return
        if not isinstance(outputs, Tensor):  # structured outputs cannot be joined
            self._accumulate(outputs, targets, len(targets))
            return
        self._outputs.append(outputs)
        self._targets.append(targets)
        self._held += outputs[0].numel()
        if self._may_let_go and self._held > _HELD:
            self._measure()

    def means(self) -> dict[str, list[float]]:
        """Return each metric of each model."""
        self._measure()
        if len(self._values) == 1:
            return {
                metric.name: values
                for metric, values in zip(self._measures, self._values[0][1], strict=True)
            }
        rows = sum(count for count, _ in self._values)
        return {
            metric.name: [
                math.fsum(count * value for count, value in zip(counts, each, strict=True)) / rows
                for each in zip(*(values[i] for _, values in self._values), strict=True)
            ]
            for i, metric in enumerate(self._measures)
            for counts in [[count for count, _ in self._values]]
        }

    def _measure(self) -> None:
        if not self._outputs:
            return
        single = len(self._outputs) == 1
        outputs = self._outputs[0] if single else torch.cat(self._outputs, 1)
        targets = self._targets[0] if single else torch.cat(self._targets)
        self._outputs, self._targets, self._held = [], [], 0
        self._accumulate(outputs, targets, len(targets))

    def _accumulate(self, outputs: Any, targets: Any, rows: int) -> None:
        self._values.append((rows, [self._each(m, outputs, targets) for m in self._measures]))

    def _each(self, metric: Metric, outputs: Any, targets: Any) -> list[float]:
        """Return a metric of every model: of all at once, or one by one where it cannot be."""
        if self._mapped.setdefault(metric.name, True):
            try:
                values: Any = torch.vmap(metric.function, (0, None))(outputs, targets)
                return [float(value) for value in values.tolist()]
            except Exception:  # numbers of Python, NumPy, control flow: the user's own function
                self._mapped[metric.name] = False
        count = len(next(iter(_leaves(outputs))))
        return [metric(_row(outputs, k), targets) for k in range(count)]


def _leaves(outputs: Any) -> list[Tensor]:
    return [x for x in torch.utils._pytree.tree_leaves(outputs) if isinstance(x, Tensor)]


def _row(outputs: Any, k: int) -> Any:
    return torch.utils._pytree.tree_map_only(Tensor, lambda x: x[k], outputs)
