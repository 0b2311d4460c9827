"""Metrics of outputs as they are: accuracy, and errors of regression."""

from __future__ import annotations

from torch import Tensor

from thalweg.errors import TaskError
from thalweg.objective.squares import squares


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


def probability_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return 1 − `probability_accuracy`."""
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


def elements(outputs: Tensor, targets: Tensor) -> float:
    """Return how many elements an error is the mean of."""
    return float(outputs.numel())


def counted(outputs: Tensor, targets: Tensor, ignore_index: int | None = -100) -> Tensor | float:
    """Return how many rows or positions an accuracy is the mean of."""
    if _is_single(outputs):
        return float(outputs.numel())
    if targets.shape == outputs.shape:
        return targets.numel() / targets.shape[1]
    return float(targets.numel()) if ignore_index is None else (targets != ignore_index).sum()


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
