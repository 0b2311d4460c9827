"""Whether a model and a cost can learn from a data set: tried before the first step."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from thalweg.errors import DataError, TaskError, ThalwegError
from thalweg.tasks.data import SPLITS
from thalweg.tasks.sources import ArraySource, Place, Source
from thalweg.tasks.task import Task
from thalweg.train.evaluate import evaluating, place_of

_PROBE = 2  # rows enough to see the shape of the outputs


def check_task(task: Task) -> None:
    """Try a fresh model and the cost on every set of the task, as `fit` does before the first step.
    The global random state is left as it was.

    Raises TaskError or DataError for what cannot be learned.
    """
    with torch.random.fork_rng(devices=[]):
        model = task.build()
        place = place_of(model)
        for name in SPLITS:
            source = getattr(task.data, name)
            if source is not None:
                checked(task, model, source.placed(place), name, place)


def checked(task: Task, model: nn.Module, source: Source, name: str, place: Place) -> Source:
    """Try the model on a few rows, and the cost on the targets; return the set with targets as the
    loss wants them.

    A stream is left alone: looking at its beginning would use it up.
    """
    if source.rows is None:
        return source
    loss = task.cost.surrogate
    inputs, targets = (place(part) for part in source.first(_PROBE))
    outputs = _try(model, inputs, name)
    if not isinstance(source, ArraySource):
        loss.check(outputs, loss.match(outputs, targets))
        return source
    matched = ArraySource(source.inputs, loss.match(outputs, source.targets))
    loss.check(outputs, matched.targets)
    try:
        value: Any = loss(outputs, matched.targets[: len(outputs)])
    except ThalwegError:
        raise
    except Exception as error:  # the user's own function: anything can be wrong in it
        raise TaskError(
            f"The loss {loss.name} fails on the first rows of the {name} set: "
            f"{type(error).__name__}: {error}"
        ) from error
    if not (isinstance(value, Tensor) and value.numel() == 1):
        got = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise TaskError(
            f"The loss {loss.name} must return one number, the mean over the batch; got {got}."
        )
    return matched


def _try(model: nn.Module, inputs: Any, name: str) -> Any:
    probe = inputs.clone() if isinstance(inputs, Tensor) else inputs
    try:
        with evaluating(model):
            outputs = model(probe)
    except ThalwegError:
        raise
    except (RuntimeError, TypeError, ValueError, IndexError, NotImplementedError) as error:
        shown = (
            f" of shape {tuple(inputs.shape)}, {inputs.dtype}" if isinstance(inputs, Tensor) else ""
        )
        raise TaskError(
            f"The model cannot take a batch of the {name} inputs{shown}: {error}"
        ) from error
    if isinstance(probe, Tensor) and probe._version:
        raise TaskError(
            "The model changes its inputs in place, which would change the data set. Make its "
            "first operation one that is not in place."
        )
    if isinstance(outputs, Tensor) and isinstance(inputs, Tensor) and len(outputs) != len(inputs):
        raise DataError(
            f"The model gives {len(outputs)} rows of outputs for {len(inputs)} rows of inputs."
        )
    return outputs
