"""Whether the trials of a race train in stacks, and how they are put together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from thalweg.errors import TaskError
from thalweg.numeric import as_whole
from thalweg.race.entrants.entrant import Entrant
from thalweg.race.executors.apart import apart
from thalweg.race.prepare import LARGEST_STACKED, Prepared
from thalweg.race.trials.measured import MeasuredFile
from thalweg.race.trials.plan import RacePlan, Trial, Unit
from thalweg.race.trials.point import Point
from thalweg.tasks import Task
from thalweg.train.machine.threads import torch_threads

Keyed = tuple[tuple[str, Trial], ...]

_DIED = "one by one: the steps of a stack ended their process"


@dataclass(frozen=True)
class Stacking:
    """How many models train together at most, and why; entrants that cannot are trained alone."""

    size: int
    why: str
    alone: tuple[str, ...] = ()

    def units(self, keyed: Keyed, shares: int) -> list[Unit]:
        """Return the trials in units: each alone, or in stacks that can be dealt out in shares."""
        if self.size == 1:
            return [(one,) for one in keyed]
        from thalweg.race.stack import stacks

        return stacks(keyed, self.size, self.alone, shares)


def check_stack(wanted: bool | int | None) -> None:
    """Raise TaskError if it is not a number of models, or a size that no stack can have."""
    if wanted is None or isinstance(wanted, bool):
        return
    size = as_whole(wanted)
    if size is None:
        raise TaskError(f"stack must be True, False, a number of models or None; got {wanted!r}.")
    if size < 0:
        raise TaskError(f"A stack holds at least one model, got stack={wanted}.")


def choose_stacking(
    task: Task,
    plan: RacePlan,
    prepared: Prepared,
    measured: MeasuredFile,
    *,
    wanted: bool | int | None,
) -> Stacking:
    """Decide whether trials train in stacks: as the user wants, or by whether it is measured to pay.

    What was measured is kept under the key, so that a race that goes on decides as before.

    Raises:
        TaskError: if stacks are wanted of models that cannot be stacked; the message says why.
    """
    check_stack(wanted)
    with torch_threads(prepared.setting.threads):
        return _chosen(task, plan, prepared, measured, wanted)


def _chosen(
    task: Task,
    plan: RacePlan,
    prepared: Prepared,
    measured: MeasuredFile,
    wanted: bool | int | None,
) -> Stacking:
    if wanted is not None and wanted is not True and int(wanted) < 2:
        return Stacking(1, "each trial trains alone, as asked")
    if wanted is None and prepared.parameters > LARGEST_STACKED:
        return Stacking(
            1, "each trial trains alone: so large a model keeps the cores busy by itself"
        )
    from thalweg.race.stack import Reasons, StackChoice, reasons, worth_it

    setting, workers = prepared.setting, prepared.workers
    key = f"stacking {prepared.keys.common}"
    trials = _sample(plan)
    died = Reasons("a few steps of its trials ended their process")
    found = apart(lambda: reasons(task, trials, setting), died, workers=workers)
    alone = (*found.entrants, *found.failed)
    stackable = [trial for trial in trials if trial.entrant.name not in alone]
    why = found.task
    if why is None and not stackable and not found.entrants:
        return Stacking(1, "each trial trains alone: the first steps of every entrant fail", alone)
    if why is None and not stackable:
        why = next(iter(found.entrants.values()))
    if why is not None:
        if wanted is not None:
            raise TaskError(f"The trials of this race cannot be stacked. {why}")
        return Stacking(
            1, f"each trial trains alone, since they cannot be stacked: {why.rstrip('.')}"
        )
    first = next(iter({**found.entrants, **found.failed}.values()), "")
    but = f"; alone: {', '.join(alone)} ({first})" if alone else ""
    if wanted is not None and wanted is not True:
        return Stacking(int(wanted), f"up to {wanted} models train together, as asked{but}", alone)
    held = measured.get(key)
    if not _is_choice(held):
        none = StackChoice(False, 1, _DIED)
        alike = _of_one_size(stackable)
        choice = apart(lambda: worth_it(task, alike, setting), none, workers=workers)
        held = {"stack": choice.stack, "size": choice.size, "why": choice.why}
        measured.put(key, held)
    if held["stack"]:
        return Stacking(int(held["size"]), f"{held['why']}{but}", alone)
    if wanted:
        size = max(2, int(held["size"]))
        return Stacking(size, f"up to {size} models train together, as asked{but}", alone)
    return Stacking(1, str(held["why"]))


def _of_one_size(trials: Sequence[Trial]) -> list[Trial]:
    """Those of the batch size that most have: only such trials share a stack."""
    sizes = Counter(trial.entrant.batch_size for trial in trials)
    (size, _), *_ = sizes.most_common(1)
    return [trial for trial in trials if trial.entrant.batch_size == size]


def _is_choice(held: Any) -> bool:
    """Whether a value read from the file is a decision: the file may have been edited."""
    return (
        isinstance(held, dict)
        and isinstance(held.get("stack"), bool)
        and isinstance(held.get("size"), int)
        and held["size"] >= 1
        and isinstance(held.get("why"), str)
    )


def _sample(plan: RacePlan) -> Sequence[Trial]:
    """Trials such as the first round has: each entrant at its rates, with each seed."""
    return [
        Trial(entrant, Point(lr, _middle(entrant)), seed, plan.epochs)
        for seed in plan.tuning_seeds
        for entrant in plan.entrants
        for lr in entrant.lrs
    ]


def _middle(entrant: Entrant) -> tuple[tuple[str, Any], ...]:
    """The middle of what is searched besides the rate: the optimizer may have no default for it."""
    return tuple(sorted((name, space.at(0.5)) for name, space in entrant.search.items()))
