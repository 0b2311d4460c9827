"""Checks before the first step: can the model and the cost learn from the data?"""

from __future__ import annotations

import contextlib
import inspect
import math
from collections.abc import Mapping
from types import EllipsisType
from typing import Any

import torch
from torch import Tensor, nn

from thalweg.errors import DataError, TaskError, ThalwegError
from thalweg.objective import Cost, Scores
from thalweg.objective.blame import blame
from thalweg.objective.nested import (
    describe_batch,
    is_plain,
    mapped,
    rows_of,
    tensors_in,
)
from thalweg.objective.weighted import count_rows
from thalweg.tasks.data import SPLITS
from thalweg.tasks.hashes import data_hash
from thalweg.tasks.place import place_of
from thalweg.tasks.sources.source import ArraySource, LoaderSource, Placement, Source
from thalweg.tasks.sources.weighted import WeightedSource
from thalweg.tasks.target import figure
from thalweg.tasks.task import Task
from thalweg.tasks.unpacked import Unpacked
from thalweg.train.health.failure import NO_GRADIENT, ONE_ROW
from thalweg.train.health.layers import cause_of_nonfinite, refusal_of, refusing_layer
from thalweg.train.restored.modes import evaluating
from thalweg.train.restored.randomness import isolated, seed_weights
from thalweg.train.restored.snapshot import untouched
from thalweg.train.trained.evaluate import EVALUATION_ROWS, evaluate

_PROBE = 2  # rows: enough to see the shape of the outputs


def check_task(task: Task, *, batch_size: int | EllipsisType | None = ...) -> Scores | None:
    """Try what every run of the task will do: a fresh model on a few rows of every set, a whole
    evaluation of the validation set, and the objective of a first batch with its gradient. The
    global random state is left as it was. `batch_size` is that of the runs, by default the task's.

    Returns the validation scores of the untrained model (that of seed 0), None where there is no
    such set or it can be run through only once. `remarks` says what is strange about them.

    Raises TaskError or DataError for what cannot be learned, a loss that is NaN included.
    """
    size = task.batch_size if isinstance(batch_size, EllipsisType) else batch_size
    cpu = torch.device("cpu")
    with contextlib.ExitStack() as stack:
        for name in SPLITS:
            source = getattr(task.data, name)
            if source is not None:
                stack.enter_context(source.untraced())
        stack.enter_context(isolated(cpu))
        seed_weights(0, cpu)
        model = task.build()
        if not any(p.requires_grad for p in model.parameters()):
            raise TaskError("The model has no trainable parameters.")
        place = place_of(model)
        sources = {
            name: checked(task, model, source.placed(place), name, place, size)
            for name in SPLITS
            if (source := getattr(task.data, name)) is not None
        }
        scores = _untrained(task, model, sources.get("validation"), place)
        _try_step(task, model, sources["train"], place, size)
    return scores


def remarks(task: Task, untrained: Scores | None) -> list[str]:
    """Return sentences on what a reader of the task's results should know; `untrained` is what
    `check_task` gave.
    """
    found = []
    target = task.target
    if target is not None and untrained is not None and target.is_reached(untrained, task.cost):
        found.append(
            f"The target, {target}, is met before the first step: the untrained model has "
            f"{untrained[figure(target.metric)]:.4g}. Choose a harder one."
        )
    if task.data_hash is not None:
        with contextlib.suppress(DataError):
            if data_hash(task.data) != task.data_hash:
                found.append(
                    f"The data of {task.name} are not those that its target was set for: results "
                    "do not compare with others'. Another version of a library may have brought "
                    "them."
                )
    return found


def checked(
    task: Task,
    model: nn.Module,
    source: Source,
    name: str,
    place: Placement,
    batch_size: int | None,
) -> Source:
    """Try the model on a few rows, and the cost on the targets; return the set with targets as the
    loss wants them. `batch_size` is that of training.

    A stream is left alone: looking at its beginning would use it up.
    """
    if name == "train":
        _try_penalty(task.cost, model)
    if source.rows is None:
        return source
    loss = task.cost.surrogate
    inputs, targets = (place(part) for part in source.first(_PROBE))
    outputs = _try(model, inputs, name)
    if name == "train" and source.smallest_batch(batch_size) == 1:
        _try_one_row(model, inputs, source, batch_size)
    if isinstance(source, ArraySource):
        matched = ArraySource(source.inputs, loss.match(outputs, source.targets))
        loss.check(outputs, matched.targets, name)
        _check_overflow(matched, name)
        source, targets = matched.lending(), matched.targets[: len(inputs)]
    else:
        targets = loss.match(outputs, targets)
        loss.check(outputs, targets)
        if isinstance(source, WeightedSource):
            loss.check(outputs, loss.match(outputs, source.targets), name)
    _try_cost(task.cost, outputs, targets, name)
    return source


def _check_overflow(matched: ArraySource, name: str) -> None:
    """Refuse numbers that were finite, and are not in the model's dtype."""
    for tensor, role in ((matched.inputs, "inputs"), (matched.targets, "targets")):
        if tensor.is_floating_point() and not torch.isfinite(tensor.sum()):
            bad = ~torch.isfinite(tensor).reshape(len(tensor), -1).all(1)
            if bad.any():
                raise DataError(
                    f"The {name} {role} hold numbers too large for the model's {tensor.dtype}, first "
                    f"in row {int(bad.nonzero()[0])}. Scale them (Data.arrays(…, scale='standard')), "
                    "or build the model in float64 with model.double()."
                )


def _try(model: nn.Module, inputs: Any, name: str) -> Any:
    rows = rows_of(inputs)
    try:
        with evaluating(model):
            outputs = model(mapped(inputs, torch.clone))
    except (ThalwegError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # the user's own model: anything can be wrong in it
        raise TaskError(_refusal(model, inputs, name, error)) from error
    if isinstance(outputs, Tensor) and isinstance(inputs, Tensor) and outputs.ndim:
        given = len(outputs)
        if given != rows:
            raise DataError(
                f"The model gives {given} rows of outputs for {rows} rows of inputs. The first axis of a "
                "batch is its rows; a DataLoader with batch_size=None hands on what its data set yields, "
                "which then has to be batches."
            )
    return outputs


def _try_one_row(model: nn.Module, inputs: Any, source: Source, batch_size: int | None) -> None:
    """Refuse a model that cannot be trained on the single row that is left over in each epoch."""
    if not all(tensor.ndim for tensor in tensors_in(inputs)) or not is_plain(inputs):
        return  # how to take one row of it is not known
    with untouched(model, source=source):
        layer, error = refusal_of(model, mapped(inputs, lambda tensor: tensor[:1]))
        if error is None or (rows_of(inputs) != 1 and refusal_of(model, inputs)[1] is not None):
            return  # it fails on more rows, too: the first step raises the error
    size = source.loader.batch_size if isinstance(source, LoaderSource) else batch_size
    shown = f" ({layer})" if layer else ""
    left = (
        "" if size is None or size == 1 else f": {source.rows} rows in batches of {size} leave one"
    )
    raise TaskError(
        f"The smallest batch of an epoch has 1 row{left}, on which the model cannot be trained"
        f"{shown}. {blame(error)} {ONE_ROW}"
    ) from error


def _refusal(model: nn.Module, inputs: Any, name: str, error: Exception) -> str:
    shown, advice = f" of {describe_batch(inputs)}", ""
    of_types = any(words in str(error) for words in ("dtype", "Input type"))
    if isinstance(inputs, Tensor) and not inputs.is_floating_point() and of_types:
        advice = " Turn integers into real ones with x.astype('float32')."
    if isinstance(error, (TypeError, AttributeError)) and isinstance(
        inputs, (tuple, list, Mapping)
    ):
        advice = _on_parts(model, inputs)
    layer = refusing_layer(model, inputs)
    where = f" ({layer})" if layer else ""
    return (
        f"The model cannot take a batch of the {name} inputs{shown}{where}. {blame(error)}{advice}"
    )


def _on_parts(model: nn.Module, inputs: Any) -> str:
    """Return the advice on a model that does not take the parts of a batch."""
    by_name = isinstance(inputs, Mapping)
    if isinstance(model, Unpacked):
        has = ", ".join(map(repr, inputs)) if by_name else f"{len(inputs)} parts in order"
        names = ", ".join(inspect.signature(model.model.forward).parameters)
        return (
            f" The batch has {has}; forward of {type(model.model).__name__} takes {names or 'nothing'}. "
            "Leave out the others where batches are made, such as in collate_fn, or let forward take them."
        )
    names = ", ".join(map(str, inputs)) if by_name else ""
    return (
        " The inputs of a batch reach the model as one argument; thalweg.tasks.Unpacked(model) takes "
        "them apart: a tuple in order, a mapping by name"
        + (f", here forward(self, {names})." if names else ".")
    )


def _try_cost(cost: Cost, outputs: Any, targets: Any, name: str) -> None:
    loss = cost.surrogate
    try:
        value: Any = loss(outputs, mapped(targets, torch.clone))  # they may be rows of the set
    except (ThalwegError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # the user's own function: anything can be wrong in it
        raise TaskError(
            f"The loss {loss.name} fails on the first rows of the {name} set. {blame(error)}"
        ) from error
    _check_scalar(value, f"The loss {loss.name} must return one number, the mean over the batch")
    for metric in cost.measures:
        try:
            metric(outputs, mapped(targets, torch.clone))
        except TaskError as error:
            # A function of the user's may need more rows than these; ours are known not to.
            if isinstance(error.__cause__, Exception):
                continue
            raise


def _try_penalty(cost: Cost, model: nn.Module) -> None:
    if cost.penalty is None:
        return
    try:
        value: Any = cost.penalty(model)
    except (ThalwegError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # the user's own function: anything can be wrong in it
        raise TaskError(f"The penalty fails on the fresh model. {blame(error)}") from error
    _check_scalar(value, "The penalty must return one number as a tensor")
    weights_are_finite = all(bool(torch.isfinite(p).all()) for p in model.parameters())
    if weights_are_finite and not math.isfinite(value.item()):
        raise TaskError(
            f"The penalty is {value.item()} on the fresh model, whose parameters are finite. Look "
            "for a division by zero, or the root of a negative number."
        )


def _check_scalar(value: Any, expected: str) -> None:
    if not (isinstance(value, Tensor) and value.numel() == 1):
        got = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise TaskError(f"{expected}; got {got}.")
    if value.is_complex():
        raise TaskError(
            f"{expected}; got a complex one. Take its absolute value, its square or its real part."
        )


def _untrained(
    task: Task, model: nn.Module, validation: Source | None, place: Placement
) -> Scores | None:
    if validation is None or validation.rows is None:
        return None
    try:
        scores = evaluate(model, validation, task.cost, needed="validation")
    except (ThalwegError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # the user's own model or function
        raise TaskError(
            f"The untrained model cannot be evaluated on the validation set. {blame(error)}"
        ) from error
    if math.isnan(scores.loss):
        raise _not_finite_on_set(task, model, validation, place)
    return scores


def _try_step(
    task: Task, model: nn.Module, train: Source, place: Placement, batch_size: int | None
) -> None:
    """Compute the objective of a first batch and its gradient, in training mode."""
    if train.rows is None:
        return
    cost = task.cost
    inputs, targets = (place(part) for part in train.first(batch_size or train.rows))
    model.train()
    try:
        outputs = model(inputs)
        targets = cost.surrogate.match(outputs, targets)
        if not isinstance(outputs, Tensor):  # as it may be in evaluation mode, which was tried
            cost.surrogate.check(outputs, targets)
        rows = count_rows(targets, inputs)
        loss, weight = cost.surrogate.measured(outputs, targets, rows)
    except (ThalwegError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # the user's own model or function
        raise TaskError(f"The first training step fails. {blame(error)}") from error
    if weight and not math.isfinite(loss.item()):
        raise _not_finite(task, model, inputs, targets, "at the first step", loss.item())
    if not loss.requires_grad:
        raise TaskError(NO_GRADIENT.format(cost.surrogate.name))


def _not_finite_on_set(task: Task, model: nn.Module, source: Source, place: Placement) -> TaskError:
    """Return the error of the first batch whose loss is not finite."""
    surrogate = task.cost.surrogate
    with evaluating(model):
        for batch in source.batches(EVALUATION_ROWS, place=place):
            outputs = model(batch[0])
            targets = surrogate.match(outputs, batch[1])
            loss, weight = surrogate.measured(outputs, targets, count_rows(targets, batch[0]))
            if weight and not math.isfinite(loss.item()):
                break
    inputs, targets = batch
    return _not_finite(task, model, inputs, targets, "on the validation set", math.nan)


def _not_finite(
    task: Task, model: nn.Module, inputs: Any, targets: Any, where: str, value: float
) -> TaskError:
    cause = cause_of_nonfinite(model, inputs, targets, task.cost.surrogate.name)
    return TaskError(f"The loss is {value} {where}, before any update. {cause}")
