"""Running a model to look at it: its modes, buffers and the random generators are put back."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy


@contextlib.contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Put each module's mode, each buffer and PyTorch's generators back at the end."""
    modes = [(module, module.training) for module in model.modules()]
    buffers = [
        (module, name, buffer, buffer.clone())
        for module in model.modules()
        for name, buffer in module.named_buffers(recurse=False)
        if not is_lazy(buffer)
    ]
    devices = sorted({p.device.index or 0 for p in model.parameters() if p.is_cuda})
    with torch.random.fork_rng(devices=devices):
        try:
            yield
        finally:
            for module, training in modes:
                module.training = training
            for module, name, buffer, before in buffers:
                setattr(module, name, buffer)
                with torch.no_grad():
                    buffer.copy_(before)


@contextlib.contextmanager
def watched(modules: list[nn.Module], see: Callable[[nn.Module, Any, Any], Any]) -> Iterator[None]:
    """Call `see` (module, inputs, outputs) after each call of one of the modules."""
    handles = [module.register_forward_hook(see) for module in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
