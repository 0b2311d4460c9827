"""Writes the parts of a run's folder, and the whole of it once the run is done."""

from __future__ import annotations

import itertools
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from thalweg.errors import CheckpointError, sentence
from thalweg.files import AppendedFile, atomic_path, write_bytes, write_text
from thalweg.train.folder.layout import (
    FILES,
    HISTORY,
    MODEL,
    RUN,
    STAGE_CHECKPOINTS,
    Ended,
    beginning,
    ending,
    epoch_line,
    evaluation_line,
)
from thalweg.train.history import Epoch, Evaluation

_LINES = json.JSONEncoder(allow_nan=False, separators=(",", ":"))


def save_run(
    run: Ended, path: str | os.PathLike[str], results: dict[str, dict[str, float]] | None = None
) -> Path:
    """Write a finished run into a folder that holds none; return the folder.

    Raises:
        CheckpointError: the folder holds a run, or cannot be written to.
    """
    folder = Path(path)
    check_free(folder)
    write_weights(folder / MODEL, run.model)
    write_history(folder, run.history, run.evaluations)
    begun = beginning(run.recipe, run.optimizer, run.model)
    write_record(folder, begun | ending(run, results))  # last: a folder without it holds no run
    return folder


def check_free(folder: Path) -> None:
    """Raise CheckpointError where a folder holds a run: nothing is written over an older one."""
    if (folder / RUN).exists():
        raise CheckpointError(
            f"The folder {folder} already holds a run. Give another one, go on with it "
            "(--resume), or remove it first."
        )
    if folder.exists() and not folder.is_dir():
        raise CheckpointError(f"{folder} is to be the folder of a run, and is a file.")


def free_folder(parent: str | os.PathLike[str], name: str) -> Path:
    """Make and return a folder of its own for a run: runs/NAME-1, or the next number that is free.

    It is made at once, so that two runs that begin together get two.

    Raises:
        CheckpointError: it cannot be made.
    """
    # a task's name may hold what a file's name cannot
    stem = re.sub(r"[^\w.+-]+", "-", name)[:80].strip("-.") or "run"
    for number in itertools.count(1):
        folder = Path(parent) / f"{stem}-{number}"
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise CheckpointError(
                f"The folder {folder} cannot be made: {error.strerror or error}. Name another one."
            ) from error
        return folder
    raise AssertionError("the numbers do not end")


def remove_run(folder: Path) -> list[str]:
    """Remove the files of a run, and its folder if nothing else is in it; return what is left.

    A link is removed, and what it leads to is not.
    """
    for file in (*(folder / name for name in FILES), *folder.glob(STAGE_CHECKPOINTS)):
        file.unlink(missing_ok=True)
    left = sorted(each.name for each in folder.iterdir())
    if not left:
        folder.rmdir() if not folder.is_symlink() else folder.unlink()
    return left


def write_record(folder: Path, record: dict[str, Any]) -> None:
    """Write `run.json`, whole."""
    write_text(folder / RUN, json.dumps(record, indent=1, allow_nan=False) + "\n")


def write_history(
    folder: Path, history: Iterable[Epoch], evaluations: Iterable[Evaluation]
) -> None:
    """Write `history.jsonl`, whole: the lines in the order in which they came to be."""
    measured = list(evaluations)
    lines: list[dict[str, Any]] = []
    for record in history:
        while measured and measured[0].step <= record.step:
            lines.append(evaluation_line(measured.pop(0)))
        lines.append(epoch_line(record))
    lines += [evaluation_line(each) for each in measured]
    text = "".join(f"{_text(line)}\n" for line in lines)
    write_bytes(folder / HISTORY, text.encode())


def write_weights(path: Path, model: nn.Module) -> None:
    """Write the state dict of a model as safetensors, which any program reads.

    Names that share memory, as tied weights do, get a copy each. What is not a tensor, a module's extra
    state, is left out: the checkpoint has it.

    Raises:
        CheckpointError: it cannot be written.
    """
    state = {
        name: _storable(value)
        for name, value in model.state_dict().items()
        if isinstance(value, Tensor)
    }
    try:
        with atomic_path(path) as temporary:
            save_file(state, temporary, {"format": "pt"})
    except (ValueError, RuntimeError, OSError) as error:
        raise CheckpointError(f"The weights {path} cannot be written: {sentence(error)}") from error


def _storable(value: Tensor) -> Tensor:
    plain = value.detach().cpu().resolve_conj().resolve_neg()
    if plain.layout is not torch.strided:
        plain = plain.to_dense()
    return plain.clone(memory_format=torch.contiguous_format)


class HistoryLog:
    """`history.jsonl` of a run that trains: a line is added at once, to a file that stays open.

    The disk may take it later: a checkpoint waits for it.
    """

    def __init__(self, folder: Path) -> None:
        self._file = AppendedFile(folder / HISTORY)

    def add(self, line: dict[str, Any]) -> None:
        """Add a line."""
        self._file.append(_text(line).encode() + b"\n", separator=b"\n", flush=False)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _text(line: dict[str, Any]) -> str:
    return _LINES.encode(line)
