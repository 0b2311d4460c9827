"""Whether targets fit the outputs of a model, and what to do where they do not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from thalweg.errors import DataError, TaskError


def check_classes(
    name: str, outputs: Tensor, targets: Tensor, set_name: str, ignored: int | None
) -> None:
    """Raise an error if `targets` are not classes of such outputs."""
    if outputs.ndim < 2:
        raise TaskError(
            f"The loss {name} expects outputs of shape (rows, classes); the model gives "
            f"{_shape(outputs)}. End the model with one output for each class."
        )
    if targets.is_floating_point():
        if targets.shape[1:] != outputs.shape[1:]:
            flat = ".reshape(-1)" if targets.shape[1:] == (1,) else ""
            raise TaskError(
                f"The loss {name} expects class numbers (integers of shape (rows,)) or "
                f"probabilities of shape (rows, {outputs.shape[1]}); got {targets.dtype} targets "
                f"of shape {_shape(targets)}. Convert class numbers with y{flat}.astype('int64')."
            )
        return
    if targets.shape[1:] != outputs.shape[2:]:
        raise TaskError(
            f"The loss {name} expects integer targets of shape (rows{_tail(outputs.shape[2:])}), "
            f"one class number each; got shape {_shape(targets)}. Flatten with y.reshape(-1), or "
            "give one-hot targets as floats."
        )
    classes = outputs.shape[1]
    if classes == 1:
        raise TaskError(
            f"The loss {name} wants one output for each class, and of a single one it is always 0. Of two "
            "classes give the model two outputs, or take the loss 'bce_with_logits' and targets of shape "
            "(rows, 1)."
        )
    wrong = (targets >= classes) | (targets < 0)
    if ignored is not None:
        wrong &= targets != ignored
    if wrong.any():
        row = int(wrong.nonzero()[0][0])
        where = f" (first in row {row} of the {set_name} set)" if set_name else ""
        raise DataError(
            f"Labels out of range: found {targets[wrong][0].item()}, but the model has {classes} "
            f"outputs, so labels must be 0 to {classes - 1}{where}. Give the model more outputs, or "
            "number the classes from 0."
        )
    if set_name and ignored is not None and bool((targets == ignored).all()):
        raise DataError(
            f"All targets of the {set_name} set are {ignored}, which the loss {name} ignores: nothing "
            "is left to learn from or to measure."
        )


def shape_message(name: str, outputs: Tensor, targets: Tensor) -> str:
    """Return what is wrong with targets of another shape than the outputs."""
    advice = "Make them equal"
    if outputs.ndim == targets.ndim + 1 and outputs.shape[-1] == 1:
        advice = "Give the targets a last axis of 1 with y.reshape(-1, 1)"
    elif targets.ndim == outputs.ndim + 1 and targets.shape[-1] == 1:
        advice = "Drop the targets' last axis with y.reshape(-1)"
    return (
        f"The loss {name} compares outputs and targets element by element, but the model gives "
        f"outputs of shape (rows{_tail(outputs.shape[1:])}) and the targets have shape "
        f"(rows{_tail(targets.shape[1:])}); broadcasting would compare every row with every other. "
        f"{advice}."
    )


def taken_from(outputs: Any) -> str:
    """Return how the outputs are had of an object that holds them."""
    if isinstance(outputs, Mapping):
        return f": outputs[{next(iter(outputs), 'logits')!r}]"
    if isinstance(getattr(outputs, "logits", None), Tensor):
        return ": outputs.logits"
    return ": outputs[0]" if isinstance(outputs, (tuple, list)) else ""


def _shape(tensor: Tensor) -> tuple[int, ...]:
    return tuple(tensor.shape)


def _tail(shape: torch.Size) -> str:
    return "".join(f", {size}" for size in shape) if shape else ","
