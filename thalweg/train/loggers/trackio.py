"""The log of a run in Trackio."""

from __future__ import annotations

import contextlib
import sys
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from thalweg.errors import MissingExtraError
from thalweg.train.loggers.logger import Logger, LogRow, Opening


class Trackio(Logger):
    """Logs a run in Trackio: `fit(…, callbacks=[Trackio()])`, then `trackio show`.

    The log is in Trackio's own folder of this machine, which only the environment variable `TRACKIO_DIR`
    changes. Each task is a project. What a killed run had logged after its last checkpoint stands twice
    once it is resumed, with the same values. `Logger` says what is logged; how the run ended is the text
    `stopped` at its last step.

    Nothing is sent anywhere: neither a Space nor a server is written to, and none is asked for a name.

    Args:
        project: a name, instead of the task's.

    Raises:
        MissingExtraError: the package trackio is not installed.
    """

    def __init__(self, *, project: str | None = None, every: int = 10) -> None:
        try:
            import trackio
            from trackio.utils import TRACKIO_DIR
        except ImportError:
            raise MissingExtraError("trackio", "A log in Trackio", "trackio") from None
        super().__init__(TRACKIO_DIR, every)
        self.project = project
        self._step = 0

        class Local(trackio.Run):  # type: ignore[misc]
            def _get_username(self) -> None:
                """Return no name: Trackio's own method asks Hugging Face for it."""

        self._make: Any = Local

    def open(self, opening: Opening) -> str:
        """Begin a run, or go on with one; return its name."""
        key = opening.key or f"{opening.name}-{uuid.uuid4().hex[:8]}"
        project = self.project or opening.task
        config = dict(opening.hyperparameters)
        self._run = self._make(None, project, None, name=key, run_id=key, config=config)
        self._step = opening.step
        return key

    def write(self, rows: Sequence[LogRow]) -> None:
        """Log figures at their steps."""
        for row in rows:
            self._run.log(dict(row.figures), step=row.step)
        self._step = rows[-1].step

    def close(self, stopped: str, figures: Mapping[str, float]) -> None:
        """Say how the run ended, and write what is still in memory."""
        self._run.log({"stopped": stopped}, step=self._step)
        with contextlib.redirect_stdout(sys.stderr):  # it prints a line
            self._run.finish()
