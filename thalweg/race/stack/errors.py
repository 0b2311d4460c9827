"""Why trials cannot train together."""

from __future__ import annotations

from thalweg.errors import ThalwegError


class StackError(ThalwegError):
    """Trials that cannot train as one program; the message is the reason, in one sentence."""
