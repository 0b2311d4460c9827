"""A target for a task that has none: the figure that the best baseline reaches in tuning.

The rule is AlgoPerf's: of the standard optimizers, each tuned, the best point of the best one; of its
best validation figures, the median over seeds. They are taken of the first three quarters of each
trial, as AlgoPerf's entrants have a third more time than those that set the target: of a figure that
a baseline reached with its last step, half of its trials would fall short.

A target that was found stays the same as long as what it was found on does, so that races in one folder
can be compared. It is kept in a file, with a version that counts up, and those it replaced.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from reprlib import repr as brief
from typing import Any

from thalweg.errors import TaskError
from thalweg.files import write_text
from thalweg.numeric import share
from thalweg.race.judging.reached import Goal
from thalweg.race.judging.selection import candidates
from thalweg.race.trials.ranking import Direction
from thalweg.race.trials.records import TrialRecord
from thalweg.reading import UnreadableError, is_count, is_number, read_json

SCHEMA = "thalweg.target/1"

BASELINES = ("momentum", "nesterov", "adam", "adamw", "nadam", "nadamw")
"""The entrants that set a target, if they take part: AlgoPerf's four, with and without decay."""

WITHIN = 0.75
"""The share of a trial in which the figure that becomes the target is reached."""

_DIGITS = 6


@dataclass(frozen=True)
class FoundTarget:
    """A target, and how it came about.

    `how` says it in a sentence, `of` is a hash of what it was found on, `version` counts the targets
    of a folder from 1.
    """

    value: float
    metric: str
    direction: Direction
    how: str
    of: str
    version: int = 1

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


def find_target(
    records: Iterable[TrialRecord],
    entrants: Sequence[str],
    goal: Goal,
    *,
    of: str,
    within: float = WITHIN,
) -> FoundTarget | None:
    """Return the target that the trials of tuning set, None if no baseline finished any.

        max over baselines and their points of  median over tuning seeds of  max over t ≤ within · T

    of the validation figure, or the minima of one for which smaller is better; to six digits, rounded
    to the easier side. A trial that diverged or failed has the worst figure.

    Args:
        records: those of a complete tuning; final trials do not count.
        entrants: the names of all who take part, of whom the baselines count.
        goal: the figure; its value is not used.
        of: a hash of what the race depends on: see `thalweg.hashing.hash_of`.
        within: the share of a trial that counts.

    Source: Dahl et al. (2023), "Benchmarking Neural Network Training Algorithms" (AlgoPerf), which
    runs the best point again on 20 seeds.

    Raises:
        TaskError: for a share outside (0, 1].
    """
    if not 0 < within <= 1:
        raise TaskError(f"The share of a trial that sets a target is in (0, 1], got {within}.")
    given = tuple(records)
    baselines = baselines_among(entrants)
    reached = []
    for name in baselines:
        points = candidates(record for record in given if record.entrant == name)
        for point, trials in points.items():
            figure = goal.median(_best_figure(record, goal, within) for record in trials)
            if figure is not None:
                reached.append((goal.badness(figure), name, point, figure, len(trials)))
    if not reached:
        return None
    _, name, point, figure, seeds = min(reached, key=lambda one: one[0])
    return FoundTarget(
        value=_rounded(figure, goal.direction),
        metric=goal.metric,
        direction=goal.direction,
        how=(
            f"the median over {_counted(seeds, 'tuning seed')} of the best validation {goal.metric} "
            f"that {name} reached at {point} within the first {100 * within:g} % of its trials, "
            f"the best of {_counted(len(baselines), 'baseline')}: {', '.join(baselines)}"
        ),
        of=of,
    )


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
        raise _unreadable(
            path, f"the version of a target is a whole number ≥ 1, got {brief(version)}"
        )
    direction = values.get("direction")
    if direction not in ("max", "min"):
        raise _unreadable(
            path, f"the direction of a target is 'max' or 'min', got {brief(direction)}"
        )
    texts = [values.get(name) for name in ("metric", "how", "of")]
    if not all(isinstance(text, str) for text in texts):
        raise _unreadable(path, "the metric, how and of of a target are texts")
    metric, how, of = map(str, texts)
    return FoundTarget(float(value), metric, direction, how, of, version)


def _unreadable(path: Path, why: str) -> TaskError:
    return TaskError(
        f"The target in {path} cannot be read: {why}. Delete the file, and the target is found anew."
    )


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
