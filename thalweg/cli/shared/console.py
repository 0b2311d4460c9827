"""The two streams: results on the standard output, progress and messages on the standard error."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import Console

_documents: TextIO | None = None


def replace_unwritable(stream: TextIO) -> None:
    """Let a stream write a question mark for what its encoding lacks, where it would raise: an equation
    holds more than ASCII and Latin-1.
    """
    if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
        stream.reconfigure(errors="replace")


def out() -> Console:
    """Return the console of the standard output."""
    from rich.console import Console

    return Console(highlight=False)


def err() -> Console:
    """Return the console of the standard error."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


@contextmanager
def results_alone(wanted: bool) -> Iterator[None]:
    """Let only `print_json` write to the standard output inside the block, if that is wanted.

    What a user's own code prints goes to the standard error, and does not spoil the document.
    """
    global _documents
    if not wanted:
        yield
        return
    before, _documents = _documents, sys.stdout
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        _documents = before


def print_json(document: Mapping[str, Any]) -> None:
    """Print one JSON document on the standard output, and nothing else; NaN and infinity become
    null.
    """
    from thalweg.numeric import without_nonfinite

    stream = _documents or sys.stdout
    json.dump(without_nonfinite(document), stream, allow_nan=False)
    stream.write("\n")
    stream.flush()
