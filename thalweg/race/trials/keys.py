"""Keys of trials: equal for the very same configuration, so that what was finished need not be run
again.

A key is a hash of everything a trial depends on: the data, the task's name, the entrant with its
point, seed and epochs, the versions, the machine. The target is not among them: when it was reached
is read off the learning curve. Functions cannot be compared by name,
since a user edits them, so what they *compute* is hashed too: the first steps of the entrant on the
first rows of the data, from the weights of the seed 0. These steps also warm the optimizer up, so
that no trial pays for compiling it.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from thalweg.errors import TaskError, ThalwegError
from thalweg.hashing import bytes_of, hash_of, hash_of_numbers, lasting
from thalweg.race.entrants.entrant import Entrant
from thalweg.race.trials.plan import RacePlan, Trial
from thalweg.race.trials.records import FAULTS
from thalweg.tasks import Task
from thalweg.tasks.place import place_of
from thalweg.tasks.sources.source import ArraySource, LoaderSource, Source
from thalweg.tasks.sources.weighted import WeightedSource
from thalweg.train.gradients import epoch_rows, gradient_rows
from thalweg.train.health.check import check_task, remarks
from thalweg.train.optimizers.known import name_of, needs_model, needs_residuals
from thalweg.train.restored.randomness import isolated, seed_weights
from thalweg.train.running.step import TrainingStep, residuals_for

_PROBE_ROWS = 32
_PROBE_STEPS = 3
_PROBE_RATE = 0.01
_CPU = torch.device("cpu")
_SCHEDULE_STEPS = 40
_ROWS = 256


@dataclass(frozen=True)
class Keys:
    """The keys of a race's trials."""

    common: str
    probes: Mapping[str, str]
    threads: int = 1
    remarks: tuple[str, ...] = ()
    """What a reader of the results should know of the task, in sentences."""

    @classmethod
    def of(cls, task: Task, plan: RacePlan, circumstances: Mapping[str, Any]) -> Keys:
        """Return the keys of the trials that a plan may lead to.

        Args:
            task: what is trained on.
            plan: who trains.
            circumstances: what else the numbers depend on: versions, machine, the metric.

        Raises:
            TaskError: if the task itself cannot be trained, whoever does it.
        """
        untrained = check_task(task, batch_size=plan.batch_size)
        _check_own_sizes(task, plan)
        _check_residuals(task, plan)
        common = {
            "task": task.name,
            "cost": lasting(repr(task.cost)),
            "data": [_of_source(getattr(task.data, name)) for name in ("train", "validation")],
            "batch_size": plan.batch_size,
            **_of_loader(task),
            **circumstances,
        }
        probes = {entrant.name: hash_of_first_steps(task, entrant) for entrant in plan.entrants}
        return cls(hash_of(common), probes, remarks=tuple(remarks(task, untrained)))

    def key(self, trial: Trial) -> str:
        """Return the key of a trial, which is the same for the very same trial of any race."""
        own = [trial.point.values, trial.seed, trial.epochs]
        return hash_of([self.common, self.threads, self.of_entrant(trial.entrant), *own])

    def of_entrant(self, entrant: Entrant) -> str:
        """Return the hash of what an entrant is, whatever its point."""
        hyperparameters = lasting(repr(sorted(entrant.hyperparameters.items())))
        own: list[Any] = (
            [] if entrant.batch_size == "race" else [{"batch_size": entrant.batch_size}]
        )
        own += [] if entrant.strategy is None else [{"strategy": entrant.strategy.identity()}]
        return hash_of([entrant.name, hyperparameters, self.probes[entrant.name], *own])


def _check_residuals(task: Task, plan: RacePlan) -> None:
    """Check that the cost has residuals, where an entrant is known to ask for them.

    Of one in a function of the user's each trial will say so.
    """
    for entrant in plan.entrants:
        factory = entrant.factory
        factory = factory.func if isinstance(factory, functools.partial) else factory
        if needs_residuals(factory):
            task.cost.bind_residuals(nn.Identity(), name_of(factory))


def _check_own_sizes(task: Task, plan: RacePlan) -> None:
    """Check that the task can be trained in the batches of the entrants that have their own size."""
    own = {entrant.batch_size: entrant.name for entrant in plan.entrants}
    own.pop("race", None)
    if own and isinstance(task.data.train, LoaderSource):
        raise TaskError(
            f"{next(iter(own.values()))!r} has a batch_size of its own, and the training set is a "
            "DataLoader, which keeps its size. Give the data set itself, or leave batch_size out."
        )
    for size in own:
        if size != "race":
            check_task(task, batch_size=size)


def _of_loader(task: Task) -> dict[str, Any]:
    """How a loader's own batches are counted: trials of earlier versions had a wrong budget there."""
    source = task.data.train
    if not isinstance(source, LoaderSource):
        return {}
    return {"loader": [gradient_rows(task), epoch_rows(source)]}


def hash_of_first_steps(task: Task, entrant: Entrant) -> str:
    """Return a hash of what the entrant's first steps compute, or of the error that they end in.

    The global random state is left as it was.

    Raises:
        TaskError: if the task itself cannot be trained, whoever does it.
    """
    digest = hashlib.sha256()
    with task.data.train.untraced(), isolated(), _repeatable():
        seed_weights(0, _CPU)
        inputs, targets = _first_rows(task, task.build())
        try:
            digest.update(_of_schedule(entrant))
            seed_weights(0, _CPU)
            model = entrant.task(task).build()
            for value in _steps(task, model, entrant, inputs, targets):
                digest.update(bytes_of(value))
            outputs = model(inputs).detach()
            model.eval()  # which may be another way through the model
            digest.update(_content(model(inputs)).encode())
            surrogate = task.cost.surrogate
            if not surrogate.weighs_by_rows(targets):
                weight = surrogate.measured(outputs, targets, 0)[1]
                digest.update(f"weight {weight}".encode() if weight else b"")
            digest.update(
                repr([measure(outputs, targets) for measure in task.cost.measures]).encode()
            )
        except FAULTS as error:  # the entrant's own fault: each of its trials will say so
            digest.update(lasting(repr(error)).encode())
    return digest.hexdigest()


@contextlib.contextmanager
def _repeatable() -> Iterator[None]:
    """Let convolutions on a GPU add up in one order: the same steps have the same hash."""
    before = torch.backends.cudnn.deterministic
    torch.backends.cudnn.deterministic = True
    try:
        yield
    finally:
        torch.backends.cudnn.deterministic = before


def _first_rows(task: Task, model: nn.Module) -> tuple[Any, Any]:
    """The first rows of the training set, on which the task has shown that its objective can be
    computed.
    """
    inputs, targets = task.data.train.first(_PROBE_ROWS)
    place = place_of(model)
    inputs, targets = place(inputs), place(targets)
    try:
        targets = task.cost.surrogate.match(model(inputs), targets)  # as training matches them
        task.cost.objective(model, inputs, targets)
    except ThalwegError:
        raise
    except FAULTS as error:
        raise TaskError(
            f"The model and the cost of task {task.name!r} fail on the first rows of its "
            f"training set: {type(error).__name__}: {error}"
        ) from error
    return inputs, targets


def _steps(
    task: Task, model: nn.Module, entrant: Entrant, inputs: Any, targets: Any
) -> Iterator[Tensor]:
    searched = {name: space.at(0.5) for name, space in entrant.search.items()}
    stepped: Any = [p for p in model.parameters() if p.requires_grad]
    if needs_model(entrant.factory):
        stepped = model
    optimizer = entrant.build(stepped, _PROBE_RATE, **searched)
    cost = task.cost
    step = TrainingStep(
        model,
        optimizer,
        cost.surrogate,
        cost.bind_penalty(model),
        residuals=residuals_for(optimizer, cost, model),
        by_rows=True,  # nobody asks what the batch weighs
    )
    gradient = functools.partial(step.gradient, inputs, targets)
    for _ in range(_PROBE_STEPS):
        if step.by_closure:
            optimizer.step(gradient)  # type: ignore[arg-type]  # torch annotates floats
            continue
        yield gradient().detach()
        optimizer.step()
    for parameter in model.parameters():
        yield parameter.detach()


def _of_schedule(entrant: Entrant) -> bytes:
    rate = entrant.rate(_PROBE_RATE, _SCHEDULE_STEPS)
    if not callable(rate):
        return b""
    return repr([rate(step) for step in range(_SCHEDULE_STEPS)]).encode()


def _of_source(source: Source | None) -> str:
    """A hash of a data set: of all its numbers where they are in memory, else of its length and of
    rows spread over it, which an edit of a whole set does not leave as they were.
    """
    if source is None:
        return "none"
    with source.untraced(), isolated():  # rows may be drawn
        return _of_content(source)


def _of_content(source: Source) -> str:
    digest = hashlib.sha256()
    if isinstance(source, ArraySource):
        tensors = [source.inputs, source.targets]
    elif isinstance(source, WeightedSource):
        tensors = [source.inputs, source.arrays.targets, source.weights]
    else:
        digest.update(str(source.rows).encode())
        digest.update(_of_rows(getattr(source, "dataset", None) or source.loader.dataset))  # type: ignore[attr-defined]
        tensors = []
    for tensor in tensors:
        digest.update(str((tuple(tensor.shape), tensor.dtype)).encode())
        digest.update(bytes_of(tensor))
    return digest.hexdigest()


def _of_rows(dataset: Any) -> bytes:
    """A hash of some rows of a data set that can be indexed; nothing where they are drawn again each
    time, as with random augmentation.
    """
    try:
        count = len(dataset)
        picked = sorted({k * (count - 1) // (_ROWS - 1) for k in range(_ROWS)})
        once, twice = ([_content(dataset[k]) for k in picked] for _ in range(2))
    except FAULTS:  # it has no length, no index, or its own error, which training will show
        return b""
    return hashlib.sha256("".join(once).encode()).digest() if once == twice else b""


def _content(row: Any) -> str:
    """What a row holds, in a text that is the same in every process."""
    if isinstance(row, Tensor | np.ndarray):
        return hash_of_numbers(row)
    if isinstance(row, Mapping):
        return repr([(key, _content(value)) for key, value in row.items()])
    if isinstance(row, tuple | list):
        return repr([_content(item) for item in row])
    return lasting(repr(row))
