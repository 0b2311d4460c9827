"""The modes and the buffers of a model, kept and put back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.parameter import is_lazy


@contextmanager
def modes_kept(model: nn.Module) -> Iterator[None]:
    """Put each module of `model` back, at the end, into the mode that it has now.

    Each has a mode of its own: a part of a model may stay in evaluation mode while the rest trains.

    >>> model = nn.Sequential(nn.Dropout(), nn.Dropout().eval())
    >>> with modes_kept(model):
    ...     _ = model.eval()
    >>> [module.training for module in model]
    [True, False]
    """
    modes = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def buffers_kept(model: nn.Module) -> Iterator[None]:
    """Put each buffer of `model` back at the end, the object and its numbers.

    >>> model = nn.BatchNorm1d(2)
    >>> with buffers_kept(model):
    ...     _ = model(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    >>> model.running_mean
    tensor([0., 0.])
    """
    held = [
        (module, name, buffer, buffer.clone())
        for module in model.modules()
        for name, buffer in module.named_buffers(recurse=False)
        if not is_lazy(buffer)
    ]
    try:
        yield
    finally:
        for module, name, buffer, before in held:
            setattr(module, name, buffer)
            with torch.no_grad():
                buffer.copy_(before)
