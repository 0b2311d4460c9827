"""Evaluating a model on a whole set, and predicting; the model is left as it was."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from thalweg.errors import DataError
from thalweg.objective import Cost, Scores
from thalweg.objective.nested import rows_of
from thalweg.tasks.sources import Placement, Source
from thalweg.train.modes import modes_kept
from thalweg.train.randomness import isolated

# Without gradients a batch needs little memory, and the cost of a call is spread over many rows.
EVALUATION_ROWS = 1024


def evaluate(
    model: nn.Module,
    source: Source,
    cost: Cost,
    *,
    batch_size: int = EVALUATION_ROWS,
    needed: str = "",
) -> Scores:
    """Return loss, penalty and metrics of `model` on the whole of `source`.

    The model runs in evaluation mode (dropout off, batch norm by its running statistics), without
    gradients, and gets its mode back. The loss is that of the whole set: each batch counts by
    what its mean was divided by. The states of all random generators are restored.

    Where nothing in the set counts, its loss is NaN. `needed` is the name of a set on which a
    decision depends: for it a DataError is raised instead.
    """
    place = place_of(model)
    meter = cost.meter()
    with evaluating(model), source.untraced(), isolated(place.device):
        for inputs, targets in source.batches(batch_size, place=place):
            outputs = model(inputs)
            targets = cost.surrogate.match(outputs, targets)
            rows = count_rows(targets, inputs)
            loss, weight = cost.surrogate.measured(outputs, targets, rows)
            meter.add(float(loss), outputs, targets, rows, weight)
        if not meter.rows:
            raise DataError("The set to evaluate yields no batch.")
        if needed and not meter.counts:
            raise DataError(
                f"Nothing in the {needed} set counts for the loss {cost.surrogate.name}: all its "
                "targets are ignored, so there is nothing to measure. Give it rows that count."
            )
        return meter.scores(cost.penalty_value(model))


def predict(model: nn.Module, inputs: Tensor, *, batch_size: int = EVALUATION_ROWS) -> Tensor:
    """Return the model's outputs for the rows of `inputs`, in evaluation mode, no gradients."""
    if not len(inputs):
        raise DataError("There is nothing to predict: the inputs have no rows.")
    place = place_of(model)
    with evaluating(model), isolated(place.device):
        # A copy of each part: a layer that works in place would change the caller's rows.
        parts = [model(place(part.clone())) for part in torch.split(inputs, batch_size)]
        return parts[0] if len(parts) == 1 else torch.cat(parts)


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put `model` in evaluation mode without gradients; each module gets its own mode back."""
    with modes_kept(model), torch.no_grad():
        model.eval()
        yield


def place_of(model: nn.Module) -> Placement:
    """Return the device and floating-point dtype of the model's parameters."""
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.is_floating_point() or tensor.is_complex():
            return Placement(tensor.device, tensor.dtype.to_real())
    return Placement(dtype=torch.get_default_dtype())


def count_rows(targets: Any, inputs: Any) -> int:
    """Return the number of rows in a batch."""
    for value in (targets, inputs):
        rows = rows_of(value)
        if rows is not None:
            return rows
    raise DataError(
        "A batch whose number of rows cannot be told: neither inputs nor targets hold a tensor."
    )
