"""Measuring all models of a stack on a whole set, as `thalweg.train.evaluate` measures one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from thalweg.objective import Cost, Scores
from thalweg.objective.join import fit_together
from thalweg.objective.metrics.metric import Metric
from thalweg.objective.scores import _HELD, Mean, joined
from thalweg.objective.weight import Weight
from thalweg.objective.weighted import unweighted
from thalweg.race.stack.loss import Losses, StackedPenalty
from thalweg.race.stack.models import Models
from thalweg.tasks.sources.weighted import Rows
from thalweg.train.restored.modes import evaluating
from thalweg.train.trained.evaluate import EVALUATION_ROWS

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
        source: Rows,
        cost: Cost,
        losses: Losses,
        penalty: StackedPenalty | None,
        batch: int,
        *,
        whole: bool,
    ) -> None:
        self._source = source
        self._measures = cost.measures
        self._surrogate = cost.surrogate
        self._by_rows = cost.surrogate.weighs_by_rows(source.targets)
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
        means = [Mean() for _ in range(count)]
        meter = _Meter(self._measures, self._mapped, count)
        whole = None if count == len(models) else part
        for inputs, targets in self._source.batches(EVALUATION_ROWS):
            outputs = models(inputs, shared=True, rows=whole)
            losses = self._losses(outputs, targets, True).cpu().double()
            weight = self._weight(outputs, targets, len(inputs))
            for mean, loss in zip(means, losses.tolist(), strict=True):
                mean.add(loss, weight)
            meter.add(_in_rows(outputs), unweighted(targets))
        figures = meter.means()
        return [
            Scores(
                mean.value(),
                0.0 if penalties is None else penalties[part.start + k],
                {name: values[k] for name, values in figures.items()},
            )
            for k, mean in enumerate(means)
        ]

    def _weight(self, outputs: Any, targets: Any, rows: int) -> Weight:
        """Return what a batch weighs: the same in all models, whose targets are the same."""
        if self._by_rows:
            return rows
        return self._surrogate.measured(row_of(outputs, 0), targets, rows)[1]


class _Meter:
    """Collects the outputs of all models as `thalweg.objective.Meter` does those of one."""

    def __init__(self, measures: Sequence[Metric], mapped: dict[str, bool], models: int) -> None:
        self._measures = measures
        self._mapped = mapped
        self._may_let_go = all(metric.additive for metric in measures)
        self._parts: list[tuple[Any, Any, int]] = []
        self._held = 0
        self._means = [[Mean() for _ in range(models)] for _ in measures]

    def add(self, outputs: Any, targets: Any) -> None:
        """Take a batch."""
        if not self._measures:
            return
        plain = isinstance(outputs, Tensor)
        if self._may_let_go and self._parts and not (plain and self._goes_with(outputs)):
            self._measure()
        self._parts.append((outputs, targets, len(targets)))
        self._held += outputs[0].numel() if plain else _HELD
        if self._may_let_go and self._held > _HELD:
            self._measure()

    def means(self) -> dict[str, list[float]]:
        """Return each metric of each model."""
        self._measure()
        return {
            metric.name: [mean.value() for mean in means]
            for metric, means in zip(self._measures, self._means, strict=True)
        }

    def _goes_with(self, outputs: Tensor) -> bool:
        held = self._parts[-1][0]
        return isinstance(held, Tensor) and fit_together((held, outputs), 1)

    def _measure(self) -> None:
        if not self._parts:
            return
        outputs, targets, rows = joined(self._parts, self._measures, 1)
        self._parts, self._held = [], 0
        for metric, means in zip(self._measures, self._means, strict=True):
            values = self._each(metric, outputs, targets)
            weight = metric.weigh(row_of(outputs, 0), targets, rows) if metric.additive else 1.0
            for mean, value in zip(means, values, strict=True):
                mean.add(value, weight)

    def _each(self, metric: Metric, outputs: Any, targets: Any) -> list[float]:
        """Return a metric of every model: of all at once, or one by one where it cannot be."""
        if self._mapped.setdefault(metric.name, True):
            try:
                values: Any = torch.vmap(metric.function, (0, None))(outputs, targets)
                return [float(value) for value in values.tolist()]
            except Exception:  # numbers of Python, NumPy, control flow: the user's own function
                self._mapped[metric.name] = False
        count = len(next(iter(_leaves(outputs))))
        return [metric(row_of(outputs, k), targets) for k in range(count)]


def _in_rows(outputs: Any) -> Any:
    """Return outputs with the numbers of a row side by side, as a metric reads them best."""
    return outputs.contiguous() if isinstance(outputs, Tensor) else outputs


def _leaves(outputs: Any) -> list[Tensor]:
    return [x for x in torch.utils._pytree.tree_leaves(outputs) if isinstance(x, Tensor)]


def row_of(outputs: Any, k: int) -> Any:
    """Return the outputs of one model."""
    return torch.utils._pytree.tree_map_only(Tensor, lambda x: x[k], outputs)
