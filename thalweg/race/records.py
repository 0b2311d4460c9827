"""The records of a race: one line of JSON for each finished trial, appended and flushed at once.

A trial is one training run: one entrant, one learning rate, one seed. Its record is written the
moment it ends, in a single appended line that is forced to the disk, so that whatever stops a race
leaves every finished trial readable. The file may hold trials of several configurations: each line
carries the key of the configuration that produced it.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Status = Literal["finished", "diverged", "failed"]
Stage = Literal["tuning", "final"]

_STATUSES = ("finished", "diverged", "failed")
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
    """What one trial gave.

    `lr` and `hyperparameters` are the point that was tried. `final` is the validation metric after
    the last epoch, None when the trial diverged or failed; `error` then says why. `gradients` is
    the cost in gradient-equivalents. `stacked` is the number of models that trained together with
    it, itself included: 1 for a run of its own, whose `seconds` then mean what they say.
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
    curve: Curve = field(default_factory=Curve)

    def to_dict(self) -> dict[str, Any]:
        """Return the record as JSON-ready values, without NaN and infinity."""
        # asdict would copy each number of the curve first, which takes six times as long
        plain: dict[str, Any] = without_nonfinite({**vars(self), "curve": vars(self.curve)})
        return {"version": _VERSION, **plain}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TrialRecord:
        """Read back what `to_dict` wrote; raise ValueError for anything else."""
        if values.get("version") != _VERSION:
            raise ValueError(f"a trial record of version {values.get('version')!r}, not {_VERSION}")
        if values.get("status") not in _STATUSES:
            raise ValueError(f"a trial record of status {values.get('status')!r}")
        names = cls.__dataclass_fields__.keys()
        known = {name: value for name, value in values.items() if name in names}
        try:
            curve = {name: tuple(column) for name, column in dict(known.pop("curve", {})).items()}
            record = cls(**known, curve=Curve(**curve))
        except TypeError as error:
            raise ValueError(f"an incomplete trial record: {error}") from None
        if not record.is_whole():
            raise ValueError("a trial record with parts of the wrong kind")
        return record

    def is_whole(self) -> bool:
        """Return whether each part is of its kind, which it may not be in a file that was edited."""
        columns = list(vars(self.curve).values())
        final = [] if self.final is None else [self.final]
        held = [value for column in columns for value in column if value is not None]
        return (
            all(isinstance(text, str) for text in (self.key, self.entrant))
            and all(isinstance(n, int) for n in (self.seed, self.epochs, self.steps, self.stacked))
            and all(map(_is_number, (self.lr, self.seconds, self.gradients, *final, *held)))
            and isinstance(self.hyperparameters, dict)
            and self.stage in ("tuning", "final")
            and len({len(column) for column in columns}) == 1
            and all(value is not None for column in columns[:4] for value in column)
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
        """
        lines = "".join(
            json.dumps(record.to_dict(), allow_nan=False, separators=(",", ":")) + "\n"
            for record in records
        )
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self._ends_torn():
            lines = "\n" + lines
        try:
            self._write(lines)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.path)) from None

    def _write(self, lines: str) -> None:
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        with open(descriptor, "ab") as file:
            file.write(lines.encode())
            file.flush()
            os.fsync(file.fileno())

    def read(self) -> tuple[TrialRecord, ...]:
        """Return every readable record, in the order written.

        A line that was torn by a kill in the middle of a write is passed over: its trial never
        finished.
        """
        if not self.path.exists():
            return ()
        records = []
        for line in self.path.read_bytes().split(b"\n"):
            try:
                records.append(TrialRecord.from_dict(json.loads(line)))
            except (ValueError, AttributeError):  # torn, or not a record of this version
                continue
        return tuple(records)

    def by_key(self, keys: Iterable[str]) -> dict[str, TrialRecord]:
        """Return the records of the given configurations; of several for the same one, the last."""
        wanted = set(keys)
        return {record.key: record for record in self.read() if record.key in wanted}

    def set_aside(self) -> None:
        """Give an existing file another name, with a number, so that the next record begins a new
        one.
        """
        if not self.path.exists():
            return
        number = 1
        while (aside := self.path.with_suffix(f".{number}{self.path.suffix}")).exists():
            number += 1
        self.path.rename(aside)

    def _ends_torn(self) -> bool:
        try:
            with self.path.open("rb") as file:
                if file.seek(0, os.SEEK_END) == 0:
                    return False
                file.seek(-1, os.SEEK_END)
                return file.read(1) != b"\n"
        except FileNotFoundError:
            return False


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def without_nonfinite(value: Any) -> Any:
    """Replace NaN and infinity, which JSON cannot hold, by None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: without_nonfinite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_nonfinite(item) for item in value]
    return value
