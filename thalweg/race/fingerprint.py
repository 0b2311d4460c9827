"""Keys of trials: equal for the very same configuration, so that what was finished need not be run
again.

A key is a hash of everything a trial depends on: the data, the task's name, the budget, the entrant
with its learning rate and seed, the versions, the machine. Functions cannot be compared by name,
since a user edits them, so what they *compute* is hashed too: the first steps of the entrant on the
first rows of the data, from the weights of the seed 0. These steps also warm the optimizer up, so
that no trial pays for compiling it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from thalweg.errors import TaskError, ThalwegError
from thalweg.race.entrants import Entrant
from thalweg.race.plan import Plan, Trial
from thalweg.tasks import Task
from thalweg.tasks.sources import ArraySource, Place, Source
from thalweg.train.check import check_task

_PROBE_ROWS = 32
_PROBE_STEPS = 3
_PROBE_RATE = 0.01
_KEY_DIGITS = 20


def keyed_trials(
    task: Task, plan: Plan, circumstances: Mapping[str, Any]
) -> tuple[tuple[str, Trial], ...]:
    """Return the trials of the plan, in the order of running, each with its key.

    Args:
        task: what is trained on.
        plan: who trains, and for how long.
        circumstances: what else the numbers depend on: versions, machine, threads, the metric.
    """
    check_task(task)
    common = {
        "task": task.name,
        "cost": _lasting(repr(task.cost)),
        "target": repr(task.target),
        "data": [_of_source(getattr(task.data, name)) for name in ("train", "validation")],
        "epochs": plan.epochs,
        "batch_size": plan.batch_size,
        **circumstances,
    }
    probes = {entrant.name: probe(task, entrant) for entrant in plan.entrants}
    return tuple(
        (_key(common, trial, probes[trial.entrant.name]), trial) for trial in plan.trials()
    )


def probe(task: Task, entrant: Entrant) -> str:
    """Return a hash of what the entrant's first steps compute, or of the error that they end in.

    The global random state is left as it was.

    Raises:
        TaskError: if the task itself cannot be trained, whoever does it.
    """
    digest = hashlib.sha256()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = task.build()
        inputs, targets = _first_rows(task, model)
        try:
            for value in _steps(task, model, entrant, inputs, targets):
                digest.update(_bytes(value))
            outputs = model(inputs).detach()
            digest.update(
                repr([measure(outputs, targets) for measure in task.cost.measures]).encode()
            )
        except Exception as error:  # the entrant's own fault: each of its trials will say so
            digest.update(_lasting(repr(error)).encode())
    return digest.hexdigest()


def _first_rows(task: Task, model: nn.Module) -> tuple[Any, Any]:
    """The first rows of the training set, on which the task has shown that its objective can be
    computed.
    """
    inputs, targets = task.data.train.first(_PROBE_ROWS)
    place = Place(dtype=_dtype(model))
    inputs, targets = place(inputs), place(targets)
    try:
        targets = task.cost.surrogate.match(model(inputs), targets)  # as training matches them
        task.cost.objective(model, inputs, targets)
    except ThalwegError:
        raise
    except Exception as error:
        raise TaskError(
            f"The model and the cost of task {task.name!r} fail on the first rows of its "
            f"training set: {type(error).__name__}: {error}"
        ) from error
    return inputs, targets


def _key(common: Mapping[str, Any], trial: Trial, probed: str) -> str:
    own = {
        "entrant": trial.entrant.name,
        "hyperparameters": _lasting(repr(sorted(trial.entrant.hyperparameters.items()))),
        "probe": probed,
        "lr": trial.lr,
        "seed": trial.seed,
    }
    text = json.dumps([common, own], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:_KEY_DIGITS]


def _steps(
    task: Task, model: nn.Module, entrant: Entrant, inputs: Any, targets: Any
) -> Iterator[Tensor]:
    optimizer = entrant.build(list(model.parameters()), _PROBE_RATE)
    for _ in range(_PROBE_STEPS):
        optimizer.zero_grad()
        objective = task.cost.objective(model, inputs, targets)
        objective.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        yield objective.detach()
    for parameter in model.parameters():
        yield parameter.detach()


def _lasting(text: str) -> str:
    """The text without addresses in memory, which differ from one process to the next."""
    return re.sub(r" at 0x[0-9a-fA-F]+", "", text)


def _of_source(source: Source | None) -> str:
    """A hash of a data set: of all its numbers where they are in memory, else of its length and
    first rows.
    """
    if source is None:
        return "none"
    digest = hashlib.sha256()
    if isinstance(source, ArraySource):
        tensors = [source.inputs, source.targets]
    else:
        digest.update(str(source.rows).encode())
        tensors = []
    for tensor in tensors:
        digest.update(str((tuple(tensor.shape), tensor.dtype)).encode())
        digest.update(_bytes(tensor))
    return digest.hexdigest()


def _bytes(tensor: Tensor) -> bytes:
    # of one row, any stride counts as contiguous; a copy has the usual one
    flat = tensor.detach().cpu().clone(memory_format=torch.contiguous_format).reshape(-1)
    return flat.view(torch.uint8).numpy().tobytes()


def _dtype(model: nn.Module) -> torch.dtype | None:
    for parameter in model.parameters():
        if parameter.is_floating_point():
            return parameter.dtype
    return None
