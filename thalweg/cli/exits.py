"""What a command ends with: an exit code, and one line instead of a traceback for what a user can
mend.
"""

from __future__ import annotations

import errno
import os
from typing import Any

import typer
from typer.core import TyperGroup

from thalweg.cli.console import err
from thalweg.errors import CheckpointError, DivergedError, EngineError, ThalwegError

FAILED = 1
WRONG_INPUT = 2
INTERRUPTED = 130
_FULL = (errno.ENOSPC, errno.EFBIG, errno.EIO, errno.EDQUOT)

_WORK_FAILED = (DivergedError, EngineError, CheckpointError)


class Verbs(TyperGroup):
    """The group of all commands; it turns our own errors into a message and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command of a context."""
        try:
            return super().invoke(ctx)
        except ThalwegError as error:
            complain(str(error))
            raise typer.Exit(FAILED if isinstance(error, _WORK_FAILED) else WRONG_INPUT) from None
        except KeyboardInterrupt:
            complain("Interrupted.")
            raise typer.Exit(INTERRUPTED) from None
        except OSError as error:
            if error.filename is None and error.errno in _FULL:
                complain(f"Cannot write: {error.strerror}.")
                raise typer.Exit(FAILED) from None
            if error.errno == errno.EPIPE or error.filename is None:
                raise
            complain(f"Cannot use {os.fspath(error.filename)}: {error.strerror}.")
            raise typer.Exit(FAILED) from None


def complain(message: str) -> None:
    """Say on the standard error what went wrong."""
    err().print("error:", style="bold red", end=" ")
    err().print(message, markup=False, highlight=False, soft_wrap=True)
