"""The log of a run for TensorBoard."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from thalweg.errors import MissingExtraError
from thalweg.train.folder.writing import free_folder
from thalweg.train.loggers.logger import Logger, Opening


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
            from torch.utils import tensorboard
        except ImportError:
            raise MissingExtraError("tensorboard", "A log for TensorBoard", "tensorboard") from None
        self._package: Any = tensorboard

    def open(self, opening: Opening) -> str:
        """Open an event file; return the run's folder."""
        home = Path(opening.key) if opening.key else free_folder(self.folder, opening.name)
        purge = opening.step + 1 if opening.key else None
        self._writer = self._package.SummaryWriter(str(home), purge_step=purge)
        if not opening.key:
            rows = [f"| {name} | {value} |" for name, value in opening.hyperparameters.items()]
            table = "\n".join(["| hyperparameter | value |", "|---|---|", *rows])
            self._writer.add_text("hyperparameters", table)
            for summary in self._package.summary.hparams(dict(opening.hyperparameters), {}):
                self._writer.file_writer.add_summary(summary)
        return str(home)

    def log(self, figures: Mapping[str, float], step: int) -> None:
        """Log figures at a step."""
        for name, value in figures.items():
            self._writer.add_scalar(name, value, step)

    def flush(self) -> None:
        """Write the events so far."""
        self._writer.flush()

    def close(self, stopped: str, figures: Mapping[str, float]) -> None:
        """Say how the run ended, and close the file."""
        self._writer.add_text("stopped", stopped)
        self._writer.close()
