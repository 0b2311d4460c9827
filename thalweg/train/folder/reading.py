"""Reads the folder of a run: its record and history, and with its task the trained model."""

from __future__ import annotations

import functools
import os
import re
from html import escape
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from thalweg.errors import CheckpointError, TaskError, sentence, suggest
from thalweg.reading import UnreadableError, parse_json, read_json, read_lines
from thalweg.tasks import load_task
from thalweg.tasks.task import Task
from thalweg.train.folder.layout import (
    CHECKPOINT,
    HISTORY,
    MODEL,
    RUN,
    STAGE_CHECKPOINTS,
    check_record,
    line_read,
)
from thalweg.train.history import Epoch, Evaluation, History
from thalweg.train.restored.randomness import isolated, seed_weights
from thalweg.train.trained.trained import Trained


class SavedRun(Trained):
    """A run as its folder holds it; `load_run` reads it.

    `record` is what `run.json` holds, as plain data: recipe, versions, how it ended. `history` and
    `evaluations` are those of the run, up to the last line that was written whole. Task and model are
    made when they are first asked for.
    """

    def __init__(
        self,
        folder: Path,
        record: dict[str, Any],
        history: History,
        evaluations: list[Evaluation],
        task: Task | None,
    ) -> None:
        self.folder = folder
        self.record = record
        self.history = history
        self.evaluations = evaluations
        self._task = task

    def __repr__(self) -> str:
        return f"SavedRun({str(self.folder)!r}, {self.optimizer_name}, {self.state})"

    def _repr_html_(self) -> str:
        """What notebooks show: where the run is, why it ended, and its epochs."""
        return f"<p><code>{escape(repr(self))}</code></p>{self.history._repr_html_()}"

    @property
    def name(self) -> str:
        """The name of the folder."""
        return self.folder.name

    @property
    def task_name(self) -> str:
        """The name of the task."""
        return str(self.record["task"].get("name"))

    @property
    def optimizer_name(self) -> str:
        """The name of the optimizer."""
        return str(self.record["recipe"].get("optimizer"))

    @property
    def state(self) -> str:
        """Why the run ended, in a word or two; "running or killed" where its record does not say."""
        ended = self.record["status"] == "ended"
        return str(self.record.get("stopped")) if ended else "running or killed"

    @functools.cached_property
    def task(self) -> Task:
        """The task that was learned: as given, or loaded again from where it came."""
        if self._task is not None:
            return self._task
        spec = self.record["task"].get("spec")
        if not isinstance(spec, str):
            raise TaskError(
                f"The task of {self.folder} was made in Python, so it cannot be loaded again. Give it: "
                "load_run(folder, task=…)."
            )
        return load_task(spec)

    @functools.cached_property
    def model(self) -> nn.Module:  # type: ignore[override]  # made when it is first asked for
        """The trained model, in evaluation mode."""
        file = self.folder / MODEL
        if not file.is_file():
            raise CheckpointError(
                f"The folder {self.folder} has no {MODEL}: the run has not ended. Go on with it, or "
                "read its checkpoint by fit(…, checkpoint=folder, resume=True)."
            )
        with isolated():
            seed_weights(0, torch.device("cpu"))
            model = self.task.bare()
        try:
            _put(load_file(file), model)
        except (SafetensorError, OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
            raise CheckpointError(
                f"The weights {file} do not fit the model of task {self.task.name!r}, or are "
                f"damaged: {error}"
            ) from error
        return model.eval()


def _put(weights: dict[str, Any], model: nn.Module) -> None:
    """Load weights into a model; a module's extra state, which no such file holds, may be missing."""
    missing, unexpected = model.load_state_dict(weights, strict=False)
    missing = [name for name in missing if not name.endswith("_extra_state")]
    if missing or unexpected:
        raise ValueError(f"missing: {missing[:5]}, of another model: {unexpected[:5]}.")


def load_run(path: str | os.PathLike[str], task: Task | None = None) -> SavedRun:
    """Return the run that a folder holds.

    Nothing in it is run: weights are tensors, the rest is text. The task is loaded when it is needed,
    from the name or file that the record gives, or it is `task`.

    Raises:
        CheckpointError: there is no run, or its record cannot be read.
    """
    folder = Path(path)
    try:
        record = check_record(read_json(folder / RUN))
    except FileNotFoundError:
        raise CheckpointError(
            f"There is no run in {folder}: it has no {RUN}."
            + ("" if folder.is_dir() else " There is no such folder.")
        ) from None
    except (UnreadableError, CheckpointError) as error:
        raise CheckpointError(
            f"The record {folder / RUN} is unreadable: {sentence(error)}"
        ) from error
    history, evaluations = _history(folder / HISTORY)
    return SavedRun(folder, record, history, evaluations, task)


def find_runs(parent: str | os.PathLike[str]) -> list[Path]:
    """Return the folders below `parent` that hold runs, by their names.

    Folders within a run's folder are not looked into.
    """
    folders = [each for each in Path(parent).glob("*") if (each / RUN).is_file()]
    return sorted(folders, key=lambda folder: _natural(folder.name))


def check_begun(folder: Path) -> None:
    """Raise TaskError where no run was begun: there is no such folder, or it holds other things.

    An empty folder may be of a run that was killed before it wrote anything, so a run can go on there.
    """
    if not folder.exists():
        beside = [each.name for each in find_runs(folder.parent)]
        hint = suggest(folder.name, beside) or (
            f" {folder.parent} holds the runs {_some(beside)}." if beside else ""
        )
        raise TaskError(
            f"There is no run at {folder} to go on with.{hint} Without --resume a run begins there."
        )
    if not folder.is_dir():
        raise TaskError(f"{folder} is to be the folder of a run, and is a file.")
    if any((folder / name).is_file() for name in (RUN, CHECKPOINT)):
        return
    # the name of a file that was being written when a run was killed begins with a dot
    there = sorted(each.name for each in folder.iterdir() if not each.name.startswith("."))
    if there and not any(folder.glob(STAGE_CHECKPOINTS)):
        raise TaskError(
            f"The folder {folder} holds no run to go on with, but {_some(there)}. Name the folder of a "
            "run, or begin one without --resume."
        )


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"{', '.join(names[:5])}{more}"


def _natural(name: str) -> list[tuple[int, int, str]]:
    """A key that puts run-10 after run-9."""
    parts = [part for part in re.split(r"([0-9]{1,18})", name) if part]
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]


def _history(path: Path) -> tuple[History, list[Evaluation]]:
    """Return the epochs and evaluations of a file, up to the first line that is not whole."""
    epochs: list[Epoch] = []
    evaluations: list[Evaluation] = []
    try:
        for line in read_lines(path):
            if not line:
                continue
            record = line_read(parse_json(line))
            if isinstance(record, Epoch):
                epochs.append(record)
            elif record is not None:
                evaluations.append(record)
    except FileNotFoundError:
        pass
    except (UnreadableError, ValueError, TypeError, KeyError, AttributeError):
        pass  # torn by a kill, or edited: what comes before it stands
    return History(epochs), evaluations
