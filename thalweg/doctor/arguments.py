"""Checks of what a doctor is given."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from thalweg.errors import TaskError


def check_arguments(model: Any, optimizer: Any, budget: Any, forks: Any) -> None:
    """Raise TaskError for what a doctor cannot be made of."""
    if not isinstance(model, nn.Module):
        raise TaskError(f"Doctor watches an nn.Module; got {type(model).__name__}.")
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise TaskError(
            f"Doctor takes the optimizer that trains the model, a torch.optim.Optimizer; got "
            f"{type(optimizer).__name__}. Build it first."
        )
    for name, value in (("budget", budget), ("forks", forks)):
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 0:
            raise TaskError(f"{name} must be a number of at least 0, such as 0.05; got {value!r}.")


def check_step(loss: Any, batch: Any) -> None:
    """Raise TaskError for a loss that is not a number, or a batch that is not a pair."""
    is_number = isinstance(loss, (int, float)) and not isinstance(loss, bool)
    if not is_number and not (isinstance(loss, Tensor) and loss.numel() == 1):
        what = f"shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
        raise TaskError(
            f"doctor.step takes the loss of the batch, one number; got {what}. Give it loss.mean(), or "
            "whatever was differentiated."
        )
    if batch is not None and not (isinstance(batch, (tuple, list)) and len(batch) == 2):
        raise TaskError(
            f"batch must be a pair (inputs, targets); got {type(batch).__name__}. Several inputs are one "
            "tuple: ((a, b), targets)."
        )
