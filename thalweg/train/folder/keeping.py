"""Keeps a run in its folder while it trains."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from thalweg.train.callbacks import Callback, Training
from thalweg.train.folder.layout import (
    HISTORY,
    MODEL,
    RUN,
    Ended,
    beginning,
    ending,
    epoch_line,
    evaluation_line,
)
from thalweg.train.folder.writing import (
    HistoryLog,
    check_free,
    write_history,
    write_record,
    write_weights,
)
from thalweg.train.history import Epoch, Evaluation


class RunFolder(Callback):
    """Writes a run into a folder while it trains: a line for each epoch and evaluation, when it ends.

    Args:
        path: the folder; it is made. One that holds a run already is only gone on with.
        resume: whether the run goes on from the checkpoint in it.

    Raises:
        CheckpointError: the folder holds a run and is not to be resumed, or cannot be written to.
    """

    def __init__(self, path: str | os.PathLike[str], *, resume: bool = False) -> None:
        self.path = Path(path)
        self.record: dict[str, Any] = {}
        self._log: HistoryLog | None = None
        if not resume:
            check_free(self.path)

    def start(self, training: Training) -> None:
        """Write the record of a run that begins, and the history that a checkpoint brought."""
        self.record = beginning(training.recipe, training.optimizer, training.model)
        write_record(self.path, self.record)
        write_history(self.path, training.history, training.evaluations)

    def evaluation(self, training: Training, evaluation: Evaluation) -> None:
        """Add the line of an evaluation."""
        self._add(evaluation_line(evaluation))

    def epoch(self, training: Training, record: Epoch) -> None:
        """Add the line of an epoch."""
        self._add(epoch_line(record))

    def end(self, training: Training) -> None:
        """Close the history."""
        if self._log is not None:
            self._log.close()
            self._log = None

    def _add(self, line: dict[str, Any]) -> None:
        if self._log is None:
            self._log = HistoryLog(self.path)
        self._log.add(line)

    def discard(self) -> None:
        """Remove what this object wrote: of a run that failed before an epoch was done."""
        for name in (RUN, HISTORY):
            (self.path / name).unlink(missing_ok=True)

    def finish(self, run: Ended, results: dict[str, dict[str, float]] | None = None) -> None:
        """Write the weights and how the run ended."""
        write_weights(self.path / MODEL, run.model)
        self.record |= ending(run, results)
        write_record(self.path, self.record)
