"""Exit codes, and one-line messages instead of tracebacks for errors that a user can fix."""

from __future__ import annotations

import errno
import os
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from thalweg.cli.shared.console import err, results_alone
from thalweg.cli.shared.usage import UsageError, usage_words
from thalweg.errors import CheckpointError, DivergedError, EngineError, ThalwegError

FAILED = 1
WRONG_INPUT = 2
FAULTS = 3
"""The doctor found faults."""
INTERRUPTED = 130
_FULL = (errno.ENOSPC, errno.EFBIG, errno.EIO, errno.EDQUOT)

_WORK_FAILED = (DivergedError, EngineError)


class Verb(TyperCommand):
    """A command; with --json its document is all that is on the standard output."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the options of a context; an error says of which command they are."""
        try:
            return super().parse_args(ctx, args)
        except UsageError as error:
            error.ctx = ctx  # type: ignore[attr-defined]  # the parser of options leaves it out
            raise

    def invoke(self, ctx: Any) -> Any:
        """Run the command of a context."""
        with results_alone(bool(ctx.params.get("as_json"))):
            return super().invoke(ctx)


class Verbs(TyperGroup):
    """The group of all commands; it turns our own errors into a message and an exit code."""

    def main(self, *arguments: Any, **settings: Any) -> Any:
        """Run a command line; what cannot be read of it is an error like others, said in one line."""
        ends, settings["standalone_mode"] = settings.get("standalone_mode", True), False
        if not ends:
            return super().main(*arguments, **settings)
        try:
            code = super().main(*arguments, **settings)
        except UsageError as error:
            if type(error).__name__ != "NoArgsIsHelpError":  # the help that was printed says enough
                complain(usage_words(error))
            code = WRONG_INPUT
        raise SystemExit(code or 0)

    def invoke(self, ctx: Any) -> Any:
        """Run the command of a context."""
        try:
            return super().invoke(ctx)
        except ThalwegError as error:
            complain(str(error))
            raise typer.Exit(FAILED if _work_failed(error) else WRONG_INPUT) from None
        except KeyboardInterrupt:
            complain("Interrupted.")
            raise typer.Exit(INTERRUPTED) from None
        except (SystemExit, GeneratorExit) as error:  # of the user's code: ours ends otherwise
            if isinstance(error.__context__, BrokenPipeError):
                raise  # rich's: nobody reads on, as in `thalweg list | head`
            from thalweg.objective.blame import blame

            complain(f"The task ends the program. {blame(error)}")
            raise typer.Exit(WRONG_INPUT) from None
        except (MemoryError, RuntimeError) as error:
            if not _lacks_memory(error):
                raise
            said = "".join(f": {line}" for line in str(error).splitlines()[:1]).rstrip(".")
            complain(
                f"There is not enough memory{said}. Ask for less: rows, steps, a smaller model."
            )
            raise typer.Exit(FAILED) from None
        except OSError as error:
            if error.errno == errno.EPIPE or (error.filename is None and error.errno not in _FULL):
                raise
            complain(words(error))
            raise typer.Exit(FAILED if error.errno in _FULL else WRONG_INPUT) from None


def _work_failed(error: ThalwegError) -> bool:
    """Return whether no other input would have helped: training failed, or the disk is full.

    A checkpoint that cannot be kept fails the work that was done; one that cannot be used is wrong input.
    """
    if isinstance(error, CheckpointError):
        cause, run = error.__cause__, getattr(error, "run", None)
        return (isinstance(cause, OSError) and cause.errno in _FULL) or bool(run and run.epochs)
    return isinstance(error, _WORK_FAILED)


def _lacks_memory(error: Exception) -> bool:
    """Return whether Python, NumPy, or PyTorch on a device or on the CPU found too little memory."""
    of_device = type(error).__name__ == "OutOfMemoryError"
    return isinstance(error, MemoryError) or of_device or "can't allocate memory" in str(error)


def words(error: OSError) -> str:
    """Return the message of an OSError: what could not be done with which file."""
    what = "write" if error.errno in _FULL else "use"
    name = "" if error.filename is None else f" {os.fsdecode(error.filename)}"
    return f"Cannot {what}{name}: {error.strerror}."


def complain(message: str) -> None:
    """Print an error message on the standard error."""
    err().print("error:", style="bold red", end=" ")
    err().print(message, markup=False, highlight=False, soft_wrap=True)
