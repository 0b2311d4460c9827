"""The log of a run for TensorBoard."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from thalweg.errors import MissingExtraError
from thalweg.train.folder.writing import free_folder
from thalweg.train.loggers.logger import Logger, LogRow, Opening


class TensorBoard(Logger):
    """Logs a run for TensorBoard: `fit(…, callbacks=[TensorBoard()])`, then `tensorboard --logdir FOLDER`.

    Each run gets a folder of its own below `folder`, named by task and optimizer. What a killed run had
    logged after its last checkpoint is hidden once it is resumed. `Logger` says what is logged; how the
    run ended is a text, `stopped`.

    Raises:
        MissingExtraError: the package tensorboard is not installed.
    """

    def __init__(
        self, folder: str | os.PathLike[str] = "logs/tensorboard", *, every: int = 10
    ) -> None:
        super().__init__(folder, every)
        try:
            from tensorboard.compat.proto import event_pb2, summary_pb2
            from torch.utils import tensorboard
        except ImportError:
            raise MissingExtraError("tensorboard", "A log for TensorBoard", "tensorboard") from None
        self._events: Any = event_pb2
        self._summaries: Any = summary_pb2
        self._package: Any = tensorboard

    def open(self, opening: Opening) -> str:
        """Open an event file; return the run's folder."""
        home = Path(opening.key) if opening.key else free_folder(self.folder, opening.name)
        home.mkdir(parents=True, exist_ok=True)
        # What SummaryWriter would write, without its thread and queue: a tenth of the time.
        now = time.time_ns()  # TensorBoard reads files in the order of their names
        name = f"events.out.tfevents.{now // 10**9:010}.{socket.gethostname()}.{now}.{os.getpid()}"
        self._file = (home / name).open("xb")
        self._records = self._package.RecordWriter(self._file)
        self._put(file_version="brain.Event:2")
        if opening.key:  # hide what was logged from here on, before the run was killed
            begins = self._events.SessionLog(status=self._events.SessionLog.START)
            self._put(step=opening.step + 1, session_log=begins)
        else:
            rows = [f"| {name} | {value} |" for name, value in opening.hyperparameters.items()]
            table = "\n".join(["| hyperparameter | value |", "|---|---|", *rows])
            make = self._package.summary
            self._put(summary=make.text("hyperparameters", table))
            for summary in make.hparams(dict(opening.hyperparameters), {}):
                self._put(summary=summary)
        self._file.flush()
        return str(home)

    def write(self, rows: Sequence[LogRow]) -> None:
        """Write an event for each row."""
        summary, value = self._summaries.Summary, self._summaries.Summary.Value
        for row in rows:
            values = [value(tag=name, simple_value=number) for name, number in row.figures.items()]
            self._put(step=row.step, wall_time=row.time, summary=summary(value=values))
        self._file.flush()

    def close(self, stopped: str, figures: Mapping[str, float]) -> None:
        """Say how the run ended, and close the file."""
        self._put(summary=self._package.summary.text("stopped", stopped))
        self._file.close()

    def _put(self, wall_time: float | None = None, **content: Any) -> None:
        when = time.time() if wall_time is None else wall_time
        self._records.write(self._events.Event(wall_time=when, **content).SerializeToString())
