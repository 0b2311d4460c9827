"""What a race measures before its first trial: the keys of the trials, and whether stacks pay."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import nn

from thalweg.race.executors.executor import cores_for
from thalweg.race.executors.machine import machine_name, versions
from thalweg.race.executors.processes import can_fork
from thalweg.race.raced_task import RacedTask
from thalweg.race.stack_decision import LARGEST_STACKED, Stacking, choose_stacking
from thalweg.race.trials.keys import Keys
from thalweg.race.trials.measured import MeasuredFile
from thalweg.race.trials.plan import RacePlan, Setting
from thalweg.tasks import Task
from thalweg.train.threads import count_parameters, fitting_threads, torch_threads


@dataclass(frozen=True)
class Prepared:
    """What is known of a race once its model was built and its first steps were tried.

    `model` describes the model in words. `workers` is how many processes of this machine may
    measure: this one alone where the task is tied to it.
    """

    model: str
    parameters: int
    setting: Setting
    workers: int
    stacking: Stacking
    keys: Keys


def prepare(
    task: Task,
    plan: RacePlan,
    subject: RacedTask,
    measured: MeasuredFile,
    *,
    threads: int | None,
    stack: bool | int | None,
    tied: bool,
) -> Prepared:
    """Build the model, try the first steps of every entrant, and find how trials are to be run.

    Args:
        task: what is trained on.
        plan: who trains.
        subject: the figure that decides.
        measured: where measurements are kept.
        threads: of torch; None: as many as suit the model.
        stack: what the user wants of stacks.
        tied: whether the task cannot leave this process.

    Raises:
        TaskError: for a model, cost or data that cannot be trained, or cannot be stacked as asked.
    """
    with torch.random.fork_rng(devices=[]):
        model = task.build()
    parameters = count_parameters(model)
    setting = Setting(
        plan.batch_size,
        subject.metric,
        subject.direction,
        threads=_threads_for(parameters) if threads is None else threads,
    )
    workers = 1 if tied else cores_for(setting)
    words = _in_words(model, parameters)
    with torch_threads(setting.threads):
        keys = Keys.of(
            task,
            plan,
            {
                "model": words,
                "metric": subject.metric,
                "versions": versions(),
                "machine": machine_name(),
            },
        )
        stacking = choose_stacking(
            task,
            plan,
            setting,
            parameters=parameters,
            workers=workers,
            wanted=stack,
            measured=measured,
            key=keys.common,
        )
    keys = replace(keys, threads=setting.threads)
    return Prepared(words, parameters, setting, workers, stacking, keys)


def _threads_for(parameters: int) -> int:
    """Several trials at once, on a thread each, are done sooner than one after another."""
    small = can_fork() and parameters <= LARGEST_STACKED
    return 1 if small else fitting_threads(parameters)


def _in_words(model: nn.Module, parameters: int) -> str:
    return f"{type(model).__name__} of {parameters:,} parameters"
