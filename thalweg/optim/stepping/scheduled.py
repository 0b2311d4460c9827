"""Hyperparameters that are functions of the step: `lr=cosine(3e-4, steps=1000)`, for each group.

A schedule is any callable from the number of steps taken so far to a value; it may stand wherever a number
may, also in a tuple such as `betas`. The group holds the value of the step being taken, counts its steps in
"scheduled_step", and says in "scheduled_by" which schedules of its optimizer are its own. Both are numbers: a
state dict keeps them, and they go along where a group is copied, moved or put instead of another.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, MutableMapping
from typing import Any

from thalweg.numeric import is_schedule as is_function_of_steps
from thalweg.optim.stepping.checks import Group, check_range

Schedules = dict[str, Any]

COUNTER = "scheduled_step"
NUMBER = "scheduled_by"

Known = MutableMapping[int, Schedules]
"""The schedules of an optimizer by the numbers under which its groups know them."""


def has_schedule(value: Any) -> bool:
    """Whether a hyperparameter is a function of the step, or a tuple that holds one."""
    if isinstance(value, (tuple, list)):
        return any(map(has_schedule, value))
    return is_function_of_steps(value)


def split(given: Mapping[str, Any]) -> tuple[dict[str, Any], Schedules]:
    """Return hyperparameters with their values at the first step, and the schedules among them."""
    schedules = {name: value for name, value in given.items() if has_schedule(value)}
    return {name: value_at(name, value, 0) for name, value in given.items()}, schedules


def value_at(name: str, value: Any, k: int) -> Any:
    """Return a hyperparameter after `k` steps."""
    if isinstance(value, (tuple, list)) and has_schedule(value):
        return tuple(value_at(name, each, k) for each in value)
    if not has_schedule(value):
        return value
    now = value(k)
    if not hasattr(now, "__float__") or isinstance(now, bool):
        raise TypeError(f"The schedule of {name} returned {now!r} after {k} steps, not a number.")
    return now


def of_group(group: Mapping[str, Any], known: Known) -> Schedules:
    """Return the schedules of a group."""
    return known.get(group.get(NUMBER, -1), {})


def copied(given: Mapping[str, Any], known: Known) -> Schedules:
    """Return the schedules that a copy of a group still has: of hyperparameters that nobody has set since."""
    last = max(given.get(COUNTER, 0) - 1, 0)
    mine = of_group(given, known)
    return {n: s for n, s in mine.items() if given.get(n) == value_at(n, s, last)}


def apply(groups: list[Group], known: Known, checked: Container[str]) -> None:
    """Give every scheduled hyperparameter the value of the step that is about to be taken.

    Raises:
        ValueError: the value is out of range, or the group holds another value than the schedule gave it:
            a scheduler, or a hand, has set what the schedule would set again.
    """
    values: list[tuple[Group, str, Any]] = []
    for k, group in enumerate(groups):
        for name, schedule in of_group(group, known).items():
            step = group.get(COUNTER, 0)
            before = value_at(name, schedule, max(step - 1, 0))
            value = value_at(name, schedule, step)
            # a step that failed has left the value that it was to use
            if name in group and group[name] != before and group[name] != value:
                raise ValueError(
                    f"param group {k} has {name}={group[name]!r}, but {name} is a schedule of this "
                    f"optimizer, which gave {before!r}. Let the schedule set it or something else, not both."
                )
            if name in checked:
                check_range(name, value, value)
            values.append((group, name, value))
    for group, name, value in values:
        group[name] = value


def restore(groups: list[Group], known: Known) -> None:
    """Give scheduled hyperparameters the value of the last step, after groups were loaded."""
    for group in groups:
        for name, schedule in of_group(group, known).items():
            step = group.setdefault(COUNTER, 0)
            group[name] = value_at(name, schedule, max(step - 1, 0))


def count_step(groups: list[Group], known: Known) -> None:
    """Count a step of every group that has a schedule."""
    for group in groups:
        if of_group(group, known):
            group[COUNTER] = group.get(COUNTER, 0) + 1


ScheduleFunction = Callable[[int], float]
