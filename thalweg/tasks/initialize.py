"""How the model of a task starts: a strategy by name or made in Python, or a function of the model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from thalweg.errors import TaskError
from thalweg.init.apply import set_up
from thalweg.init.named import find_strategy
from thalweg.init.strategies.strategy import InitChain, InitStrategy, parts_of
from thalweg.model.graph import graph_of
from thalweg.objective.losses import Loss
from thalweg.objective.weighted import unweighted
from thalweg.tasks.place import place_of
from thalweg.tasks.sources.batches import Order
from thalweg.tasks.sources.source import ArraySource, Source

Draw = Callable[[nn.Module], Any]
Initialization = str | InitStrategy | InitChain | Draw

_ROWS = 256
"""Rows of the batch that a strategy looks at, where the task takes all rows at once."""


def check_initialization(how: Initialization) -> InitStrategy | InitChain | Draw:
    """Return what starts a model; raise TaskError if it is not an initialization."""
    if isinstance(how, str):
        return find_strategy(how)
    if not (isinstance(how, (InitStrategy, InitChain)) or callable(how)):
        raise TaskError(
            "An initialization must be a name such as 'orthogonal', a strategy such as init.he(), or a "
            f"function of the model; got {how!r}."
        )
    return how


def text_of(how: Any) -> str | None:
    """Return the text of a strategy; None where there is none, and for a function."""
    return str(how) if isinstance(how, (str, InitStrategy, InitChain)) else None


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
    graph = None if reads and data is not None else graph_of(model)
    if data is not None and graph is None:
        x, y, targets = batch_for(model, data, batch_size)
    set_up(model, how, x, y, seed=None, loss=loss, targets=targets, graph=graph)


def batch_for(
    model: nn.Module, data: Source, batch_size: int | None
) -> tuple[Any, Any, Any | None]:
    """Return a batch of rows where the model is, drawn by PyTorch's global generator.

    These are inputs, targets, and all targets of a set in memory.
    """
    order = Order(int(torch.randint(2**62, ())))
    place = place_of(model)
    with torch.random.fork_rng(devices=[]), data.untraced():
        x, y = next(iter(data.batches(batch_size or _ROWS, order, 1, place)))
    whole = unweighted(data.targets) if isinstance(data, ArraySource) else None
    return x, unweighted(y), whole
