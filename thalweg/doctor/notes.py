"""What is written down of each step, as cheaply as can be, until it is read."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

MOST = 1024
"""Steps whose notes are read together: each reading finds cold caches, and on a device it waits for that."""


@dataclass(frozen=True)
class Noted:
    """Steps in order: losses, learning rates, and the seconds at which each note was begun and done."""

    losses: NDArray[np.float64]
    rates: NDArray[np.float64]
    begun: NDArray[np.float64]
    done: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.losses)


class Notes:
    """Notes of steps: `rows` of loss, learning rate, and the seconds at which the note was begun and done.

    A loss on a device is kept as a copy, and read with all others in one transfer.

    >>> notes = Notes()
    >>> notes.add(torch.tensor(2.0), rate=0.1, began=time.perf_counter())
    >>> notes.taken().losses.tolist(), notes.rows
    ([2.0], [])
    """

    def __init__(self) -> None:
        self.rows: list[tuple[float, float, float, float]] = []
        self._waiting: list[tuple[int, Tensor]] = []

    def add(self, loss: Tensor | float, rate: float, began: float) -> None:
        """Note a step; the note is done now."""
        if isinstance(loss, Tensor):
            if loss.is_cpu:
                loss = loss.item()
            else:  # a later change in place must not be seen
                self._waiting.append((len(self.rows), loss.detach().clone()))
                loss = np.nan
        self.rows.append((float(loss), rate, began, time.perf_counter()))

    def prolong(self) -> None:
        """Let the last note be done now."""
        self.rows[-1] = (*self.rows[-1][:3], time.perf_counter())

    def taken(self) -> Noted:
        """Return the notes, and forget them."""
        noted = Noted(*np.array(self.rows, dtype=np.float64).reshape(-1, 4).T)
        waiting, self._waiting, self.rows = self._waiting, [], []
        if waiting:
            places, losses = zip(*waiting, strict=True)
            noted.losses[list(places)] = torch.stack([x.reshape(()) for x in losses]).tolist()
        return noted
