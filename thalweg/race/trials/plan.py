"""What a race will run: trials, and the budget that every entrant gets."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch

from thalweg.errors import TaskError
from thalweg.numeric import as_seed, as_whole
from thalweg.race.entrants.entrant import Entrant
from thalweg.race.trials.point import Point
from thalweg.race.trials.ranking import Direction
from thalweg.race.trials.records import Stage, Status, TrialRecord
from thalweg.tasks import Task
from thalweg.train.gradients import epoch_rows, epoch_steps, gradient_rows

_Item = TypeVar("_Item")
TARGET_SEEDS = 8
"""Seeds on which the target is set."""
_FIRST_FRESH = 1_000_000
_EVALUATIONS = 100
"""About how often a trial is evaluated, for a time to the target that is not rounded to whole
epochs.
"""


@dataclass(frozen=True)
class Trial:
    """One training run to be made."""

    entrant: Entrant
    point: Point
    seed: int
    epochs: int
    stage: Stage = "tuning"

    def blank_record(self, key: str, status: Status, error: str | None) -> TrialRecord:
        """Return a record without any figure: what was to be run, and how it ended."""
        return TrialRecord(
            key=key,
            entrant=self.entrant.name,
            lr=self.point.lr,
            seed=self.seed,
            status=status,
            hyperparameters=dict(self.point.others),
            stage=self.stage,
            epochs=self.epochs,
            batch_size=self.entrant.batch_size,
            # bytes of a file's name that are not text cannot be written as UTF-8
            error=error and error.encode("utf-8", "backslashreplace").decode(),
        )


Unit = tuple[tuple[str, Trial], ...]
"""Trials with their keys that train together: one alone, or a stack."""


@dataclass(frozen=True)
class Setting:
    """Settings that all trials of a race share, but for entrants with a batch size of their own."""

    batch_size: int | None
    metric: str
    direction: Direction
    threads: int = 1
    device: torch.device | None = None
    """Where models are trained; None: where the task builds them."""
    draws: bool = False
    """Whether a model draws noise that is to be drawn on the CPU, though it is on another device."""

    def of(self, entrant: Entrant) -> Setting:
        """Return the settings of an entrant's trials: it may have a batch size of its own."""
        own = entrant.batch_size
        return self if own == "race" else replace(self, batch_size=own)

    def gradients(self, task: Task, epochs: int) -> float | None:
        """Return the budget of a trial of so many epochs in gradient-equivalents, the same for all
        entrants; None where the length of the data is not known.

        >>> from thalweg.tasks import load_task
        >>> Setting(128, "accuracy", "max").gradients(load_task("digits"), 30)
        292.5
        """
        unit, rows = gradient_rows(task), epoch_rows(task.data.train)
        return None if unit is None or rows is None else rows * epochs / unit

    def steps(self, task: Task, epochs: int) -> int | None:
        """Return the steps of so many epochs, None where the length of the data is not known.

        >>> from thalweg.tasks import load_task
        >>> Setting(128, "accuracy", "max").steps(load_task("digits"), 30)
        300
        """
        an_epoch = epoch_steps(task.data.train, self.batch_size)
        return None if an_epoch is None else an_epoch * epochs

    def evaluate_every(self, task: Task, epochs: int) -> int | None:
        """Return how many steps to take between evaluations, None where the ends of the epochs are
        often enough.
        """
        an_epoch = epoch_steps(task.data.train, self.batch_size)
        if an_epoch is None:
            return None
        between = max(1, an_epoch * epochs // _EVALUATIONS)
        return between if between < an_epoch else None


@dataclass(frozen=True)
class RacePlan:
    """The entrants, and the budget that each of them gets.

    Every entrant is tuned with `trials` points, each on all tuning seeds for `epochs` epochs, or
    with what costs as much; the point that served it best is judged on the final seeds. On the target
    seeds, of which there are none where the target is known, the best baseline sets the target. On the
    runoff seeds the points of an entrant that tuning left close run again before one is chosen; on the
    more seeds, the entrants that the final seeds left in question.

    Raises:
        TaskError: for a budget that trains nothing, or a seed that would both tune and judge.
    """

    entrants: tuple[Entrant, ...]
    trials: int
    tuning_seeds: tuple[int, ...]
    final_seeds: tuple[int, ...]
    epochs: int
    batch_size: int | None
    search: str = "grid"
    target_seeds: tuple[int, ...] = ()
    runoff_seeds: tuple[int, ...] = ()
    more_seeds: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name in ("trials", "epochs", "batch_size"):
            value = getattr(self, name)
            if name != "batch_size" or value is not None:
                object.__setattr__(self, name, whole(name, value))
        if self.trials < 1:
            raise TaskError(
                f"A race tries at least one point an entrant, got trials={self.trials}."
            )
        if self.epochs < 1:
            raise TaskError(f"A race needs at least one epoch, got epochs={self.epochs}.")
        if self.batch_size is not None and self.batch_size < 1:
            raise TaskError(f"A batch holds at least one row, got batch_size={self.batch_size}.")
        self._check_seeds()

    def _check_seeds(self) -> None:
        both = sorted(set(self.tuning_seeds) & set(self.final_seeds))
        if both:
            raise TaskError(
                f"The seed {both[0]} is among the tuning seeds and the final seeds. What tunes an "
                "entrant cannot judge it: give seeds that differ."
            )
        if set(self.target_seeds) & {*self.tuning_seeds, *self.final_seeds}:
            raise TaskError(
                "The seeds that set the target are others than those that tune or judge."
            )
        fresh = (*self.runoff_seeds, *self.more_seeds)
        if len({*fresh} - {*self.tuning_seeds, *self.final_seeds, *self.target_seeds}) < len(fresh):
            raise TaskError("The seeds that are added later are others than all those before.")

    @property
    def tuning_trials(self) -> int:
        """The trials of tuning, at full length; a search by halving runs more that are shorter."""
        return len(self.entrants) * self.trials * len(self.tuning_seeds)

    def planned_trials(self, known: int, *, final: bool) -> int:
        """Return the expected total of trials, given the trials so far.

        Args:
            known: the trials of all rounds until now.
            final: whether the final is among them: then no more are known, though an entrant may
                have dropped out before it.
        """
        before = self.tuning_trials + len(self.target_seeds)
        return known if final else max(known, before) + self.final_trials

    @property
    def final_trials(self) -> int:
        """The trials by which entrants are judged."""
        return len(self.entrants) * len(self.final_seeds)


def whole(name: str, value: Any) -> int:
    """Return an integer of any kind as an int; TaskError for anything else."""
    found = as_whole(value)
    if found is None:
        raise TaskError(f"{name} must be an integer; got {value!r}.")
    return found


def gather_seeds(seeds: int | Iterable[int], first: int = 0) -> tuple[int, ...]:
    """Return the seeds of a race: a number of them counts from `first`, a sequence stands for
    itself.

    >>> gather_seeds(3), gather_seeds([7, 9])
    ((0, 1, 2), (7, 9))
    """
    given: Any = seeds
    count = as_whole(given)
    if count is None and (isinstance(given, str | bool) or not isinstance(given, Iterable)):
        raise TaskError(f"seeds must be a number of them, or several integers; got {given!r}.")
    gathered = () if count is None else tuple(range(first, first + count))
    if count is None:
        gathered = tuple(_seed(one) for one in given)
    if not gathered:
        raise TaskError(f"A race needs at least one seed, got seeds={seeds!r}.")
    if len(set(gathered)) != len(gathered):
        raise TaskError(f"A seed is given twice in {gathered}: that would count one trial as two.")
    return gathered


def _seed(value: Any) -> int:
    seed = as_seed(value)
    if seed is None:
        raise TaskError(f"A seed must be an integer ≥ 0; got {value!r}.")
    return seed


def fresh_seeds(
    used: Iterable[int], count: int = TARGET_SEEDS, first: int = _FIRST_FRESH
) -> tuple[int, ...]:
    """Return so many seeds that are not used, from `first` on: far from those that users give.

    >>> fresh_seeds([0, 1, 1_000_000], count=2)
    (1000001, 1000002)
    """
    taken = set(used)
    free = (seed for seed in itertools.count(first) if seed not in taken)
    return tuple(itertools.islice(free, count))


def rotated(items: Sequence[_Item], turn: int) -> list[_Item]:
    """Return the items, beginning with another one at each turn.

    >>> rotated("abc", 1), rotated("abc", 5), rotated("", 1)
    (['b', 'c', 'a'], ['c', 'a', 'b'], [])
    """
    first = turn % max(1, len(items))
    return [*items[first:], *items[:first]]


def fair_order(
    wanted: Iterable[tuple[Entrant, tuple[Point, ...]]],
) -> Iterator[tuple[Entrant, Point]]:
    """Yield the points of all entrants in a fair order.

    Entrants take turns, and take turns at going first, so that whatever slows the machine for a
    while slows all of them alike.
    """
    pairs = list(wanted)
    longest = max((len(points) for _, points in pairs), default=0)
    for turn in range(longest):
        for entrant, points in rotated(pairs, turn):
            if turn < len(points):
                yield entrant, points[turn]
