"""How difficult each row is: given, or the loss that a model has on it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from thalweg.errors import DataError, TaskError
from thalweg.objective.blame import blame
from thalweg.objective.cost import Cost
from thalweg.objective.nested import describe_batch
from thalweg.objective.weighted import losses_of, unweighted
from thalweg.tasks.place import place_of
from thalweg.tasks.sources.source import Source
from thalweg.tasks.sources.weighted import Rows, arrays_of
from thalweg.train.restored.modes import evaluating
from thalweg.train.restored.randomness import isolated
from thalweg.train.trained.evaluate import EVALUATION_ROWS


def rows_in_memory(source: Source) -> Rows:
    """Return the training set as rows that can be picked; raise DataError for another kind."""
    if isinstance(source, Rows):
        return source
    raise DataError(
        "A curriculum picks the rows of the training set, which have to be in memory: give arrays, or "
        f"Data.dataset(…, cache=True); got {type(source).__name__}."
    )


def given_difficulty(given: Any, rows: Rows) -> Tensor:
    """Return the difficulty of each row from a function (inputs, targets), or one number for each.

    Raises:
        DataError: for another number of values, and for NaN, with the first row.
    """
    arrays = arrays_of(rows)
    if callable(given):
        try:
            given = given(arrays.inputs.clone(), arrays.targets.clone())
        except Exception as error:  # the user's own function: anything can be wrong in it
            raise TaskError(
                f"The difficulty of the rows cannot be computed. {blame(error)} It is a function "
                "(inputs, targets) that returns a number for each row."
            ) from error
    try:
        values = torch.as_tensor(given).detach().to("cpu", torch.float64)
    except (TypeError, ValueError, RuntimeError):
        raise TaskError(
            "The difficulty must be 'loss', 'self', a model, a function (inputs, targets), or one number for "
            f"each row; got {given!r:.80}."
        ) from None
    return check_difficulty(values, arrays.rows)


def check_difficulty(values: Tensor, rows: int) -> Tensor:
    """Return one difficulty a row; raise DataError that names the first row without one."""
    if tuple(values.shape) != (rows,):
        raise DataError(
            f"The difficulty must be one number for each of the {rows} training rows, of shape ({rows},); "
            f"got the shape {tuple(values.shape)}."
        )
    bad = torch.isnan(values)
    if bad.any():
        raise DataError(
            f"The difficulty is NaN in {int(bad.sum())} of {rows} training rows, first in row "
            f"{int(bad.nonzero()[0])}. Give each row a number."
        )
    return values


def row_losses(model: nn.Module, rows: Rows, cost: Cost) -> Tensor:
    """Return the loss of a model on each row, without gradients and in evaluation mode, as float64.

    A row of several elements has their mean.

    Raises:
        TaskError: for a loss that gives no loss of each row, and a model that cannot be run on them.
    """
    loss, place = cost.surrogate, place_of(model)
    each = losses_of(loss.name, loss.function)
    found: list[Tensor] = []
    with evaluating(model), isolated(place.device):
        for inputs, given in arrays_of(rows).batches(EVALUATION_ROWS, place=place):
            try:
                outputs = model(inputs)
            except Exception as error:  # the user's own model, which may be for other rows
                raise TaskError(
                    "The model that says how difficult a row is cannot be run on the training rows, "
                    f"{describe_batch(inputs)}. {blame(error)}"
                ) from error
            targets = unweighted(loss.match(outputs, given))
            values = each(outputs, targets)
            found.append(values.double().reshape(len(values), -1).mean(1).cpu())
    return check_difficulty(torch.cat(found), rows.rows)
