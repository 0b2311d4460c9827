"""Losses of a model in training that leave everything as it was: weights, buffers, modes, random numbers."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from operator import is_
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from thalweg.generators import seed_numpy
from thalweg.objective.losses import Loss
from thalweg.objective.nested import mapped
from thalweg.train.restored.randomness import isolated

SEED = 0x5EED
"""What is drawn (dropout) is the same in each loss, so that two of them differ by the weights alone."""


@contextmanager
def as_found(model: nn.Module) -> Iterator[None]:
    """Put back modes, attributes of modules and random generators; the same is drawn inside each time."""
    with isolated(), _attributes_as_found(model):
        seed_all(SEED)
        yield


@contextmanager
def _attributes_as_found(model: nn.Module) -> Iterator[Callable[[], None]]:
    """Put back the attributes of modules, their modes among them, at the end and where it is asked for."""
    kept = [(vars(module), dict(vars(module))) for module in model.modules()]

    def put_back() -> None:
        for now, attributes in kept:
            if len(now) != len(attributes) or not all(map(is_, now.values(), attributes.values())):
                now.clear()
                now.update(attributes)

    try:
        yield put_back
    finally:
        put_back()


def seed_all(seed: int) -> None:
    """Seed the global generators of the CPU, and those of CUDA where it is in use."""
    # torch.manual_seed formats the stack for each kind of device that is missing, at a hundred times the cost
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.manual_seed_all(seed)
    seed_numpy(seed)
    random.seed(seed)


Modes = Sequence[tuple[nn.Module, bool]]
"""Modules with the mode, training or not, that each has in training."""


def modes_of(model: nn.Module) -> Modes:
    """Return the modes of all modules."""
    return [(module, module.training) for module in model.modules()]


def enter_modes(modes: Modes) -> None:
    """Put modules into these modes."""
    for module, training in modes:
        module.training = training


def outputs_of(
    model: nn.Module, inputs: Any, parameters: Mapping[str, Tensor] | None = None
) -> Any:
    """Return what a model gives, with other parameters if they are given; its buffers stay as they are."""
    own = {name: buffer.clone() for name, buffer in model.named_buffers()}
    own.update(parameters or {})
    inputs = mapped(inputs, torch.clone)
    return functional_call(model, own, (inputs,)) if own else model(inputs)


def loss_on(model: nn.Module, loss: Callable[[Any, Any], Tensor], batch: tuple[Any, Any]) -> Tensor:
    """Return the loss of copies of a batch: a model or a loss may write into what it is given."""
    inputs, targets = batch
    return loss(model(mapped(inputs, torch.clone)), mapped(targets, torch.clone))


def loss_of(
    model: nn.Module,
    loss: Callable[[Any, Any], Tensor],
    batch: Any,
    parameters: Mapping[str, Tensor] | None = None,
) -> float:
    """Return the loss of a batch without gradients, in the mode that the model has."""
    return losses_of(model, loss, batch, parameters)[0]


def losses_of(
    model: nn.Module,
    loss: Callable[[Any, Any], Tensor],
    batch: Any,
    *parameters: Mapping[str, Tensor] | None,
) -> list[float]:
    """Return the losses of a batch by several sets of parameters, None for those of the model."""
    inputs, targets = batch
    found = []
    with isolated(), _attributes_as_found(model) as put_back, torch.no_grad():
        for each in parameters:
            seed_all(SEED)
            outputs = outputs_of(model, inputs, each)
            found.append(float(loss(outputs, mapped(targets, torch.clone))))
            put_back()
    return found


def matching(loss: Loss) -> Callable[[Any, Any], Tensor]:
    """Return a loss that brings targets into the shape that it wants."""
    return lambda outputs, targets: loss(outputs, loss.match(outputs, targets))
