"""Metrics by name, and what stands for one."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Callable
from typing import Any, Literal

from torch import Tensor

from thalweg.errors import TaskError, suggest
from thalweg.numeric import as_whole
from thalweg.objective.metrics import counts, probabilities, ranking
from thalweg.objective.metrics.classified import Classified, ClassMetric
from thalweg.objective.metrics.metric import Metric, MetricFunction
from thalweg.objective.metrics.plain import (
    accuracy,
    counted,
    elements,
    error_rate,
    mae,
    mse,
    probability_accuracy,
    probability_error,
    r2,
    rmse,
)
from thalweg.objective.metrics.streamed import Streamed, is_streamed


def _of_classes(
    function: ClassMetric,
    direction: Literal["max", "min"] = "max",
    high: float = 1.0,
    is_mean: bool = False,
) -> Metric:
    weight = function.count if is_mean else None
    return Metric(function.name, function, direction, is_mean, 0.0, high, weight)


def top_k(k: int) -> Metric:
    """Return the metric "top{k}_accuracy": the share of rows whose class is among the k best scores.

    Of equal scores the smaller class number comes first, so that top 1 is the accuracy.

    Args:
        k: an integer ≥ 1, below the number of classes.

    >>> import torch
    >>> top_k(2)(torch.tensor([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2]]), torch.tensor([1, 2]))
    0.5
    """
    whole = as_whole(k)
    if whole is None or whole < 1:
        raise TaskError(f"k of top_k must be an integer ≥ 1; got {k!r}.")
    name = f"top{whole}_accuracy"
    return _of_classes(ClassMetric(name, ranking.in_top(whole, name)), is_mean=True)


def calibration_error(bins: int = 15) -> Metric:
    """Return the metric "calibration_error", the expected calibration error over bins of equal width.

        Σ_b n_b/n · |accuracy_b − confidence_b|

    Args:
        bins: how many; their number changes the figure, so compare only what has as many.

    >>> import torch
    >>> calibration_error(10)(torch.tensor([[0.0, 0.0], [0.0, 0.0]]), torch.tensor([0, 1]))
    0.0
    """
    whole = as_whole(bins)
    if whole is None or whole < 1:
        raise TaskError(f"bins of calibration_error must be an integer ≥ 1; got {bins!r}.")
    measure = probabilities.expected_calibration_error(whole)
    return _of_classes(ClassMetric("calibration_error", measure), "min")


def _averages() -> list[Metric]:
    kinds: tuple[counts.Average, ...] = ("one", "macro", "micro", "weighted")
    return [
        _of_classes(counts.averaged(name if kind == "one" else f"{name}_{kind}", figure, kind))
        for name, figure in counts.FIGURES.items()
        for kind in kinds
    ]


def _named(
    name: str,
    measure: Callable[[Classified], Tensor],
    direction: Literal["max", "min"] = "max",
    high: float = 1.0,
    is_mean: bool = False,
) -> Metric:
    return _of_classes(ClassMetric(name, measure), direction, high, is_mean)


_NAMED = {
    metric.name: metric
    for metric in (
        Metric("accuracy", accuracy, low=0.0, high=1.0, weight=counted),
        Metric("error_rate", error_rate, "min", low=0.0, high=1.0, weight=counted),
        Metric("mse", mse, "min", low=0.0, weight=elements),
        Metric("rmse", rmse, "min", additive=False, low=0.0),
        Metric("mae", mae, "min", low=0.0, weight=elements),
        Metric("r2", r2, additive=False, high=1.0),
        *_averages(),
        _named("balanced_accuracy", counts.balanced_accuracy),
        _named("label_accuracy", counts.label_accuracy, is_mean=True),
        _named("exact_match", counts.exact_match, is_mean=True),
        _named("auc", ranking.auc),
        _named("average_precision", ranking.average_precision),
        _named("log_loss", probabilities.log_loss, "min", float("inf"), is_mean=True),
        _named("brier", probabilities.brier, "min", 2.0, is_mean=True),
        calibration_error(),
        top_k(5),
    )
}
# With the loss of this name a single output is a probability, not a logit.
_OF_PROBABILITIES = {
    "accuracy": Metric("accuracy", probability_accuracy, low=0.0, high=1.0, weight=elements),
    "error_rate": Metric(
        "error_rate", probability_error, "min", low=0.0, high=1.0, weight=elements
    ),
}
_OF_CLASSES = (accuracy, error_rate)
_RESERVED = ("loss", "penalty", "objective")
_TOP = re.compile(r"top([1-9]\d*)_accuracy")


def metric_names() -> list[str]:
    """Return the names `Cost` knows as metrics; besides them, "top" and any number: "top3_accuracy"."""
    return sorted(_NAMED)


def as_metric(
    metric: str | Metric | MetricFunction, loss: str = "", ignore_index: int | None = -100
) -> Metric:
    """Return the `Metric` that a name, a function (outputs, targets) or an object of torchmetrics stands
    for.

    `loss` is the name of the loss beside it: after `binary_cross_entropy` outputs are
    probabilities, so accuracy puts its threshold at one half. Of its targets the loss ignores those
    equal to `ignore_index`, and so do all metrics of classes. A bare function is taken to be better
    when larger; wrap it in `Metric` to say otherwise.

    >>> as_metric("acuracy")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    thalweg.errors.TaskError: Unknown metric 'acuracy'. Did you mean 'accuracy' or ...
    """
    if isinstance(metric, str):
        return _beside(_by_name(metric, loss), loss, ignore_index)
    if not isinstance(metric, Metric):
        if is_streamed(metric):
            return _of_object(metric, loss)
        if not callable(metric):
            raise TaskError(
                "A metric must be a name such as 'accuracy', or a function; got "
                f"{type(metric).__name__}."
            )
        inner: Any = metric
        if isinstance(metric, functools.partial) and metric.func in _OF_CLASSES:
            inner, ignore_index = metric.func, metric.keywords.get("ignore_index", ignore_index)
        for known in _NAMED.values():
            if known.function is inner:
                return _beside(known, loss, ignore_index)
        metric = Metric(getattr(metric, "__name__", type(metric).__name__), metric)
    if metric.name in _RESERVED:
        raise TaskError(f"A metric cannot be called {metric.name!r}: the cost reports that itself.")
    if is_streamed(metric.function):
        return _streaming(metric, loss)
    own = isinstance(metric.function, ClassMetric)
    return _beside(metric, loss, ignore_index) if own else metric


def _by_name(name: str, loss: str) -> Metric:
    if loss == "binary_cross_entropy" and name in _OF_PROBABILITIES:
        return _OF_PROBABILITIES[name]
    top = _TOP.fullmatch(name)
    if top is not None:
        return top_k(int(top[1]))
    if name not in _NAMED:
        hint = suggest(name, _NAMED) or f" There are: {', '.join(_NAMED)}."
        raise TaskError(
            f"Unknown metric {name!r}.{hint} A function (outputs, targets) will do as well."
        )
    return _NAMED[name]


def _of_object(given: Any, loss: str) -> Metric:
    """Return the metric that an object is, named by its class; `higher_is_better` is its direction."""
    name, better = type(given).__name__, getattr(given, "higher_is_better", None)
    if not isinstance(better, bool):
        raise TaskError(
            f"The metric {name} does not say whether higher is better. Say it, and give the metrics "
            "of a collection one by one: Metric('name', metric, direction='max')."
        )
    return _streaming(Metric(name, given, "max" if better else "min"), loss)


def _streaming(metric: Metric, loss: str) -> Metric:
    function = Streamed(metric.function, loss)
    return dataclasses.replace(metric, function=function, additive=False, weight=None)


def _beside(metric: Metric, loss: str, ignore_index: int | None) -> Metric:
    """Return the metric as it is beside this loss, which ignores these targets."""
    if isinstance(metric.function, ClassMetric):
        function = metric.function.beside(loss, ignore_index)
        weight = function.count if metric.additive else None
        return dataclasses.replace(metric, function=function, weight=weight)
    if metric.function not in _OF_CLASSES or ignore_index == -100:
        return metric
    return dataclasses.replace(
        metric,
        function=functools.partial(metric.function, ignore_index=ignore_index),
        weight=functools.partial(counted, ignore_index=ignore_index),
    )
