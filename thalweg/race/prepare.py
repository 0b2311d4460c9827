"""What a race finds out before its first trial: the size of the model, threads, keys of trials."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import nn

from thalweg.errors import TaskError
from thalweg.objective.blame import blame
from thalweg.race.executors.apart import can_fork
from thalweg.race.executors.machine import cores_for
from thalweg.race.raced_task import RacedTask
from thalweg.race.trials.host_noise import draws_noise
from thalweg.race.trials.keys import Keys
from thalweg.race.trials.plan import RacePlan, Setting
from thalweg.tasks import Task
from thalweg.train.machine.devices import device_name, is_cpu
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
    device: torch.device | None = None,
) -> Prepared:
    """Build the model, try the first steps of every entrant, and find how trials are to be run.

    Args:
        task: what is trained on.
        plan: who trains.
        subject: the figure that decides.
        threads: of torch; None: as many as suit the model.
        tied: whether the task cannot leave this process.
        device: where models are trained; None: where the task builds them.

    Raises:
        TaskError: for a model, cost or data that cannot be trained, or not on the device.
    """
    with torch.random.fork_rng(devices=[]):
        model = task.bare()
    parameters = count_parameters(model)
    device = _device_of(model, device)
    threads = _threads_for(parameters, device) if threads is None else threads
    workers = 1 if tied or not is_cpu(device) else cores_for(threads)
    words = _in_words(model, parameters)
    with torch_threads(threads):
        keys = Keys.of(
            task,
            plan,
            {
                "model": words,
                "metric": subject.metric,
                "versions": versions(),
                "machine": machine_name(),
                **_named(device),
            },
        )
    keys = replace(keys, threads=threads)
    setting = Setting(
        plan.batch_size,
        subject.metric,
        subject.direction,
        threads=threads,
        device=device,
        draws=not is_cpu(device) and draws_noise(task, model),
    )
    return Prepared(words, parameters, setting, workers, keys)


def _device_of(model: nn.Module, given: torch.device | None) -> torch.device | None:
    """Return where models are to be moved: as asked, or to the one device where the task builds them.

    None leaves them where they are: on the CPU, or on several devices.
    """
    places = {tensor.device for tensor in (*model.parameters(), *model.buffers())}
    if given is None:
        own = places.pop() if len(places) == 1 else None
        return None if is_cpu(own) else own
    try:
        model.to(given)
    except (RuntimeError, TypeError, NotImplementedError) as error:
        raise TaskError(f"The model cannot be moved to {given}. {blame(error)}") from error
    return given


def _named(device: torch.device | None) -> dict[str, str]:
    """What a device is called, for keys: the CPU is the machine, which they have already."""
    return {} if device is None or is_cpu(device) else {"device": device_name(device)}


def _threads_for(parameters: int, device: torch.device | None) -> int:
    """Several trials at once, on a thread each, are done sooner than one after another."""
    small = is_cpu(device) and can_fork() and parameters <= LARGEST_STACKED
    return 1 if small else fitting_threads(parameters)


def _in_words(model: nn.Module, parameters: int) -> str:
    return f"{type(model).__name__} of {parameters:,} parameters"
