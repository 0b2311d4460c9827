"""What a model gives for a batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from thalweg.errors import TaskError
from thalweg.objective.blame import blame
from thalweg.objective.nested import mapped, tensors_in


def outputs_of(model: nn.Module, x: Any, values: Mapping[str, Tensor] | None = None) -> Any:
    """Return what the model gives for a batch, with these parameters instead of its own, if any.

    Raises:
        TaskError: where it cannot be run on it.
    """
    batch = mapped(x, torch.clone)
    try:
        return model(batch) if values is None else _with(model, values, batch)
    except TaskError:
        raise
    except Exception as error:  # the user's own model: anything can be wrong in it
        raise TaskError(
            f"The model cannot be run on the batch of inputs. {blame(error)} The inputs are passed to it as "
            "they are, without the targets."
        ) from error


def _with(model: nn.Module, values: Mapping[str, Tensor], batch: Any) -> Any:
    """Run a model with other parameters.

    Each module gets them once, by its first name, since PyTorch does not put back those of a module that has
    several names where it finds out itself what is tied.
    """
    first = {id(p): name for name, p in model.named_parameters()}
    every = {
        f"{name}.{own}" if name else own: values[first[id(p)]]
        for name, module in model.named_modules()
        for own, p in module.named_parameters(recurse=False, remove_duplicate=False)
    }
    return functional_call(model, every, (batch,), tie_weights=False)


def loss_of(loss: Callable[[Any, Any], Tensor], outputs: Any, y: Any) -> Tensor:
    """Return the loss of outputs.

    Raises:
        TaskError: where it cannot be computed.
    """
    try:
        return loss(outputs, y)
    except TaskError:
        raise
    except Exception as error:  # it may be the user's own
        raise TaskError(
            f"The loss of the model's outputs cannot be computed. {blame(error)} The loss takes a target "
            "for each row of the inputs, rows first."
        ) from error


def first_tensor(value: Any) -> Tensor | None:
    """Return the first tensor of real numbers in what a module takes or gives."""
    return next((t for t in tensors_in(value) if t.is_floating_point()), None)
