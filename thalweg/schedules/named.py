"""Schedules by name: functions of a learning rate and the steps of a run."""

from __future__ import annotations

from collections.abc import Callable

from thalweg.errors import TaskError, suggest
from thalweg.schedules.annealing import cosine, warmup_stable_decay
from thalweg.schedules.compose import warmup
from thalweg.schedules.decay import constant, linear
from thalweg.schedules.schedule import Schedule

ScheduleMaker = Callable[[float, int], Schedule]
"""A function (lr, steps) that returns the schedule of a run of so many steps."""


def schedule_names() -> list[str]:
    """Return the names that a schedule may have.

    >>> schedule_names()[:4]
    ['constant', 'cosine', 'linear', 'wsd']
    """
    return list(_MAKERS)


def schedule_named(name: str) -> ScheduleMaker:
    """Return the function (lr, steps) of a name; each schedule is proportional to lr.

    "cosine", "linear" and "wsd" end at 0, the last over its last fifth; with "warmup-" before them, or as
    "warmup" alone, they rise over the first twentieth.

    Raises:
        TaskError: for a name that no schedule has.

    >>> schedule_named("cosine")(0.1, 100)(50)
    0.05
    """
    if name not in _MAKERS:
        hint = suggest(name, _MAKERS) or f" Known are: {', '.join(_MAKERS)}."
        raise TaskError(f"No schedule is called {name!r}.{hint}")
    return _MAKERS[name]


def _constant(lr: float, steps: int) -> Schedule:
    return constant(lr)


def _cosine(lr: float, steps: int) -> Schedule:
    return cosine(lr, steps=steps)


def _linear(lr: float, steps: int) -> Schedule:
    return linear(lr, 0.0, steps)


def _wsd(lr: float, steps: int) -> Schedule:
    return warmup_stable_decay(lr, steps=steps, warmup=0, decay=max(1, steps // 5))


def _warmed(make: ScheduleMaker) -> ScheduleMaker:
    """The schedule after a warm-up, both within the steps of the run."""

    def warmed(lr: float, steps: int) -> Schedule:
        first = max(1, steps // 20)
        return warmup(make(lr, max(1, steps - first)), first)

    return warmed


_PLAIN: dict[str, ScheduleMaker] = {
    "constant": _constant,
    "cosine": _cosine,
    "linear": _linear,
    "wsd": _wsd,
}
_MAKERS: dict[str, ScheduleMaker] = {
    **_PLAIN,
    "warmup": _warmed(_constant),
    **{f"warmup-{name}": _warmed(make) for name, make in _PLAIN.items() if name != "constant"},
}
