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
    with torch.random.fork_rng(devices=_gpus(model)):
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
def seeded(model: nn.Module, seed: int | None) -> Iterator[None]:
    """Let what draws by itself, as some parametrizations do when they are set, depend on a seed alone.

    PyTorch's generators are put back at the end. Without a seed they are used as they are.
    """
    if seed is None:
        yield
        return
    gpus = _gpus(model)
    with torch.random.fork_rng(devices=gpus):
        torch.default_generator.manual_seed(seed)
        for gpu in gpus:
            torch.cuda.default_generators[gpu].manual_seed(seed)
        yield


def _gpus(model: nn.Module) -> list[int]:
    return sorted({p.device.index or 0 for p in model.parameters() if p.is_cuda})


@contextlib.contextmanager
def watched(modules: list[nn.Module], see: Callable[[nn.Module, Any, Any], Any]) -> Iterator[None]:
    """Call `see` (module, inputs, outputs) after each call of one of the modules."""
    handles = [module.register_forward_hook(see) for module in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
