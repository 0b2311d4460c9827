"""The records of a race: one line of JSON for each finished trial, appended and flushed at once.

A trial is one training run: one entrant, one learning rate, one seed. Its record is written the
moment it ends, in a single appended line that is forced to the disk, so that whatever stops a race
leaves every finished trial readable. The file may hold trials of several configurations: each line
carries the key of the configuration that produced it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from thalweg.errors import TaskError, sentence
from thalweg.files import append_bytes
from thalweg.numeric import without_nonfinite
from thalweg.reading import UnreadableError, is_count, is_number, parse_json, read_lines

FAULTS = (Exception, SystemExit)
"""Exceptions of a user's code that fail one trial, not the race."""

Status = Literal["finished", "diverged", "failed"]
Stage = Literal["tuning", "target", "runoff", "final"]
"""What a trial is for: to find points, to set the target, to choose among close points, to judge."""

_STATUSES = ("finished", "diverged", "failed")
_STAGES = ("tuning", "target", "runoff", "final")
_VERSION = 2


@dataclass(frozen=True)
class Curve:
    """The learning curve of a trial: what each evaluation on the validation set gave.

    `steps` counts updates, `seconds` is the training time until then without the time of
    evaluation, `gradients` what was computed until then in gradient-equivalents; `loss` and
    `metric` are of the validation set. A value that is not finite is held as None.
    """

    epochs: tuple[int, ...] = ()
    steps: tuple[int, ...] = ()
    seconds: tuple[float, ...] = ()
    gradients: tuple[float, ...] = ()
    loss: tuple[float | None, ...] = ()
    metric: tuple[float | None, ...] = ()


@dataclass(frozen=True)
class TrialRecord:
    """The outcome of one trial.

    `lr` and `hyperparameters` are the point that was tried. `final` is the validation metric after
    the last epoch, None when the trial diverged or failed; `error` then says why. `gradients` is
    the cost in gradient-equivalents of `unit` rows each; without a unit, as in records of earlier
    versions, each batch counted 1. `batch_size` is the entrant's own, or "race". `stacked` is the
    number of models that trained together with it, itself included: 1 for a run of its own, whose
    `seconds` then mean what they say.
    """

    key: str
    entrant: str
    lr: float
    seed: int
    status: Status
    hyperparameters: dict[str, Any] = field(default_factory=dict)
    stage: Stage = "tuning"
    epochs: int = 0
    steps: int = 0
    seconds: float = 0.0
    gradients: float = 0.0
    final: float | None = None
    error: str | None = None
    stacked: int = 1
    batch_size: int | Literal["race"] | None = "race"
    unit: int | None = None
    curve: Curve = field(default_factory=Curve)

    def to_dict(self) -> dict[str, Any]:
        """Return the record as JSON-ready values, without NaN and infinity."""
        # asdict would copy each number of the curve first, which takes six times as long
        plain: dict[str, Any] = without_nonfinite({**vars(self), "curve": vars(self.curve)})
        return {"version": _VERSION, **plain}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TrialRecord:
        """Read back what `to_dict` wrote; raise ValueError for anything else."""
        if not isinstance(values, dict):
            raise ValueError("a trial record that is not an object")
        if values.get("version") != _VERSION:
            raise ValueError(f"a trial record of version {values.get('version')!r}, not {_VERSION}")
        if values.get("status") not in _STATUSES:
            raise ValueError(f"a trial record of status {values.get('status')!r}")
        names = cls.__dataclass_fields__.keys()
        known = {name: value for name, value in values.items() if name in names}
        try:
            columns = known.pop("curve", {})
            if not isinstance(columns, dict) or not all(map(_is_list, columns.values())):
                raise TypeError("its curve is not one of lists")
            curve = {name: tuple(column) for name, column in columns.items()}
            record = cls(**known, curve=Curve(**curve))
        except TypeError as error:
            raise ValueError(f"an incomplete trial record: {error}") from None
        if not record.is_whole():
            raise ValueError("a trial record with parts of the wrong kind")
        return record

    def is_whole(self) -> bool:
        """Return whether each field has the right type: the file may have been edited."""
        curve = self.curve
        columns = list(vars(curve).values())
        final = [] if self.final is None else [self.final]
        figures = [value for value in (*curve.loss, *curve.metric) if value is not None]
        return (
            all(isinstance(text, str) for text in (self.key, self.entrant, self.error or ""))
            and all(map(is_count, (self.seed, self.epochs, self.steps)))
            and is_count(self.stacked, 1)
            and (self.batch_size in (None, "race") or is_count(self.batch_size, 1))
            and (self.unit is None or is_count(self.unit, 1))
            and all(map(is_number, (self.lr, *final, *figures)))
            and all(map(_is_cost, (self.seconds, self.gradients)))
            and isinstance(self.hyperparameters, dict)
            and self.stage in _STAGES
            and len({len(column) for column in columns}) == 1
            and all(map(is_count, (*curve.epochs, *curve.steps)))
            and all(map(_is_cost, (*curve.seconds, *curve.gradients)))
            and list(curve.steps) == sorted(curve.steps)
        )


@dataclass(frozen=True)
class RecordFile:
    """An append-only file of trial records.

    Example:
        >>> import tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> records = RecordFile(Path(folder.name) / "records.jsonl")
        >>> records.append(TrialRecord("k", "adam", 1e-3, seed=0, status="finished", final=0.97))
        >>> [record.entrant for record in records.read()]
        ['adam']
        >>> folder.cleanup()
    """

    path: Path

    def append(self, *records: TrialRecord) -> None:
        """Add records that ended together, and return when they are on the disk.

        The lines go out in a single write to a file opened for appending, so that two races may
        share the file.

        Raises:
            OSError: if they cannot be written, also where the file is a link or no file.
        """
        lines = "".join(
            json.dumps(record.to_dict(), allow_nan=False, separators=(",", ":")) + "\n"
            for record in records
        )
        append_bytes(self.path, lines.encode(), separator=b"\n")

    def check(self) -> None:
        """Raise OSError if no record could be added."""
        append_bytes(self.path, b"")

    def read(self) -> tuple[TrialRecord, ...]:
        """Return every readable record, in the order written.

        A line that was torn by a kill in the middle of a write is passed over: its trial never
        finished. So is a line that was edited into something else.

        Raises:
            TaskError: for what cannot be read as a file at all.
        """
        records = []
        try:
            for line in read_lines(self.path):
                try:
                    records.append(TrialRecord.from_dict(parse_json(line)))
                except ValueError:  # torn, or not a record of this version
                    continue
        except FileNotFoundError:
            return ()
        except UnreadableError as error:
            raise TaskError(
                f"The records in {self.path} cannot be read: {sentence(error)} Move it away, or race into "
                "another folder."
            ) from None
        return tuple(records)

    def set_aside(self) -> None:
        """Give an existing file another name, with a number, so that the next record begins a new
        one.
        """
        if not os.path.lexists(self.path):
            return
        number = 1
        while os.path.lexists(aside := self.path.with_suffix(f".{number}{self.path.suffix}")):
            number += 1
        self.path.rename(aside)


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _is_cost(value: Any) -> bool:
    return is_number(value) and value >= 0
