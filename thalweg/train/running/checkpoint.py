"""Checkpoints: all that a run needs to be resumed, in one file."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from thalweg.errors import CheckpointError
from thalweg.numeric import is_schedule
from thalweg.objective import Penalties
from thalweg.objective.blame import blame
from thalweg.reading import amount_from, count_from, text_from
from thalweg.train.gradients import Computed, epoch_rows, epoch_steps
from thalweg.train.history import (
    History,
    epoch_from,
    epoch_record,
    evaluation_from,
    evaluation_record,
    reached_from,
)
from thalweg.train.restored.weights import Weights, kind_of
from thalweg.train.running.archive import read_archive, rehearsed, write_archive
from thalweg.train.running.state import State

FILE_NAME = "checkpoint.safetensors"
_OF_OPTIMIZER = "optimizer's "
# Fields of a recipe that are not compared as they are: some are compared by name instead, the others
# (epochs, device, gradient_budget) may differ when a run is resumed.
_FREE = (
    *("task", "optimizer", "scheduler", "early_stopping", "stop_at", "epochs", "device"),
    *("gradient_budget", "hyperparameters"),
)
_LATER = {"accumulate": 1, "clip_norm": None, "autocast": None, "strategy": None}
"""Fields that earlier versions had not, with the values by which they trained."""


def checkpoint_file(checkpoint: str | os.PathLike[str] | None, resume: bool) -> Path | None:
    """Return the checkpoint's file; a folder stands for `checkpoint.safetensors` in it.

    Raises:
        CheckpointError: where a run is there already and is not to be resumed: it would be lost.
    """
    if checkpoint is None:
        if resume:
            raise CheckpointError("resume=True needs checkpoint=…, the file to resume from.")
        return None
    if not os.fspath(checkpoint):  # Path would take it for the working folder
        raise CheckpointError(
            "checkpoint=… must be a file or a folder to keep it in; got an empty text."
        )
    path = Path(checkpoint)
    if path.is_dir():
        path = path / FILE_NAME
    if path.exists() and not path.is_file():
        raise CheckpointError(
            f"The checkpoint {path} is not a regular file. Name one, or a folder to hold it."
        )
    if path.exists() and not resume:
        raise CheckpointError(
            f"The checkpoint {path} already holds a run. Go on with resume=True, or delete it to "
            "start again."
        )
    _check_folder(path)
    return path


def _check_folder(path: Path) -> None:
    """Check before training that the file can be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or error
        raise CheckpointError(f"The folder of {path} cannot be made: {reason}.") from error
    if not os.access(path.parent, os.W_OK):
        raise CheckpointError(f"The folder of {path} cannot be written to.")


def save(path: Path, state: State) -> None:
    """Write the state after an epoch."""
    write_archive(path, _content(state))


def rehearse(state: State) -> None:
    """Check before training that a checkpoint can be written, and resumed from.

    Raises:
        CheckpointError: for what a module or a scheduler keeps and a file cannot hold.
    """
    content = rehearsed(_content(state))
    weights = _weights_from(content["model"], content)
    try:
        weights.put(state.model)
    except Exception as error:  # the model's own functions: anything can be wrong in them
        raise CheckpointError(
            f"A checkpoint of this model could not be resumed from. {blame(error)}"
        ) from error


def _content(state: State) -> dict[str, Any]:
    tracker, weights = state.tracker, Weights.of(state.model)
    return {
        "settings": _settings(state),
        "model": weights.state,
        "buffers": _buffers_record(weights),
        "optimizer": state.optimizer.state_dict(),
        "scheduler": None if state.scheduler is None else state.scheduler.state_dict(),
        "progress": {
            "epoch": state.epoch,
            "step": state.step,
            "seconds": state.seconds,
            "gradients": state.gradients,
            "passes": state.computed.passes,
            "stopped": state.stopped,
            "losses": torch.tensor(state.losses, dtype=torch.float64),
        },
        "history": [epoch_record(record) for record in state.history],
        "evaluations": [evaluation_record(record) for record in state.evaluations],
        "reached": None if state.reached is None else dataclasses.asdict(state.reached),
        "callbacks": state.callbacks.state(),
        "tracker": None
        if tracker is None
        else {
            "best": None if tracker.best is None else epoch_record(tracker.best),
            "waited": tracker.waited,
            "parameters": tracker.weights.state,
            "buffers": _buffers_record(tracker.weights),
        },
    }


# What reading an edited file may raise: its types, shapes and lengths may be wrong.
_MALFORMED = (
    *(KeyError, TypeError, AttributeError, ValueError, IndexError, AssertionError),
    *(OverflowError, RuntimeError),
)


def load(path: Path, state: State) -> None:
    """Put the state in `path` into `state`, which has just begun with the same recipe.

    Raises CheckpointError saying what differs if the checkpoint is of another recipe.
    """
    content = read_archive(path)
    try:
        _check_settings(path, content["settings"], _settings(state))
        _load_model(path, state, _weights_from(content["model"], content))
        _load_optimizer(path, state, content["optimizer"])
        if state.scheduler is not None:
            state.scheduler.load_state_dict(content["scheduler"])
        _load_progress(state, content)
    except CheckpointError:
        raise
    except _MALFORMED as error:
        raise CheckpointError(
            f"The checkpoint {path} lacks a part that is needed, or was edited: {error}"
        ) from error


def _load_progress(state: State, content: dict[str, Any]) -> None:
    progress, tracker = content["progress"], content["tracker"]
    state.epoch, state.step = (count_from(progress[name]) for name in ("epoch", "step"))
    state.seconds = amount_from(progress["seconds"])
    state.losses = progress["losses"].to(torch.float64).reshape(-1).tolist()
    # A run that ended because its budget was spent goes on if more is asked for.
    stopped = text_from(progress["stopped"])
    state.stopped = "" if stopped in ("epochs", "gradients") else stopped
    state.history = History([epoch_from(record) for record in content["history"]])
    if [record.epoch for record in state.history] != [*range(1, state.epoch + 1)]:
        raise ValueError(f"{state.epoch} epochs, and the records of others.")
    state.evaluations = [evaluation_from(record) for record in content["evaluations"]]
    if "passes" in progress:
        state.computed.passes = count_from(progress["passes"])
    else:
        _count_rows(state, amount_from(progress["gradients"]))
    state.callbacks.load(content.get("callbacks", []))
    reached = content["reached"]
    state.reached = None if reached is None else reached_from(reached)
    if state.tracker is not None:
        best = tracker["best"]
        state.tracker.best = None if best is None else epoch_from(best)
        state.tracker.waited = count_from(tracker["waited"])
        weights = _weights_from(tracker["parameters"], tracker)
        problems = _model_problems(weights, state.model) if weights else []
        if problems:
            raise ValueError(f"The best parameters are of another model: {'; '.join(problems[:5])}")
        state.tracker.weights = weights


def _count_rows(state: State, batches: float) -> None:
    """Take over the count of a checkpoint of an earlier version, in which each batch counted 1."""
    source, size = state.train, state.recipe.batch_size
    steps, rows = epoch_steps(source, size), epoch_rows(source)
    unit = state.computed.unit
    scale = 1.0 if not (unit and steps and rows) else rows / (steps * unit)
    state.computed = Computed.of(unit, scale * batches)
    state.evaluations = [
        dataclasses.replace(each, gradients=scale * each.gradients) for each in state.evaluations
    ]


def _buffers_record(weights: Weights) -> dict[str, Any]:
    return {"hidden": weights.hidden, "names": weights.buffers}


def _weights_from(state: dict[str, Any], record: dict[str, Any]) -> Weights:
    """Return weights from a stored state dict and the record of buffers stored beside it."""
    buffers = record.get("buffers") or {"hidden": {}, "names": []}
    return Weights(dict(state), dict(buffers["hidden"]), list(buffers["names"]))


def _settings(state: State) -> dict[str, Any]:
    """Return the settings that must be the same when a run is resumed, as plain data."""
    recipe = state.recipe
    settings: dict[str, Any] = {
        field.name: getattr(recipe, field.name)
        for field in dataclasses.fields(recipe)
        if field.name not in _FREE
        and (field.name not in _LATER or getattr(recipe, field.name) != _LATER[field.name])
    }
    settings["lr"] = _plain(recipe.rate)
    settings["early_stopping"] = (
        None if recipe.early_stopping is None else str(recipe.early_stopping)
    )
    settings["stop_at"] = None if recipe.stop_at is None else str(recipe.stop_at)
    settings["task"] = recipe.task.name
    cost = recipe.task.cost
    settings["loss"] = cost.surrogate.name
    settings["metrics"] = [metric.name for metric in cost.measures]
    settings["penalty"] = _penalty_name(cost.penalty)
    settings["training rows"] = state.train.rows
    settings["optimizer"] = type(state.optimizer).__name__
    settings["scheduler"] = None if state.scheduler is None else type(state.scheduler).__name__
    given = getattr(recipe.optimizer, "keywords", {})  # of a functools.partial
    settings |= {
        f"{_OF_OPTIMIZER}{name}": _plain(given[name]) if is_schedule(given.get(name)) else value
        for name, value in state.defaults.items()
        if value is None or isinstance(value, (bool, int, float, str))
    }
    return settings


def _plain(rate: Any) -> Any:
    """Return a learning rate as plain data; of a schedule its text, without an address in memory."""
    if not is_schedule(rate):
        return rate
    text = repr(rate)
    return getattr(rate, "__qualname__", type(rate).__name__) if " at 0x" in text else text


def _penalty_name(penalty: object) -> str:
    """Return a penalty as text, without the memory address in the text of a function."""
    if isinstance(penalty, Penalties):
        return " + ".join(_penalty_name(term) for term in penalty.terms)
    return getattr(penalty, "__name__", None) or str(penalty)


def _check_settings(path: Path, stored: dict[str, Any], current: dict[str, Any]) -> None:
    names = [*stored, *(name for name in current if name not in stored)]
    if stored.get("optimizer") != current.get("optimizer"):  # then its settings differ as well
        names = [name for name in names if not name.startswith(_OF_OPTIMIZER)]
    differences = [
        f"{name}: {stored.get(name)!r} in the checkpoint, {current.get(name)!r} now"
        for name in names
        if stored.get(name) != current.get(name)
    ]
    if differences:
        raise CheckpointError(
            f"The checkpoint {path} is of another recipe. {'; '.join(differences)}. Use the same "
            "settings, or another file."
        )


def _load_model(path: Path, state: State, weights: Weights) -> None:
    weights.make_buffers(state.model)
    problems = _model_problems(weights, state.model)
    if problems:
        raise CheckpointError(
            f"The checkpoint {path} is of another model: {'; '.join(problems[:5])}."
        )
    try:
        weights.put(state.model)
    except Exception as error:  # the model's own functions: anything can be wrong in them
        raise CheckpointError(
            f"The model does not take what the checkpoint {path} holds. {blame(error)}"
        ) from error


def _model_problems(weights: Weights, model: nn.Module) -> list[str]:
    """Return how the weights differ from those of `model`, in names, types and shapes."""
    now = Weights.of(model)
    problems = []
    for stored, current in ((weights.state, now.state), (weights.hidden, now.hidden)):
        problems += _key_problems(stored, current)
        problems += [
            f"{name} is {kind_of(stored[name])} in the checkpoint, {kind_of(value)} in the model"
            for name, value in current.items()
            if name in stored
            and isinstance(value, Tensor)
            and kind_of(stored[name]) != kind_of(value)
        ]
    return problems


def _load_optimizer(path: Path, state: State, stored: dict[str, Any]) -> None:
    try:
        state.optimizer.load_state_dict(stored)
    except _MALFORMED as error:
        raise CheckpointError(f"The checkpoint {path} is of another optimizer: {error}") from error
    _keep_dtypes(state.optimizer, stored)


def _keep_dtypes(optimizer: torch.optim.Optimizer, stored: dict[str, Any]) -> None:
    """Give the optimizer's state its own dtypes back: PyTorch casts it to the parameters' on
    loading.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    keys = [key for group in stored["param_groups"] for key in group["params"]]
    for parameter, key in zip(parameters, keys, strict=True):
        loaded = optimizer.state.get(parameter, {})
        for name, value in stored["state"].get(key, {}).items():
            got = loaded.get(name)
            if isinstance(value, Tensor) and isinstance(got, Tensor) and got.dtype != value.dtype:
                loaded[name] = value.to(got.device)


def _key_problems(stored: Iterable[str], current: Iterable[str]) -> list[str]:
    here, there = set(current), set(stored)
    return [f"{name} is only in the model" for name in sorted(here - there)] + [
        f"{name} is only in the checkpoint" for name in sorted(there - here)
    ]
