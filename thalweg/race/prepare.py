"""What a race finds out before its first trial: the size of the model, threads, keys of trials."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import nn

from thalweg.race.executors.apart import can_fork
from thalweg.race.executors.machine import cores_for
from thalweg.race.raced_task import RacedTask
from thalweg.race.trials.keys import Keys
from thalweg.race.trials.plan import RacePlan, Setting
from thalweg.tasks import Task
from thalweg.train.machine.threads import count_parameters, fitting_threads, torch_threads
from thalweg.train.machine.versions import machine_name, versions

LARGEST_STACKED = 2_000_000
"""Parameters of a model above which stacking is not even tried: calls of PyTorch then cost nothing
beside the arithmetic, and a stack costs memory.
"""


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
    keys: Keys


def prepare(
    task: Task,
    plan: RacePlan,
    subject: RacedTask,
    *,
    threads: int | None,
    tied: bool,
) -> Prepared:
    """Build the model, try the first steps of every entrant, and find how trials are to be run.

    Args:
        task: what is trained on.
        plan: who trains.
        subject: the figure that decides.
        threads: of torch; None: as many as suit the model.
        tied: whether the task cannot leave this process.

    Raises:
        TaskError: for a model, cost or data that cannot be trained.
    """
    with torch.random.fork_rng(devices=[]):
        model = task.bare()
    parameters = count_parameters(model)
    setting = Setting(
        plan.batch_size,
        subject.metric,
        subject.direction,
        threads=_threads_for(parameters) if threads is None else threads,
    )
    workers = 1 if tied else cores_for(setting.threads)
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
    keys = replace(keys, threads=setting.threads)
    return Prepared(words, parameters, setting, workers, keys)


def _threads_for(parameters: int) -> int:
    """Several trials at once, on a thread each, are done sooner than one after another."""
    small = can_fork() and parameters <= LARGEST_STACKED
    return 1 if small else fitting_threads(parameters)


def _in_words(model: nn.Module, parameters: int) -> str:
    return f"{type(model).__name__} of {parameters:,} parameters"
