"""What a model gives for a batch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from thalweg.errors import TaskError
from thalweg.objective.blame import blame
from thalweg.objective.nested import mapped, tensors_in


def outputs_of(model: nn.Module, x: Any) -> Any:
    """Return what the model gives for a batch.

    Raises TaskError where it cannot be run on it.
    """
    try:
        return model(mapped(x, torch.clone))
    except TaskError:
        raise
    except Exception as error:  # the user's own model: anything can be wrong in it
        raise TaskError(
            f"The model cannot be run on the batch x. {blame(error)} Give x as the model takes it: "
            "a batch of inputs, without targets."
        ) from error


def first_tensor(value: Any) -> Tensor | None:
    """Return the first tensor of real numbers in what a module takes or gives."""
    return next((t for t in tensors_in(value) if t.is_floating_point()), None)
