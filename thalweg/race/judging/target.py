"""A target for a task that has none: what the best baseline reaches surely, found in two steps.

Tuning finds the best baseline and its best point: that whose best validation figure, in the median
over the tuning seeds, is the best. This point is run again on fresh seeds, and of the best figures of
these trials the third worst is the target: as surely as a few seeds can tell, the median trial of such
a baseline reaches it. The maximum over medians of three seeds would not do: it is the luckiest of many,
and where curves flatten, the same baseline misses it on other seeds more often than not.

The figures are those of the first three quarters of each trial, as AlgoPerf's entrants have a third
more time than those that set the target: of a figure that a baseline reached with its last step, half
of its trials would fall short.

A target that was found stays the same as long as what it was found on does, so that races in one folder
can be compared. It is kept in a file, with a version that counts up, and those it replaced. One that an
earlier version found by its own rule, the median of the tuning seeds, stays as well.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from reprlib import repr as brief
from typing import Any, Literal

from thalweg.errors import TaskError
from thalweg.files import write_text
from thalweg.numeric import share
from thalweg.race.judging.reached import Goal
from thalweg.race.judging.selection import candidates
from thalweg.race.judging.summary import point_of
from thalweg.race.trials.point import Point
from thalweg.race.trials.ranking import Direction
from thalweg.race.trials.records import TrialRecord
from thalweg.reading import UnreadableError, is_count, is_number, read_json

SCHEMA = "thalweg.target/1"

BASELINES = ("momentum", "nesterov", "adam", "adamw", "nadam", "nadamw")
"""The entrants that set a target, if they take part: AlgoPerf's four, with and without decay."""

WITHIN = 0.75
"""The share of a trial in which the figure that becomes the target is reached."""

WORST = 3
"""Which of the best figures is the target, counted from the worst: of eight, a median is above it."""

_DIGITS = 6

Rule = Literal["third worst of fresh seeds", "median of tuning"]
"""How a target was found; the second is the rule of earlier versions."""

RULES: tuple[Rule, ...] = ("third worst of fresh seeds", "median of tuning")


@dataclass(frozen=True)
class FoundTarget:
    """A target, and how it came about.

    `how` says it in a sentence, `of` is a hash of what it was found on, `version` counts the targets
    of a folder from 1, and `rule` names the rule.
    """

    value: float
    metric: str
    direction: Direction
    how: str
    of: str
    version: int = 1
    rule: Rule = RULES[0]

    @property
    def goal(self) -> Goal:
        """The target as what decides a race."""
        return Goal(self.metric, self.direction, self.value)


def baselines_among(entrants: Iterable[str]) -> tuple[str, ...]:
    """Return the entrants that set a target: the baselines, or everyone where there is none.

    >>> baselines_among(["lion", "adam", "sgd"]), baselines_among(["mine"])
    (('adam',), ('mine',))
    """
    names = tuple(entrants)
    return tuple(name for name in names if name in BASELINES) or names


def find_setter(
    records: Iterable[TrialRecord], entrants: Sequence[str], goal: Goal, within: float = WITHIN
) -> tuple[str, Point] | None:
    """Return the best baseline and its best point, None if no baseline finished any.

        arg max over baselines and their points of  median over tuning seeds of  max over t ≤ within · T

    of the validation figure, or the minima of one for which smaller is better. A trial that diverged
    or failed has the worst figure.

    Args:
        records: those of a complete tuning; other trials do not count.
        entrants: the names of all who take part, of whom the baselines count.
        goal: the figure; its value is not used.
        within: the share of a trial that counts.

    Raises:
        TaskError: for a share outside (0, 1].
    """
    _check_share(within)
    given = tuple(records)
    reached = []
    for name in baselines_among(entrants):
        points = candidates(record for record in given if record.entrant == name)
        for point, trials in points.items():
            figure = goal.median(_best_figure(record, goal, within) for record in trials)
            if figure is not None:
                reached.append((goal.badness(figure), name, point))
    if not reached:
        return None
    _, name, point = min(reached, key=lambda one: one[0])
    return name, point


def find_target(
    records: Iterable[TrialRecord],
    entrants: Sequence[str],
    goal: Goal,
    *,
    of: str,
    within: float = WITHIN,
) -> FoundTarget | None:
    """Return the target that the trials of the setter set, None if none of them finished.

        the third worst over fresh seeds of  max over t ≤ within · T

    of the validation figure, or of the minima of one for which smaller is better; to six digits,
    rounded to the easier side. A trial that diverged or failed is among the worst; where three are,
    the worst figure of the others is the target.

    Args:
        records: those of the setter's fresh seeds; other trials do not count.
        entrants: the names of all who take part.
        goal: the figure; its value is not used.
        of: a hash of what the race depends on: see `thalweg.hashing.hash_of`.
        within: the share of a trial that counts.

    Source: Dahl et al. (2023), "Benchmarking Neural Network Training Algorithms" (AlgoPerf), which
    runs the best point again on 20 seeds and takes the median of them.

    Raises:
        TaskError: for a share outside (0, 1].
    """
    _check_share(within)
    setters = [record for record in records if record.stage == "target"]
    figure = _third_worst((_best_figure(record, goal, within) for record in setters), goal)
    if figure is None:
        return None
    first, baselines = setters[0], baselines_among(entrants)
    metric = goal.metric.replace("_", " ")
    return FoundTarget(
        value=_rounded(figure, goal.direction),
        metric=goal.metric,
        direction=goal.direction,
        how=(
            f"the {_place(len(setters))} of the best validation figures ({metric}) that "
            f"{first.entrant} reached at {point_of(first)} within the first {100 * within:g} % of its "
            f"trials on {_counted(len(setters), 'fresh seed')}; in tuning this was the best point of "
            f"{_counted(len(baselines), 'baseline')}: {', '.join(baselines)}"
        ),
        of=of,
    )


def _third_worst(figures: Iterable[float | None], goal: Goal) -> float | None:
    ordered = sorted(figures, key=goal.badness, reverse=True)
    known = [figure for figure in ordered if figure is not None]
    third = ordered[min(WORST, len(ordered)) - 1] if ordered else None
    return third if third is not None or not known else known[0]


def _check_share(within: float) -> None:
    if not 0 < within <= 1:
        raise TaskError(f"The share of a trial that sets a target must be in (0, 1], got {within}.")


def _place(seeds: int) -> str:
    return {1: "only one", 2: "better one"}.get(seeds, "third worst")


@dataclass(frozen=True)
class TargetFile:
    """The targets found in a folder, the newest and those before it; without a path, in memory alone.

    Two races that write at the same time leave the target of one of them, never a torn file.

    Example:
        >>> targets = TargetFile(None)
        >>> found = FoundTarget(0.9, "accuracy", "max", "the median …", of="a1")
        >>> targets.put(found).version, targets.get("a1") == found, targets.get("b2")
        (1, True, None)
    """

    path: Path | None
    _memory: list[FoundTarget] = field(default_factory=list, repr=False, compare=False)

    def read(self) -> tuple[FoundTarget, ...]:
        """Return the targets, the newest first.

        Raises:
            TaskError: for a file that is not one of targets.
        """
        if self.path is None:
            return tuple(self._memory)
        try:
            document = read_json(self.path)
        except FileNotFoundError:
            return tuple(self._memory)
        except UnreadableError as error:
            raise _unreadable(self.path, str(error)) from None
        return (*self._memory, *_parsed(document, self.path))

    def get(self, of: str) -> FoundTarget | None:
        """Return the newest target that was found on the same, None if there is none."""
        return next((found for found in self.read() if found.of == of), None)

    def put(self, found: FoundTarget) -> FoundTarget:
        """Make a target the newest, and return it with its version.

        One that says the same as the newest changes nothing.

        Raises:
            TaskError: as `read`.
        """
        held = self.read()
        version = 1 + max((earlier.version for earlier in held), default=0)
        if held and asdict(held[0]) == {**asdict(found), "version": held[0].version}:
            return held[0]
        newest = FoundTarget(**{**asdict(found), "version": version})
        if self.path is None:
            self._memory.insert(0, newest)
        else:
            document = {
                "schema": SCHEMA,
                **asdict(newest),
                "earlier": [asdict(earlier) for earlier in held],
            }
            try:
                write_text(self.path, json.dumps(document, indent=1, allow_nan=False) + "\n")
            except OSError:  # on a full disk the race goes on, and its result tells the target
                self._memory.insert(0, newest)
        return newest


def _best_figure(record: TrialRecord, goal: Goal, within: float) -> float | None:
    """The best figure of the first part of a trial, or of all if it was not evaluated in that."""
    if record.status != "finished":
        return None
    figures = list(zip(record.curve.steps, record.curve.metric, strict=True))
    early = [figure for step, figure in figures if step <= share(record.steps, within)]
    measured = [
        figure for figure in early or [figure for _, figure in figures] if figure is not None
    ]
    return min(measured, key=goal.badness, default=None)


def _rounded(value: float, direction: Direction) -> float:
    if value == 0:
        return 0.0
    decimals = _DIGITS - 1 - math.floor(math.log10(abs(value)))
    nearest = round(value, decimals)
    if Goal("", direction, nearest).is_met(value):
        return nearest
    return round(
        nearest + math.copysign(10.0**-decimals, -1 if direction == "max" else 1), decimals
    )


def _parsed(document: Any, path: Path) -> tuple[FoundTarget, ...]:
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise _unreadable(path, f"expected a document with the schema {SCHEMA!r}")
    earlier = document.get("earlier")
    if not isinstance(earlier, list):
        raise _unreadable(path, "'earlier' is not a list")
    return tuple(_target(values, path) for values in [document, *earlier])


def _target(values: Any, path: Path) -> FoundTarget:
    if not isinstance(values, dict):
        raise _unreadable(path, f"a target is an object, got {brief(values)}")
    value, version = values.get("value"), values.get("version")
    if not is_number(value):
        raise _unreadable(path, f"the value of a target is a finite number, got {brief(value)}")
    if not is_count(version, 1):
        raise _unreadable(path, f"the version of a target is an integer ≥ 1, got {brief(version)}")
    direction = values.get("direction")
    if direction not in ("max", "min"):
        raise _unreadable(
            path, f"the direction of a target is 'max' or 'min', got {brief(direction)}"
        )
    texts = [values.get(name) for name in ("metric", "how", "of")]
    if not all(isinstance(text, str) for text in texts):
        raise _unreadable(path, "the metric, how and of of a target are texts")
    metric, how, of = map(str, texts)
    rule = values.get("rule", "median of tuning")  # that of the versions that named none
    if rule not in RULES:
        raise _unreadable(path, f"the rule of a target is one of {RULES}, got {brief(rule)}")
    return FoundTarget(float(value), metric, direction, how, of, version, rule)


def _unreadable(path: Path, why: str) -> TaskError:
    return TaskError(
        f"The target in {path} cannot be read: {why}. Delete the file, and the target is found again."
    )


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
