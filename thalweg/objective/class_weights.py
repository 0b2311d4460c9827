"""Losses that count classes by weights."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from thalweg.errors import TaskError
from thalweg.objective.losses import Loss

_FUNCTIONS = {"cross_entropy": functional.cross_entropy, "nll_loss": functional.nll_loss}


@dataclasses.dataclass(frozen=True, eq=False)
class _ByName:
    """One of PyTorch's losses of class numbers, with class weights of the outputs' kind and place."""

    name: str

    def __call__(
        self, outputs: Tensor, targets: Tensor, *, weight: Tensor, reduction: str = "mean"
    ) -> Tensor:
        if outputs.ndim > 1 and outputs.shape[1] != len(weight):
            raise TaskError(
                f"class_weights are one number for each class: there are {len(weight)}, and the model "
                f"has {outputs.shape[1]} outputs."
            )
        return _FUNCTIONS[self.name](
            outputs, targets, weight=weight.to(outputs), reduction=reduction
        )


def with_class_weights(loss: Loss, weights: Any) -> Loss:
    """Return the loss with its rows counted by the weights of their classes.

    Raises:
        TaskError: the loss is not cross_entropy or nll_loss by name, or the weights are not numbers ≥ 0,
            one for each class.
    """
    if loss.function not in _FUNCTIONS.values():
        raise TaskError(
            f"class_weights go with the losses 'cross_entropy' and 'nll_loss' by name; got {loss.name}. "
            "A module has its own: nn.CrossEntropyLoss(weight=…), nn.BCEWithLogitsLoss(pos_weight=…)."
        )
    try:
        numbers = torch.as_tensor(weights, dtype=torch.float64).detach()
    except (TypeError, ValueError, RuntimeError):
        numbers = torch.tensor(torch.nan)
    if numbers.ndim != 1 or not bool(
        (numbers >= 0).all() & numbers.isfinite().all() & numbers.any()
    ):
        raise TaskError(
            f"class_weights must be finite numbers ≥ 0, one for each class, not all 0; got {weights!r}."
        )
    function = functools.partial(_ByName(loss.name), weight=numbers)
    return dataclasses.replace(loss, function=function)
