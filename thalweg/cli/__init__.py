"""The command line, `thalweg`: its verbs are listed in `thalweg.cli.app`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from thalweg.errors import MissingExtraError

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line with `arguments`, by default those of the process, and exit.

    Exit codes: 0 all went well, 1 the work failed, 2 the command or its input is wrong, 130
    interrupted.
    """
    try:
        import rich  # noqa: F401
        import typer  # noqa: F401
    except ImportError as error:
        missing = MissingExtraError((error.name or "typer").partition(".")[0], "The command line")
        print(f"error: {missing}", file=sys.stderr)
        raise SystemExit(2) from None
    from thalweg.cli.app import app
    from thalweg.cli.shared.console import replace_unwritable

    for stream in (sys.stdout, sys.stderr):
        replace_unwritable(stream)
    app(args=arguments, prog_name="thalweg")
