"""Metrics: what is reported with the loss, and never differentiated."""

from thalweg.objective.metrics.counts import confusion_matrix
from thalweg.objective.metrics.metric import Metric, MetricFunction
from thalweg.objective.metrics.names import as_metric, calibration_error, metric_names, top_k
from thalweg.objective.metrics.plain import (
    accuracy,
    error_rate,
    mae,
    mse,
    probability_accuracy,
    r2,
    rmse,
)

__all__ = [
    "Metric",
    "MetricFunction",
    "accuracy",
    "as_metric",
    "calibration_error",
    "confusion_matrix",
    "error_rate",
    "mae",
    "metric_names",
    "mse",
    "probability_accuracy",
    "r2",
    "rmse",
    "top_k",
]
