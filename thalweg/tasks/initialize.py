"""How the model of a task starts: a strategy by name or made in Python, or a function of the model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from thalweg.errors import TaskError
from thalweg.init.apply import apply
from thalweg.init.model.graph import graph_of
from thalweg.init.named import find_strategy, strategy_names
from thalweg.init.strategies.strategy import InitChain, InitStrategy, parts_of
from thalweg.objective.losses import Loss
from thalweg.objective.weighted import unweighted
from thalweg.tasks.batches import Order
from thalweg.tasks.sources import ArraySource, Placement, Source

Draw = Callable[[nn.Module], Any]
Initialization = str | InitStrategy | InitChain | Draw

_ROWS = 256
"""Rows of the batch that a strategy looks at, where the task takes all rows at once."""


def check_initialization(how: Initialization) -> InitStrategy | InitChain | Draw:
    """Return what starts a model; raise TaskError for what is no initialization."""
    if isinstance(how, str):
        return find_strategy(how)
    if not (isinstance(how, (InitStrategy, InitChain)) or callable(how)):
        raise TaskError(
            "An initialization is a name such as 'orthogonal', a strategy such as init.he(), or a "
            f"function of the model; got {how!r}."
        )
    return how


def initialized(build: Callable[[], nn.Module], how: Initialization) -> Callable[[], nn.Module]:
    """Return a function that builds the model and draws its weights anew.

    A name is that of a strategy of `thalweg.init`, or of a function of `torch.nn.init` without its
    underscore, for every trainable parameter of two or more axes. What is not matched, such as
    biases and gains, stays as the model set it. What is drawn depends on PyTorch's global generator, as
    what the model itself draws does.

    Raises:
        TaskError: for a name that nothing has.

    >>> model = initialized(lambda: nn.Linear(3, 3), "orthogonal")()
    >>> torch.allclose(model.weight @ model.weight.T, torch.eye(3), atol=1e-6)
    True
    """
    start = check_initialization(how)

    def model() -> nn.Module:
        built = build()
        started(built, start)
        return built

    return model


def started(
    model: nn.Module,
    how: InitStrategy | InitChain | Draw,
    data: Source | None = None,
    loss: Loss | None = None,
    batch_size: int | None = None,
) -> None:
    """Start a model in place, with rows of the training set where the strategy looks at data.

    They are a batch of rows drawn by the seed; of a set in memory `output_bias` sees all targets.
    """
    if not isinstance(how, (InitStrategy, InitChain)):
        with torch.no_grad():
            how(model)
        return
    x = y = targets = None
    reads = any(part.definition.reads for part in parts_of(how))
    if data is not None and (reads or graph_of(model) is None):
        x, y, targets = batch_for(model, data, batch_size)
    apply(model, how, x, y, seed=None, loss=loss, targets=targets)


def batch_for(
    model: nn.Module, data: Source, batch_size: int | None
) -> tuple[Any, Any, Any | None]:
    """Return a batch of rows where the model is, drawn by PyTorch's global generator.

    These are inputs, targets, and all targets of a set in memory.
    """
    order = Order(int(torch.randint(2**62, ())))
    first = next((p for p in model.parameters() if p.is_floating_point()), None)
    place = Placement() if first is None else Placement(first.device, first.dtype)
    with torch.random.fork_rng(devices=[]), data.untraced():
        x, y = next(iter(data.batches(batch_size or _ROWS, order, 1, place)))
    whole = unweighted(data.targets) if isinstance(data, ArraySource) else None
    return x, unweighted(y), whole


def initializations() -> list[str]:
    """Return the names that an initialization may have.

    >>> "kaiming_normal" in initializations(), "he" in initializations(), "eye" in initializations()
    (True, True, True)
    """
    return strategy_names()
