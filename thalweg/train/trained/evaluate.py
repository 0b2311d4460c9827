"""Evaluating a model on a whole set, and predicting; the model is left as it was."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor, nn

from thalweg.errors import DataError, TaskError, sentence
from thalweg.objective import Cost, Scores, confusion_matrix
from thalweg.objective.join import JoinError, join_batches
from thalweg.objective.nested import describe_batch, is_plain, mapped, rows_of, tensors_in
from thalweg.objective.weighted import count_rows, unweighted
from thalweg.tasks.place import place_of
from thalweg.tasks.sources.source import Source
from thalweg.train.restored.modes import evaluating
from thalweg.train.restored.randomness import isolated

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


def predict(model: nn.Module, inputs: Any, *, batch_size: int = EVALUATION_ROWS) -> Any:
    """Return the model's outputs for the rows of `inputs`, in evaluation mode, no gradients.

    Tensors in a tuple, a mapping or a data class are several inputs, each with one row per sample; outputs
    may be such, too. A batch of another kind, as a packed sequence, is given to the model as it is.
    """
    rows = _rows_to_predict(inputs)
    size = batch_size if is_plain(inputs) else rows
    place, starts = place_of(model), range(0, rows, size)
    with evaluating(model), isolated(place.device):
        # A copy of each part: a layer that works in place would change the caller's rows.
        parts = [
            model(
                place(mapped(inputs, functools.partial(_copied, rows=slice(start, start + size))))
            )
            for start in starts
        ]
    return _joined(parts, [min(size, rows - start) for start in starts])


def _joined(parts: list[Any], rows: list[int]) -> Any:
    try:
        return join_batches(parts, rows)
    except JoinError as error:
        raise TaskError(
            f"The outputs of the {len(parts)} batches that were predicted cannot be joined: "
            f"{sentence(error)} Predict at most {max(rows)} rows at once."
        ) from None


def predict_set(model: nn.Module, source: Source, *, batch_size: int = EVALUATION_ROWS) -> Any:
    """Return the model's outputs for all rows of a set, as `predict` does for rows that are given."""
    place = place_of(model)
    parts, rows = [], []
    with evaluating(model), source.untraced(), isolated(place.device):
        for inputs, targets in source.batches(batch_size, place=place):
            parts.append(model(inputs))
            rows.append(count_rows(targets, inputs))
    if not parts:
        raise DataError("The set to predict yields no batch.")
    return _joined(parts, rows)


def _copied(tensor: Tensor, rows: slice) -> Tensor:
    return tensor[rows].clone()


def _rows_to_predict(inputs: Any) -> int:
    rows = rows_of(inputs)
    if rows is None:
        raise DataError(
            "predict wants one tensor or array, or several in a tuple or a mapping, with one row per "
            f"sample; got {describe_batch(inputs)}."
        )
    if not rows:
        raise DataError("There is nothing to predict: the inputs have no rows.")
    if is_plain(inputs) and any(each.ndim == 0 or len(each) != rows for each in tensors_in(inputs)):
        raise DataError(
            f"The inputs of predict differ in their numbers of rows: {describe_batch(inputs)}."
        )
    return rows


def confusion(model: nn.Module, source: Source, cost: Cost) -> Tensor:
    """Return the confusion matrix of `model` on the whole of `source`, of what the loss counts."""
    place, loss = place_of(model), cost.surrogate
    total = torch.zeros(())
    with evaluating(model), source.untraced(), isolated(place.device):
        for inputs, given in source.batches(EVALUATION_ROWS, place=place):
            outputs = model(inputs)
            targets = unweighted(loss.match(outputs, given))
            matrix = confusion_matrix(
                outputs, targets, loss=loss.name, ignore_index=loss.ignore_index
            )
            total = total.to(matrix) + matrix
    if not total.ndim:
        raise DataError("The set yields no batch.")
    return total
