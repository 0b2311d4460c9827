"""Small trainings for the doctor, and what they leave behind."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from thalweg.doctor import Doctor, Report

FEATURES, CLASSES = 8, 4
Batches = list[tuple[Tensor, Tensor]]


def rows(count: int = 512, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return inputs, and the classes that a random layer gives them."""
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(count, FEATURES, generator=draw)
    w = torch.randn(FEATURES, CLASSES, generator=draw)
    return x, (x @ w).argmax(1)


def batches(steps: int, size: int = 32, *, seed: int = 0, order: Any = None) -> Batches:
    """Return batches in a random order, or of rows in the order that is given."""
    x, y = rows()
    draw = torch.Generator().manual_seed(seed + 1)
    found: Batches = []
    while len(found) < steps:
        places = torch.randperm(len(x), generator=draw) if order is None else order(x, y)
        found += [(x[i], y[i]) for i in places.split(size)]
    return found[:steps]


def net(
    activation: Callable[[], nn.Module] = nn.ReLU, depth: int = 2, width: int = 24
) -> nn.Sequential:
    """Return a network of layers of one width, from a fixed seed."""
    torch.manual_seed(0)
    sizes = [FEATURES, *[width] * depth]
    layers: list[nn.Module] = []
    for a, b in itertools.pairwise(sizes):
        layers += [nn.Linear(a, b), activation()]
    return nn.Sequential(*layers, nn.Linear(sizes[-1], CLASSES))


def trained(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    given: Batches,
    *,
    watch: bool = True,
    loss: Any = "cross_entropy",
    **options: Any,
) -> Doctor | None:
    """Train on batches, with a doctor, which may take any time, or without one."""
    function = functional.cross_entropy if isinstance(loss, str) or loss is None else loss
    settings = {"budget": 1e9, "loss": loss, **options}
    doctor = Doctor(model, optimizer, **settings) if watch else None
    for x, y in given:

        def closure(x: Tensor = x, y: Tensor = y) -> Tensor:
            optimizer.zero_grad()
            value: Tensor = function(model(x), y)
            value.backward()  # type: ignore[no-untyped-call]
            return value

        if isinstance(optimizer, torch.optim.LBFGS):
            value = optimizer.step(closure)  # type: ignore[no-untyped-call]
        else:
            value = closure()
            optimizer.step()
        if doctor is not None:
            doctor.step(value, batch=(x, y) if loss is not None else None)
    return doctor


def report(
    model: nn.Module, optimizer: torch.optim.Optimizer, given: Batches, **options: Any
) -> Report:
    """Train with a doctor, and return its report."""
    doctor = trained(model, optimizer, given, **options)
    assert doctor is not None
    doctor.close()
    return doctor.report()


def generators() -> tuple[Any, ...]:
    """Return the states of the global generators."""
    numpy: Any = np.random.get_state(legacy=False)
    return torch.get_rng_state(), numpy["state"]["key"], random.getstate()[1]


def hooks(model: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Return how many hooks there are."""
    modules = sum(
        len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks)
        for m in model.modules()
    )
    own: Any = optimizer
    return modules + len(own._optimizer_step_pre_hooks) + len(own._optimizer_step_post_hooks)
