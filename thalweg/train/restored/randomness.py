"""Seeding of runs; the states of the caller's random generators are restored.

Three streams: the initial weights are drawn under the seed itself, as after `torch.manual_seed(seed)`,
`np.random.seed(seed)` and `random.seed(seed)`; the order of the data and the noise in training (dropout,
augmentation) are drawn under seeds derived from (seed, epoch). So a run that is resumed at the beginning
of an epoch draws what an uninterrupted one would have drawn, and no generator state is stored.

The global generators are those of PyTorch (CPU, CUDA, and of another accelerator), NumPy and Python.
Generators of their own, which a data set, a loader or a model holds, are seeded with them.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch

from thalweg.generators import Generator, seed_generator, seed_numpy
from thalweg.tasks.sources.batches import derive
from thalweg.tasks.sources.source import Source
from thalweg.train.machine.devices import is_cpu, other_accelerator

_cuda_is_seeded = False
"""Whether a run has seeded the CUDA devices, which takes effect when CUDA starts."""


@contextlib.contextmanager
def isolated(device: torch.device | None = None) -> Iterator[None]:
    """Restore the states of the global random generators at the end.

    `device` is where the model is; the generators of all CUDA devices in use are restored.
    """
    undo = _keepers()
    try:
        yield
    finally:
        for each in undo:
            each()


def seed_weights(seed: int, device: torch.device) -> None:
    """Seed the drawing of initial weights."""
    global _cuda_is_seeded
    _seed(seed, device, seed)
    if (
        torch.version.cuda is not None or torch.version.hip is not None
    ):  # the model may be built there, whatever its device
        _cuda_is_seeded = True
        torch.cuda.manual_seed_all(seed)


def seed_noise(seed: int, epoch: int, device: torch.device, own: Sequence[Generator] = ()) -> None:
    """Seed the random numbers of one epoch (dropout, augmentation), and the generators `own` with them."""
    drawn = derive(seed, "noise", epoch)
    _seed(drawn, device, drawn >> 31)  # NumPy takes 32 bits five times as fast as more
    for place, generator in enumerate(own):
        seed_generator(generator, derive(seed, "model", epoch, place))


@contextlib.contextmanager
def repeated(source: Source, seed: int, device: torch.device) -> Iterator[None]:
    """Draw the same random numbers each time, and restore all generators at the end, also those of
    the set.
    """
    with source.untraced(), isolated(device):
        seed_noise(seed, 0, device)  # training draws under the epochs from 1 on
        yield


def _seed(seed: int, device: torch.device, numpy: int) -> None:
    # torch.manual_seed would seed every device there is, at ten times the cost.
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        for generator in _cuda_generators():
            generator.manual_seed(seed)
    elif not is_cpu(device) and device.type != "meta":
        module = torch.get_device_module(device)
        seeded = getattr(module, "manual_seed_all", None) or getattr(module, "manual_seed", None)
        if seeded is not None:
            seeded(seed)
    seed_numpy(numpy)
    random.seed(seed)


def _keepers() -> list[Callable[[], Any]]:
    """Return functions that restore the present states of the global generators."""
    states = torch.get_rng_state(), np.random.get_state(legacy=False), random.getstate()
    cuda = [(generator, generator.get_state()) for generator in _cuda_generators()]
    was_seeded = _cuda_is_seeded
    other = other_accelerator()
    others = other.get_rng_state() if hasattr(other, "get_rng_state") else None

    def restore_cuda() -> None:
        global _cuda_is_seeded
        for generator, state in cuda:
            generator.set_state(state)
        if not cuda and _cuda_is_seeded and not was_seeded:
            # CUDA was started meanwhile, or will be later: it gets the seed that it would have had.
            torch.cuda.manual_seed_all(torch.initial_seed())
        _cuda_is_seeded = was_seeded

    return [
        lambda: torch.set_rng_state(states[0]),
        lambda: np.random.set_state(states[1]),
        lambda: random.setstate(states[2]),
        restore_cuda,
        lambda: None if others is None else other.set_rng_state(others),
    ]


def _cuda_generators() -> Sequence[torch.Generator]:
    """Return the global generators of the CUDA devices, none before CUDA is in use."""
    if not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return ()
    return torch.cuda.default_generators
