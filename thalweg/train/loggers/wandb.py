"""The log of a run for Weights & Biases."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from thalweg.errors import MissingExtraError
from thalweg.train.loggers.logger import Logger, LogRow, Opening


class WandB(Logger):
    """Logs a run for Weights & Biases, offline: `fit(…, callbacks=[WandB()])`.

    Nothing is sent anywhere: the log is a folder below `folder`, which `wandb sync` uploads where you want
    it to be. Each task is a project. A run that is resumed goes on in a second folder with the same id,
    which `wandb sync --append` adds to the first. `Logger` says what is logged; how the run ended is
    `stopped` of the summary.

    Args:
        folder: where the logs are.
        project: a name, instead of the task's.
        mode: "online" uploads the log while the run trains, to the account of `wandb login`.

    Raises:
        MissingExtraError: the package wandb is not installed.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str] = "logs/wandb",
        *,
        project: str | None = None,
        mode: Literal["offline", "online"] = "offline",
        every: int = 10,
    ) -> None:
        super().__init__(folder, every)
        self.project = project
        self.mode = mode
        if mode == "offline":  # reports of its own crashes; read when it is imported
            os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        try:
            import wandb
        except ImportError:
            raise MissingExtraError("wandb", "A log for Weights & Biases", "wandb") from None
        self._package: Any = wandb

    def open(self, opening: Opening) -> str:
        """Begin a run, or go on with one; return its id."""
        self.folder.mkdir(parents=True, exist_ok=True)
        online = self.mode == "online"
        self._run = self._package.init(
            project=self.project or opening.task,
            name=opening.name,
            id=opening.key or None,
            resume="allow" if opening.key and online else None,
            dir=str(self.folder),
            config=dict(opening.hyperparameters),
            mode=self.mode,
            reinit="create_new",  # leaves a run of the caller's alone
            settings=self._package.Settings(
                silent=True, console="off", x_disable_stats=True, disable_git=True
            ),
        )
        return str(self._run.id)

    def write(self, rows: Sequence[LogRow]) -> None:
        """Log figures at their steps."""
        for row in rows:
            self._run.log(dict(row.figures), step=row.step)

    def close(self, stopped: str, figures: Mapping[str, float]) -> None:
        """Say how the run ended, and close the log."""
        self._run.summary["stopped"] = stopped
        self._run.finish(exit_code=int(stopped in ("diverged", "failed")))
