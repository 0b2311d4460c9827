"""Training a unit, one trial alone or a stack of them, and the records of what each gave."""

from __future__ import annotations

import warnings
from dataclasses import replace

from thalweg.race.stack.alike import check_alike, check_stackable
from thalweg.race.stack.errors import StackError
from thalweg.race.stack.probe import CPU, Probe
from thalweg.race.stack.train import ModelStack, StackedModel, enter, outcome_of
from thalweg.race.stack.try_task import probe_task
from thalweg.race.trials.plan import Setting, Unit
from thalweg.race.trials.recipe import recipe_of
from thalweg.race.trials.records import FAULTS, TrialRecord
from thalweg.race.trials.run import recorded, run_trial
from thalweg.tasks import Task
from thalweg.train.restored.randomness import isolated


def run_unit(task: Task, unit: Unit, setting: Setting) -> tuple[TrialRecord, ...]:
    """Train what belongs together, one trial or a stack, and return the records in its order.

    Raises:
        KeyboardInterrupt: if the run was interrupted.
    """
    if len(unit) == 1:
        key, trial = unit[0]
        return (run_trial(task, trial, setting, key),)
    return run_stack(task, unit, setting)


def run_stack(task: Task, unit: Unit, setting: Setting) -> tuple[TrialRecord, ...]:
    """Train the trials of a unit together and return their records in its order.

    A trial that fails or diverges leaves the stack and has a record that says so. What turns out not to
    be stackable is trained trial by trial. `seconds` is the time of the stack shared among its models.

    `why_not` is to be asked first: a model whose noise a stack cannot share out is found by it alone.

    Raises:
        KeyboardInterrupt: if the run was interrupted.

    >>> import torch
    >>> from thalweg import optim
    >>> from thalweg.race.entrants.known import Entrant
    >>> from thalweg.race.trials.point import Point
    >>> from thalweg.race.trials.plan import Trial
    >>> x = torch.linspace(-1, 1, 32).reshape(-1, 1)
    >>> line = Task(data=(x, 2 * x), cost="mse", model=lambda: torch.nn.Linear(1, 1))
    >>> sgd = Entrant("sgd", optim.SGD)
    >>> unit = [(f"{lr}", Trial(sgd, Point(lr), seed=0, epochs=2)) for lr in (0.1, 0.3)]
    >>> records = run_stack(line, tuple(unit), Setting(8, "loss", "min"))
    >>> [(record.lr, record.status, record.steps, record.stacked) for record in records]
    [(0.1, 'finished', 8, 2), (0.3, 'finished', 8, 2)]
    """
    try:
        return _together(task, unit, setting)
    except FAULTS:  # alone, each trial shows whether it is to blame
        return tuple(run_trial(task, trial, setting, key) for key, trial in unit)


def _together(task: Task, unit: Unit, setting: Setting) -> tuple[TrialRecord, ...]:
    records: dict[int, TrialRecord] = {}
    members: dict[int, StackedModel] = {}
    with isolated(CPU), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "There is a performance drop", UserWarning)
        found: Probe | None = None
        for k, (key, trial) in enumerate(unit):
            try:
                recipe = recipe_of(task, trial, setting)
                check_stackable(recipe)
                found = found or probe_task(recipe.task, setting.device)
                members[k] = enter(recipe)
            except StackError:
                raise
            except FAULTS as error:  # a trial that cannot begin: the others go on
                status, text = outcome_of(error)
                records[k] = recorded(trial, key, setting, None, status, text)
        if found is not None and members:
            check_alike([member.recipe for member in members.values()])
            ModelStack(list(members.values()), found).train()
    for k, member in members.items():
        key, trial = unit[k]
        assert member.status is not None
        record = recorded(trial, key, setting, member.run, member.status, member.error)
        records[k] = replace(record, stacked=len(members))
    return tuple(records[k] for k in range(len(unit)))
