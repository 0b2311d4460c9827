"""A trial pass of a task's model, to find what a stack must know before it begins."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from thalweg.race.stack.errors import StackError
from thalweg.race.stack.models import tensors_of
from thalweg.race.stack.probe import CPU, ROWS, Probe
from thalweg.race.trials.host_noise import NoiseOnHost
from thalweg.tasks.place import place_of
from thalweg.tasks.sources.source import ArraySource, Source
from thalweg.tasks.sources.weighted import Rows, WeightedSource
from thalweg.tasks.task import Task
from thalweg.train.health.check import checked
from thalweg.train.machine.devices import is_cpu
from thalweg.train.restored.modes import evaluating
from thalweg.train.restored.randomness import isolated


def probe_task(task: Task, device: torch.device | None = None) -> Probe:
    """Try a model of the task on a device; None: where it is built. The global generator is left as it was.

    Raises:
        StackError: for a model that lies on several devices, or on one that holds no numbers.
        TaskError, DataError: for what cannot be learned.
    """
    with isolated(CPU):
        model = task.build()
        if device is not None:
            model = model.to(device)
        place = place_of(model)
        _check_places(model)
        sets = {}
        for name in ("train", "validation", "test"):
            source = getattr(task.data, name)
            if source is not None:
                sets[name] = checked(task, model, source.placed(place), name, place, None)
        train = _matched(task, model, sets["train"])
        given = sets.get("validation")
        validation = None if given is None else _matched(task, model, given)
        inputs = train.inputs[:ROWS]
        before = {n: (t._version, t.detach().clone()) for n, t in tensors_of(model).items()}
        model.train()
        with torch.no_grad(), _noticing(place.device) as training:
            model(inputs.clone())
        # batch normalization writes without counting a version; what it writes, though, changes
        written = frozenset(
            name
            for name, tensor in tensors_of(model).items()
            if tensor._version != before[name][0] or not torch.equal(tensor, before[name][1])
        )
        with evaluating(model), _noticing(place.device) as measured:
            model(inputs.clone())
    return Probe(train, validation, written, bool(training), bool(measured), place.device)


def _check_places(model: nn.Module) -> None:
    """Refuse a model whose stack would have no one place."""
    places = {tensor.device for tensor in tensors_of(model).values()}
    if len(places) > 1:
        names = ", ".join(sorted(map(str, places)))
        raise StackError(f"The model lies on several devices, {names}; a stack has one.")
    if torch.device("meta") in places:
        raise StackError("The model is on the device meta, which holds no numbers.")


def _matched(task: Task, model: nn.Module, source: Source) -> Rows:
    """Return a set with its targets as the loss wants them; those without weights are so already."""
    if isinstance(source, WeightedSource):
        with evaluating(model), torch.no_grad():
            outputs = model(source.inputs[:ROWS].clone())
        targets = task.cost.surrogate.match(outputs, source.arrays.targets)
        return WeightedSource(ArraySource(source.inputs, targets), source.weights)
    assert isinstance(source, ArraySource)
    return source


@contextlib.contextmanager
def _noticing(device: torch.device) -> Iterator[list[bool]]:
    """Give a list that is not empty after the block if random numbers were drawn in it."""
    noticed: list[bool] = []
    before: Tensor = torch.default_generator.get_state()
    with contextlib.nullcontext() if is_cpu(device) else NoiseOnHost(noticed.append):
        yield noticed
    if not torch.equal(before, torch.default_generator.get_state()):
        noticed.append(True)
