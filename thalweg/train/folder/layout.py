"""What a run's folder holds, as names of files and as plain data.

| file | content |
|---|---|
| `run.json` | recipe, versions, seed; how the run ended, and its figures |
| `history.jsonl` | a line for each epoch and each evaluation, written when it ended |
| `model.safetensors` | the weights of the model, where it is to be used |
| `checkpoint.safetensors` | all that the run needs to be resumed |
| `checkpoint.stage-1.safetensors` | likewise of each stage, where a strategy has several |
| `gauges.safetensors` | norms by step, parameter and layer, where they were recorded |
| `path.safetensors` | the parameters at some of its steps, where they were kept |
| `report.html` | a page on the run, once it is drawn |

JSON holds neither NaN nor infinity: both are null.
"""

from __future__ import annotations

import dataclasses
import datetime
import functools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from thalweg.errors import CheckpointError
from thalweg.numeric import is_schedule, without_nonfinite
from thalweg.tasks.by_name.files import is_in_file
from thalweg.tasks.data import SPLITS
from thalweg.train.history import (
    Epoch,
    Evaluation,
    History,
    epoch_from,
    epoch_record,
    evaluation_from,
    evaluation_record,
)
from thalweg.train.machine.versions import machine_name, versions
from thalweg.train.optimizers.known import name_of

SCHEMA = "thalweg.run/1"
RUN, HISTORY, MODEL, REPORT = "run.json", "history.jsonl", "model.safetensors", "report.html"
CHECKPOINT = "checkpoint.safetensors"
GAUGES = "gauges.safetensors"
PATH = "path.safetensors"
STAGE_CHECKPOINTS = "checkpoint.stage-*.safetensors"
FILES = (RUN, HISTORY, MODEL, CHECKPOINT, GAUGES, PATH, REPORT)
"""All that a run writes into its folder."""
_PLAIN = (bool, int, float, str, type(None))


class Recorded(Protocol):
    """A recipe, as far as it is written down: a data class with these fields, and others."""

    @property
    def task(self) -> Any:
        """What is learned, a `Task`."""

    @property
    def optimizer(self) -> Any:
        """The optimizer as it was given."""

    @property
    def hyperparameters(self) -> Mapping[str, Any]:
        """Those that were given with it."""


class Ended(Protocol):
    """A run that has ended, as far as it is written down."""

    @property
    def recipe(self) -> Recorded:
        """What it followed."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    history: History
    evaluations: list[Evaluation]
    steps: int
    seconds: float
    gradients: float
    stopped: str
    best: Epoch | None
    reached: Any


def beginning(recipe: Recorded, optimizer: torch.optim.Optimizer, model: Any) -> dict[str, Any]:
    """Return the record of a run that begins."""
    return {
        "schema": SCHEMA,
        "status": "running",
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "task": _task(recipe.task),
        "recipe": _recipe(recipe),
        "optimizer": {"class": type(optimizer).__name__, "defaults": _plain(optimizer.defaults)},
        "model": {
            "class": type(model).__name__,
            "parameters": sum(p.numel() for p in model.parameters()),
        },
        "threads": torch.get_num_threads(),
        "machine": machine_name(),
        "versions": versions(),
    }


def ending(run: Ended, results: dict[str, dict[str, float]] | None = None) -> dict[str, Any]:
    """Return what is added to the record when a run has ended."""
    document: dict[str, Any] = {
        "status": "ended",
        "stopped": run.stopped,
        "epochs": len(run.history),
        "steps": run.steps,
        "seconds": run.seconds,
        "gradients": run.gradients,
        "best": None if run.best is None else run.best.epoch,
        "reached": None if run.reached is None else dataclasses.asdict(run.reached),
        "results": results or {},
    }
    plain: dict[str, Any] = without_nonfinite(document)
    return plain


def epoch_line(record: Epoch) -> dict[str, Any]:
    """Return the line of an epoch."""
    return {"kind": "epoch", **without_nonfinite(epoch_record(record))}


def evaluation_line(record: Evaluation) -> dict[str, Any]:
    """Return the line of an evaluation."""
    return {"kind": "evaluation", **without_nonfinite(evaluation_record(record))}


def line_read(values: Any) -> Epoch | Evaluation | None:
    """Return what a line of the history stands for; None for a kind of a later version.

    Raises TypeError, ValueError or KeyError if it is not one.
    """
    if not isinstance(values, dict):
        raise TypeError("a line that is not an object")
    kind = values.get("kind")
    whole = _with_nan(values)
    if kind == "epoch":
        return epoch_from(whole)
    return evaluation_from(whole) if kind == "evaluation" else None


def check_record(document: Any) -> dict[str, Any]:
    """Return the record of a run; raise CheckpointError for another document."""
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        found = document.get("schema") if isinstance(document, dict) else type(document).__name__
        raise CheckpointError(f"it has the schema {found!r:.60}, not {SCHEMA!r}")
    for name, kind in (("status", str), ("task", dict), ("recipe", dict), ("versions", dict)):
        if not isinstance(document.get(name), kind):
            raise CheckpointError(f"it lacks {name!r}, or it was edited")
    return document


def _with_nan(values: dict[str, Any]) -> dict[str, Any]:
    """Return a line with NaN where a figure is null."""
    scores = {
        name: _scores(values[name])
        for name in ("train", "validation", "scores")
        if isinstance(values.get(name), dict)
    }
    lr = {"lr": math.nan} if "lr" in values and values["lr"] is None else {}
    return {**values, **lr, **scores}


def _scores(values: dict[str, Any]) -> dict[str, Any]:
    metrics = {k: math.nan if v is None else v for k, v in dict(values["metrics"]).items()}
    figures = {k: math.nan if values[k] is None else values[k] for k in ("loss", "penalty")}
    return {**figures, "metrics": metrics}


def _task(task: Any) -> dict[str, Any]:
    cost = task.cost
    return {
        "name": task.name,
        "spec": task.spec,
        "description": task.description,
        "loss": cost.surrogate.name,
        "metrics": [measure.name for measure in cost.measures],
        "penalty": None if cost.penalty is None else type(cost.penalty).__name__,
        "target": None if task.target is None else str(task.target),
        "rows": {
            name: getattr(task.data, name).rows
            for name in SPLITS
            if getattr(task.data, name) is not None
        },
    }


def _recipe(recipe: Recorded) -> dict[str, Any]:
    """Return the settings as plain data: numbers and texts as they are, the rest in words."""
    fields = {f.name: getattr(recipe, f.name) for f in dataclasses.fields(recipe)}  # type: ignore[arg-type]
    for name in ("task", "optimizer", "hyperparameters"):
        fields.pop(name)
    optimizer = recipe.optimizer
    given = optimizer.keywords if isinstance(optimizer, functools.partial) else {}
    return {
        "optimizer": _text(optimizer) if isinstance(optimizer, str) else name_of(optimizer),
        "by_name": isinstance(optimizer, str),
        "hyperparameters": _plain({**given, **recipe.hyperparameters}),
        **_plain(fields),
    }


def _text(name: str) -> str:
    """Return the name of an optimizer in lower case; one of a file with the whole path, as that of a task."""
    if not is_in_file(name):
        return name.lower()
    home, _, own = name.partition(":")
    return f"{Path(home).resolve()}:{own}"


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = without_nonfinite({k: _value(v) for k, v in values.items()})
    return plain


def _value(value: Any) -> Any:
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, (tuple, list)):
        return [_value(each) for each in value]
    if isinstance(value, torch.Tensor) and value.numel() == 1 and not value.is_complex():
        return value.item()
    if is_schedule(value) or callable(value):
        text = repr(value)
        return getattr(value, "__qualname__", type(value).__name__) if " at 0x" in text else text
    return str(value)
