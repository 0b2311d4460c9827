"""A symptom: something that is known to go wrong, and how it is seen in what was watched."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from thalweg.doctor.verdict import Verdict
from thalweg.doctor.watched import Watched


class Symptom(ABC):
    """Looks at what was watched and says what it suspects; forks confirm or refute that.

    A subclass sets `name` and defines `looks`; its thresholds are constants next to it with their
    source. `after` names symptoms that explain this one: where one of them is confirmed, this one is told
    as a warning, since it may follow from its cause; "*" is any fault.

    >>> class SlowStart(Symptom):
    ...     name = "slow_start"
    ...
    ...     def looks(self, watched):
    ...         return [Verdict(self.name)] if watched.losses.last()[-1] > 5 else []
    """

    name: ClassVar[str]
    after: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def looks(self, watched: Watched) -> list[Verdict]:
        """Return what is suspected, none in a healthy run."""
