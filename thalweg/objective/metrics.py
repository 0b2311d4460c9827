"""Metrics: what is reported beside the loss, and never differentiated."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from thalweg.errors import TaskError, ThalwegError, suggest
from thalweg.objective.blame import blame

MetricFunction = Callable[[Any, Any], "Tensor | float"]


@dataclass(frozen=True)
class Metric:
    """A named figure of merit of (outputs, targets).

    `direction` says which way is better. An `additive` metric of a set is the mean of its batches,
    weighted by their rows; any other needs the outputs of the whole set at once. `low` and `high`
    bound its values, so that a target beyond them can be refused.
    """

    name: str
    function: MetricFunction
    direction: Literal["max", "min"] = "max"
    additive: bool = True
    low: float = -math.inf
    high: float = math.inf

    def __post_init__(self) -> None:
        if self.direction not in ("max", "min"):
            raise TaskError(f"A metric's direction is 'max' or 'min'; got {self.direction!r}.")

    def __call__(self, outputs: Any, targets: Any) -> float:
        """Return the metric of a batch as a number; TaskError where the function gives none."""
        try:
            value = self.function(outputs, targets)
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


def accuracy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the share of rows classified rightly.

    With several outputs a row (rows, classes, …) the largest wins; a single output is a logit:
    above zero is class 1. Targets are class numbers, or one-hot rows.

    >>> import torch
    >>> float(accuracy(torch.tensor([[2.0, 1.0], [0.0, 1.0]]), torch.tensor([0, 0])))
    0.5
    """
    return _correct(outputs, targets, threshold=0.0)


def probability_accuracy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the accuracy where a single output is the probability of class 1: above one half is
    class 1.
    """
    return _correct(outputs, targets, threshold=0.5)


def error_rate(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the share of rows classified wrongly (the 0-1 loss), 1 − accuracy."""
    return 1 - accuracy(outputs, targets)


def mse(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the mean squared error, mean (ŷ−y)²."""
    return (_same(outputs, targets, "mse") - targets).square().mean()


def rmse(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the root of the mean squared error, in the targets' units."""
    return mse(outputs, targets).sqrt()


def mae(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the mean absolute error, mean |ŷ−y|."""
    return (_same(outputs, targets, "mae") - targets).abs().mean()


def r2(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the coefficient of determination, 1 − Σ(ŷ−y)² / Σ(y−ȳ)²."""
    errors = (_same(outputs, targets, "r2") - targets).square().sum()
    return 1 - errors / (targets - targets.mean(0)).square().sum()


_NAMED = {
    metric.name: metric
    for metric in (
        Metric("accuracy", accuracy, low=0.0, high=1.0),
        Metric("error_rate", error_rate, "min", low=0.0, high=1.0),
        Metric("mse", mse, "min", low=0.0),
        Metric("rmse", rmse, "min", additive=False, low=0.0),
        Metric("mae", mae, "min", low=0.0),
        Metric("r2", r2, additive=False, high=1.0),
    )
}
# With the loss of this name a single output is a probability, not a logit.
_OF_PROBABILITIES = {
    "accuracy": Metric("accuracy", probability_accuracy, low=0.0, high=1.0),
    "error_rate": Metric(
        "error_rate", lambda o, t: 1 - probability_accuracy(o, t), "min", low=0.0, high=1.0
    ),
}
_RESERVED = ("loss", "penalty", "objective")


def metric_names() -> list[str]:
    """Return the names `Cost` knows as metrics."""
    return sorted(_NAMED)


def as_metric(metric: str | Metric | MetricFunction, loss: str = "") -> Metric:
    """Return the `Metric` that a name or a function (outputs, targets) stands for.

    `loss` is the name of the loss beside it: after `binary_cross_entropy` outputs are
    probabilities, so accuracy puts its threshold at one half. A bare function is taken to be better
    when larger; wrap it in `Metric` to say else.

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
        return _NAMED[metric]
    if not isinstance(metric, Metric):
        if not callable(metric):
            raise TaskError(
                "A metric is a name such as 'accuracy', or a function; got "
                f"{type(metric).__name__}."
            )
        for known in _NAMED.values():
            if known.function is metric:
                return known
        metric = Metric(getattr(metric, "__name__", type(metric).__name__), metric)
    if metric.name in _RESERVED:
        raise TaskError(f"A metric cannot be called {metric.name!r}: the cost reports that itself.")
    return metric


def _correct(outputs: Tensor, targets: Tensor, threshold: float) -> Tensor:
    single = outputs.ndim == 1 or outputs.shape[1] == 1
    if single:
        predicted = outputs > threshold
        if targets.numel() != outputs.numel():
            raise TaskError(
                f"accuracy: {tuple(outputs.shape)} outputs do not fit {tuple(targets.shape)} "
                "targets."
            )
        return (predicted == (targets.reshape(outputs.shape) > 0.5)).double().mean()
    if targets.shape == outputs.shape:
        targets = targets.argmax(1)
    predicted = outputs.max(1).indices  # the same as argmax(1), at two thirds of its time
    return (_same(predicted, targets, "accuracy") == targets).double().mean()


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
