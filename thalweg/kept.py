"""Running a model to look at it: its modes, buffers and the random generators are put back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

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
    put_back = _copied_buffers(model)
    try:
        yield
    finally:
        put_back()


def _copied_buffers(model: nn.Module) -> Callable[[], None]:
    """Copy the buffers; return what puts them back."""
    held = [
        (module, name, buffer, buffer.clone())
        for module in model.modules()
        for name, buffer in module.named_buffers(recurse=False)
        if not is_lazy(buffer)
    ]

    def put_back() -> None:
        for module, name, buffer, before in held:
            setattr(module, name, buffer)
            with torch.no_grad():
                buffer.copy_(before)

    return put_back


@contextmanager
def attributes_kept(model: nn.Module) -> Iterator[None]:
    """Put the plain attributes of each module back at the end: the objects, not their contents.

    Buffers, parameters and modules in it are not plain attributes.

    >>> model = nn.Identity()
    >>> with attributes_kept(model):
    ...     model.seen = 3
    >>> hasattr(model, "seen")
    False
    """
    held = [(module, dict(vars(module))) for module in model.modules()]
    try:
        yield
    finally:
        for module, attributes in held:
            vars(module).clear()
            vars(module).update(attributes)


@contextmanager
def kept_if_it_fails(model: nn.Module) -> Iterator[None]:
    """Put each parameter and buffer of `model` back if the block raises, an interrupt included.

    >>> model = nn.Linear(1, 1)
    >>> before = model.weight.item()
    >>> try:
    ...     with kept_if_it_fails(model), torch.no_grad():
    ...         _ = model.weight.fill_(before + 1)
    ...         raise ValueError
    ... except ValueError:
    ...     print(model.weight.item() == before)
    True
    """
    held = [(p, p.detach().clone()) for p in model.parameters()]
    put_buffers_back = _copied_buffers(model)
    try:
        yield
    except BaseException:
        put_buffers_back()
        with torch.no_grad():
            for parameter, before in held:
                parameter.copy_(before)
        raise


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Put each module's mode, each buffer and PyTorch's generators back at the end."""
    with torch.random.fork_rng(devices=_gpus(model)), modes_kept(model), buffers_kept(model):
        yield


def by_batch(model: nn.Module) -> None:
    """Let batch normalization use the batch, and all else run as in evaluation."""
    for module in model.modules():
        module.training = isinstance(module, nn.modules.batchnorm._BatchNorm)


@contextmanager
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


@contextmanager
def watched(modules: list[nn.Module], see: Callable[[nn.Module, Any, Any], Any]) -> Iterator[None]:
    """Call `see` (module, inputs, outputs) after each call of one of the modules."""
    handles = [module.register_forward_hook(see) for module in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
