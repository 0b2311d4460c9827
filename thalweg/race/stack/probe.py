"""What a stack must know of a task before it begins, found by trying a model that is thrown away."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from thalweg.race.stack.errors import StackError
from thalweg.race.stack.models import tensors_of
from thalweg.tasks.sources import ArraySource
from thalweg.tasks.task import Task
from thalweg.train.evaluate import evaluating, place_of
from thalweg.train.health.check import checked
from thalweg.train.randomness import isolated

CPU = torch.device("cpu")
ROWS = 4
"""Rows of a trial pass; batch normalisation needs more than one."""


@dataclass(frozen=True)
class Probe:
    """What was found.

    `train` and `validation` are placed and matched as `fit` does. `written` names the parameters and
    buffers that a forward pass in training writes; `draws` and `draws_measured` say whether the model
    draws random numbers in training and in evaluation.
    """

    train: ArraySource
    validation: ArraySource | None
    written: frozenset[str]
    draws: bool
    draws_measured: bool


def probe_task(task: Task) -> Probe:
    """Try a model of the task. The global generator is left as it was.

    Raises:
        StackError: for a model that is not on the CPU.
        TaskError, DataError: for what cannot be learned.
    """
    with isolated(CPU):
        model = task.build()
        place = place_of(model)
        if any(tensor.device.type != "cpu" for tensor in tensors_of(model).values()):
            raise StackError(f"The model is on the device {place.device}; stacks run on the CPU.")
        sets = {}
        for name in ("train", "validation", "test"):
            source = getattr(task.data, name)
            if source is not None:
                sets[name] = checked(task, model, source.placed(place), name, place, None)
        train, validation = sets["train"], sets.get("validation")
        assert isinstance(train, ArraySource)
        assert validation is None or isinstance(validation, ArraySource)
        inputs = train.inputs[:ROWS]
        before = {n: (t._version, t.detach().clone()) for n, t in tensors_of(model).items()}
        model.train()
        with torch.no_grad(), _noticing() as training:
            model(inputs.clone())
        # batch normalisation writes without counting a version; what it writes, though, changes
        written = frozenset(
            name
            for name, tensor in tensors_of(model).items()
            if tensor._version != before[name][0] or not torch.equal(tensor, before[name][1])
        )
        with evaluating(model), _noticing() as measured:
            model(inputs.clone())
    return Probe(train, validation, written, bool(training), bool(measured))


@contextlib.contextmanager
def _noticing() -> Iterator[list[bool]]:
    """Give a list that holds something, afterwards, if random numbers were drawn."""
    noticed: list[bool] = []
    before: Tensor = torch.default_generator.get_state()
    yield noticed
    if not torch.equal(before, torch.default_generator.get_state()):
        noticed.append(True)


def check_outputs(stacked: Tensor, modules: list[nn.Module], inputs: Tensor) -> None:
    """Refuse models that compute something else in the stack than alone: they hold numbers that are
    neither parameters nor buffers, or look at their parameters as no stack can show them.

    Raises:
        StackError: with the reason.
    """
    for k, module in enumerate(modules):
        with evaluating(module):
            alone = module(inputs.clone())
        if not torch.allclose(stacked[k], alone, rtol=1e-3, atol=1e-5, equal_nan=True):
            raise StackError(
                "The model gives other outputs in a stack than alone: it holds random numbers that are "
                "no parameters or buffers, or treats its parameters in a way that a stack cannot show."
            )
