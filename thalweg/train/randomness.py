"""Random numbers of a run: functions of its seed, and the caller's generator left as it was.

Three streams: the initial weights are drawn under the seed itself, as after
`torch.manual_seed(seed)`; the order of the data and the noise in training (dropout) are drawn under
seeds derived from (seed, epoch). So a run that is resumed at an epoch's beginning repeats what an
uninterrupted one would have drawn, with no generator's state to keep.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

from thalweg.tasks.batches import derive
from thalweg.tasks.sources import LoaderSource, Source


@contextlib.contextmanager
def isolated(device: torch.device) -> Iterator[None]:
    """Give the global generators back, at the end, in the state in which they were found."""
    with torch.random.fork_rng(devices=_cuda(device), enabled=True):
        yield


def seed_weights(seed: int, device: torch.device) -> None:
    """Seed the drawing of initial weights."""
    _seed(seed, device)


def seed_noise(seed: int, epoch: int, device: torch.device) -> None:
    """Seed the noise of one epoch."""
    _seed(derive(seed, "noise", epoch), device)


@contextlib.contextmanager
def repeated(source: Source, seed: int, device: torch.device) -> Iterator[None]:
    """Draw the same random numbers at each entry, and leave no trace in any generator, those of a
    user's `DataLoader` included.
    """
    own = source.generators if isinstance(source, LoaderSource) else []
    states = [generator.get_state() for generator in own]
    try:
        with isolated(device):
            seed_noise(seed, 0, device)  # training draws under the epochs from 1 on
            yield
    finally:
        for generator, state in zip(own, states, strict=True):
            generator.set_state(state)


def _seed(seed: int, device: torch.device) -> None:
    # torch.manual_seed would seed every device there is, at ten times the cost.
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)


def _cuda(device: torch.device) -> list[int]:
    if device.type != "cuda":
        return []
    return [torch.cuda.current_device() if device.index is None else device.index]
