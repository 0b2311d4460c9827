"""A gauge reads one kind of evidence in steps that are looked at, and changes nothing."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from thalweg.doctor.watched import Watched


class Gauge(ABC):
    """Attached before a step that is looked at, read after it, detached then.

    What it raises, in a hook too, ends the gauge and never the training: `failed` is told. `seconds` is the
    time that its hooks took since it was attached.
    """

    name = "gauge"

    def __init__(self, watched: Watched, failed: Callable[[str, Exception], None]) -> None:
        self.watched = watched
        self._failed = failed
        self._handles: list[Any] = []
        self.seconds = 0.0

    @abstractmethod
    def attach(self) -> None:
        """Begin to look at the next step."""

    @abstractmethod
    def read(self, step: int) -> bool:
        """Keep what was seen; return whether there was anything."""

    def unhook(self) -> None:
        """Remove all hooks."""
        while self._handles:
            self._handles.pop().remove()

    def detach(self) -> None:
        """Remove all hooks, and forget what was not read."""
        self.unhook()

    def guarded(self, hook: Callable[..., Any]) -> Callable[..., None]:
        """Return a hook that returns nothing and raises nothing."""

        def call(*args: Any, **kwargs: Any) -> None:
            began = time.perf_counter()
            try:
                hook(*args, **kwargs)
            except Exception as error:  # whatever it is, training goes on
                self._failed(self.name, error)
            self.seconds += time.perf_counter() - began

        return call
