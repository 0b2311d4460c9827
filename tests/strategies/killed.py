"""Runs that are killed after some steps, and gone on with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.train.helpers import quiet
from thalweg.tasks import Task
from thalweg.train import Callback, Run


class Killed(BaseException):
    """Ends a run as a signal does: nothing in the package catches it."""


class Kill(Callback):
    """Kills a run after so many steps of all stages."""

    def __init__(self, after: int) -> None:
        self.after = after

    def step(self, training: Any, loss: float) -> None:
        if training.step == self.after:
            raise Killed


def killed_and_resumed(task: Task, strategy: Any, after: int, file: Path, **settings: Any) -> Run:
    """Return the run that was killed after so many steps and gone on with, from files alone."""
    try:
        quiet(task, strategy=strategy, checkpoint=file, callbacks=[Kill(after)], **settings)
    except Killed:
        return quiet(task, strategy=strategy, checkpoint=file, resume=True, **settings)
    raise AssertionError("the run was not killed")
