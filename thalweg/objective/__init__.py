"""What is minimized: loss, penalty, metrics."""

from thalweg.objective.cost import Cost
from thalweg.objective.losses import Loss, as_loss, half_mse, loss_names
from thalweg.objective.metrics import (
    Metric,
    accuracy,
    as_metric,
    calibration_error,
    confusion_matrix,
    error_rate,
    mae,
    metric_names,
    mse,
    probability_accuracy,
    r2,
    rmse,
    top_k,
)
from thalweg.objective.penalty import L1, L2, Penalties, Penalty, penalized
from thalweg.objective.scores import Meter, Scores

__all__ = [
    "L1",
    "L2",
    "Cost",
    "Loss",
    "Meter",
    "Metric",
    "Penalties",
    "Penalty",
    "Scores",
    "accuracy",
    "as_loss",
    "as_metric",
    "calibration_error",
    "confusion_matrix",
    "error_rate",
    "half_mse",
    "loss_names",
    "mae",
    "metric_names",
    "mse",
    "penalized",
    "probability_accuracy",
    "r2",
    "rmse",
    "top_k",
]
