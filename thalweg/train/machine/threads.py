"""How many threads torch should use: small models train fastest on one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from thalweg.tasks.task import Task

_SMALL_MODEL = 20_000
"""Below so many parameters, splitting a step among threads costs more than it gains."""


def count_parameters(model: nn.Module) -> int:
    """Return the number of elements of all parameters of `model`; a lazy one has none yet."""
    return sum(p.numel() for p in model.parameters() if not is_lazy(p))


def fitting_threads(parameters: int) -> int:
    """Return how many threads torch should use for a model of so many parameters: one for a small
    model.
    """
    return 1 if parameters < _SMALL_MODEL else torch.get_num_threads()


def threads_for(task: Task) -> int:
    """Return how many threads torch should use for the task's model, built once to be counted; the
    global random state is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        return fitting_threads(count_parameters(task.bare()))


@contextlib.contextmanager
def torch_threads(number: int) -> Iterator[None]:
    """Let torch use `number` threads inside the block, and as many as before after it."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
