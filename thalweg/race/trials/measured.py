"""Measurements of the machine, kept in a file beside the records.

A race that goes on reads them, so that it decides as before without measuring again.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from thalweg.files import write_text
from thalweg.reading import UnreadableError, read_json

SCHEMA = "thalweg.measured/1"


@dataclass(frozen=True)
class MeasuredFile:
    """A JSON file of measurements by key; without a path they are kept in memory alone.

    >>> measured = MeasuredFile(None)
    >>> measured.put("seconds", 0.5)
    >>> measured.get("seconds")
    0.5
    """

    path: Path | None
    _memory: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def get(self, key: str) -> Any:
        """Return the measurement of a key, None where there is none that can be read."""
        return self._read().get(key)

    def put(self, key: str, value: Any) -> None:
        """Keep a measurement; of two that are written at the same time one is lost, never the file."""
        self._memory[key] = value
        if self.path is None or (self.path.exists() and not self.path.is_file()):
            return  # a pipe would wait for its reader
        held = {**self._read(), key: value}
        with contextlib.suppress(OSError):  # it is held in memory, and can be measured again
            write_text(self.path, json.dumps({"schema": SCHEMA, "measured": held}, indent=1) + "\n")

    def forget(self) -> None:
        """Drop all measurements."""
        self._memory.clear()
        if self.path is not None:
            self.path.unlink(missing_ok=True)

    def _read(self) -> dict[str, Any]:
        if self.path is None:
            return dict(self._memory)
        try:
            document = read_json(self.path)
        except (FileNotFoundError, UnreadableError):
            document = None
        held = document.get("measured") if isinstance(document, dict) else None
        return {**(held if isinstance(held, dict) else {}), **self._memory}
