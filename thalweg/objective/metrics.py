"""Metrics: what is reported beside the loss, and never differentiated."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from thalweg.errors import TaskError, ThalwegError, suggest
from thalweg.objective.blame import blame
from thalweg.objective.squares import squares

MetricFunction = Callable[[Any, Any], "Tensor | float"]


@dataclass(frozen=True)
class Metric:
    """A named figure of merit of (outputs, targets).

    `direction` says which way is better. An `additive` metric of a set is the mean of its batches,
    weighted by their rows, or by what `weight` (outputs, targets) says a batch's mean was divided by.
    Any other needs the outputs of the whole set at once: they are kept, and joined at every tensor in
    them. `low` and `high` bound its values, so that a target beyond them can be refused.
    """

    name: str
    function: MetricFunction
    direction: Literal["max", "min"] = "max"
    additive: bool = True
    low: float = -math.inf
    high: float = math.inf
    weight: Callable[[Any, Any], Tensor | float] | None = dataclasses.field(
        default=None, repr=False
    )

    def __post_init__(self) -> None:
        if self.direction not in ("max", "min"):
            raise TaskError(f"A metric's direction is 'max' or 'min'; got {self.direction!r}.")

    def __call__(self, outputs: Any, targets: Any) -> float:
        """Return the metric of a batch as a number; TaskError where the function gives none."""
        return self._number(self.function, outputs, targets)

    def weigh(self, outputs: Any, targets: Any, rows: int) -> float:
        """Return what a batch of so many rows weighs in the mean over a set."""
        if self.weight is None:
            return float(rows)
        weight = self._number(self.weight, outputs, targets)
        if not 0 <= weight < math.inf:
            raise TaskError(
                f"The weight of the metric {self.name} is a finite number ≥ 0; got {weight:g}."
            )
        return weight

    def _number(self, function: MetricFunction, outputs: Any, targets: Any) -> float:
        try:
            value = function(outputs, targets)
        except (ThalwegError, MemoryError, torch.OutOfMemoryError):
            raise
        except Exception as error:  # the user's own function: anything can be wrong in it
            raise TaskError(
                f"The metric {self.name} fails on {_described(outputs, targets)}. {blame(error)}"
            ) from error
        try:
            return float(value)
        except (TypeError, ValueError, RuntimeError) as error:
            got = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value)
            raise TaskError(
                f"The metric {self.name} must return one number; on {_described(outputs, targets)} "
                f"it gave {got if isinstance(got, str) else got.__name__}."
            ) from error


def accuracy(outputs: Tensor, targets: Tensor, ignore_index: int | None = -100) -> Tensor:
    """Return the share of rows classified rightly.

    With several outputs a row (rows, classes, …) the largest wins; a single output is a logit:
    above zero is class 1. Targets are class numbers, or one-hot rows. Class numbers equal to
    `ignore_index` do not count; by its name, "accuracy" ignores what the loss beside it ignores.

    >>> import torch
    >>> float(accuracy(torch.tensor([[2.0, 1.0], [0.0, 1.0]]), torch.tensor([0, 0])))
    0.5
    """
    right, kept = _correct(outputs, targets, 0.0, ignore_index)
    return _share(right, kept)


def probability_accuracy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the accuracy where a single output is the probability of class 1: above one half is
    class 1.
    """
    return _share(*_correct(outputs, targets, 0.5, None))


def error_rate(outputs: Tensor, targets: Tensor, ignore_index: int | None = -100) -> Tensor:
    """Return the share of rows classified wrongly (the 0-1 loss), 1 − accuracy."""
    return 1 - accuracy(outputs, targets, ignore_index)


def _probability_error(outputs: Tensor, targets: Tensor) -> Tensor:
    return 1 - probability_accuracy(outputs, targets)


def mse(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the mean squared error, mean |ŷ−y|²."""
    return squares(_same(outputs, targets, "mse") - targets).mean()


def rmse(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the root of the mean squared error, in the targets' units."""
    return mse(outputs, targets).sqrt()


def mae(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the mean absolute error, mean |ŷ−y|."""
    return (_same(outputs, targets, "mae") - targets).abs().mean()


def r2(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the coefficient of determination, 1 − Σ|ŷ−y|² / Σ|y−ȳ|²."""
    errors = squares(_same(outputs, targets, "r2") - targets).sum()
    return 1 - errors / squares(targets - targets.mean(0)).sum()


def _elements(outputs: Tensor, targets: Tensor) -> float:
    return float(outputs.numel())


def _counted(outputs: Tensor, targets: Tensor, ignore_index: int | None = -100) -> Tensor | float:
    """Return how many rows or positions an accuracy is the mean of."""
    if _is_single(outputs):
        return float(outputs.numel())
    if targets.shape == outputs.shape:
        return targets.numel() / targets.shape[1]
    return float(targets.numel()) if ignore_index is None else (targets != ignore_index).sum()


_NAMED = {
    metric.name: metric
    for metric in (
        Metric("accuracy", accuracy, low=0.0, high=1.0, weight=_counted),
        Metric("error_rate", error_rate, "min", low=0.0, high=1.0, weight=_counted),
        Metric("mse", mse, "min", low=0.0, weight=_elements),
        Metric("rmse", rmse, "min", additive=False, low=0.0),
        Metric("mae", mae, "min", low=0.0, weight=_elements),
        Metric("r2", r2, additive=False, high=1.0),
    )
}
# With the loss of this name a single output is a probability, not a logit.
_OF_PROBABILITIES = {
    "accuracy": Metric("accuracy", probability_accuracy, low=0.0, high=1.0, weight=_elements),
    "error_rate": Metric(
        "error_rate", _probability_error, "min", low=0.0, high=1.0, weight=_elements
    ),
}
_OF_CLASSES = (accuracy, error_rate)
_RESERVED = ("loss", "penalty", "objective")


def metric_names() -> list[str]:
    """Return the names `Cost` knows as metrics."""
    return sorted(_NAMED)


def as_metric(
    metric: str | Metric | MetricFunction, loss: str = "", ignore_index: int | None = -100
) -> Metric:
    """Return the `Metric` that a name or a function (outputs, targets) stands for.

    `loss` is the name of the loss beside it: after `binary_cross_entropy` outputs are
    probabilities, so accuracy puts its threshold at one half. Of its targets the loss ignores those
    equal to `ignore_index`, and so do accuracy and error rate. A bare function is taken to be better
    when larger; wrap it in `Metric` to say otherwise.

    >>> as_metric("acuracy")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    thalweg.errors.TaskError: Unknown metric 'acuracy'. Did you mean 'accuracy'? A function...
    """
    if isinstance(metric, str):
        if loss == "binary_cross_entropy" and metric in _OF_PROBABILITIES:
            return _OF_PROBABILITIES[metric]
        if metric not in _NAMED:
            hint = suggest(metric, _NAMED) or f" There are: {', '.join(_NAMED)}."
            raise TaskError(
                f"Unknown metric {metric!r}.{hint} A function (outputs, targets) will do as well."
            )
        return _ignoring(_NAMED[metric], ignore_index)
    if not isinstance(metric, Metric):
        if not callable(metric):
            raise TaskError(
                "A metric is a name such as 'accuracy', or a function; got "
                f"{type(metric).__name__}."
            )
        inner: Any = metric
        if isinstance(metric, functools.partial) and metric.func in _OF_CLASSES:
            inner, ignore_index = metric.func, metric.keywords.get("ignore_index", ignore_index)
        for known in _NAMED.values():
            if known.function is inner:
                return _ignoring(known, ignore_index)
        metric = Metric(getattr(metric, "__name__", type(metric).__name__), metric)
    if metric.name in _RESERVED:
        raise TaskError(f"A metric cannot be called {metric.name!r}: the cost reports that itself.")
    return metric


def _ignoring(metric: Metric, ignore_index: int | None) -> Metric:
    """Return the metric as it is beside a loss that ignores these targets."""
    if metric.function not in _OF_CLASSES or ignore_index == -100:
        return metric
    return dataclasses.replace(
        metric,
        function=functools.partial(metric.function, ignore_index=ignore_index),
        weight=functools.partial(_counted, ignore_index=ignore_index),
    )


def _is_single(outputs: Tensor) -> bool:
    return outputs.ndim == 1 or outputs.shape[1] == 1


def _correct(
    outputs: Tensor, targets: Tensor, threshold: float, ignored: int | None
) -> tuple[Tensor, Tensor | None]:
    """Return where outputs are right, and where targets count (None: everywhere)."""
    if _is_single(outputs):
        predicted = outputs > threshold
        if targets.numel() != outputs.numel():
            raise TaskError(
                f"accuracy: {tuple(outputs.shape)} outputs do not fit {tuple(targets.shape)} "
                "targets."
            )
        return predicted == (targets.reshape(outputs.shape) > 0.5), None
    one_hot = targets.shape == outputs.shape
    if one_hot:
        targets = targets.argmax(1)
    predicted = outputs.max(1).indices  # the same as argmax(1), at two thirds of its time
    right = _same(predicted, targets, "accuracy") == targets
    return right, None if one_hot or ignored is None else targets != ignored


def _share(right: Tensor, kept: Tensor | None) -> Tensor:
    if kept is None:
        return right.double().mean()
    return (right & kept).sum().double() / kept.sum()


def _same(outputs: Tensor, targets: Tensor, name: str) -> Tensor:
    if outputs.shape != targets.shape:
        raise TaskError(
            f"The metric {name} compares outputs of shape {tuple(outputs.shape)} with targets of "
            f"shape {tuple(targets.shape)}: make them equal, or choose a metric that suits them."
        )
    return outputs


def _described(outputs: Any, targets: Any) -> str:
    return " and ".join(
        f"{role} of shape {tuple(part.shape)}"
        if isinstance(part, Tensor)
        else f"{role} ({type(part).__name__})"
        for role, part in (("outputs", outputs), ("targets", targets))
    )
