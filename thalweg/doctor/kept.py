"""Batches of the run that are kept for forks: those of the beginning, and a sample of the others."""

from __future__ import annotations

import math
import random
from typing import Any

import torch

from thalweg.objective.nested import mapped, tensors_in

FIRST = 32
"""Batches of the beginning, without a gap, so that their order is seen."""
SAMPLED = 24
"""Batches that are a uniform sample of all later ones."""
MOST_BYTES = 2**27


class Kept:
    """Copies of batches with their steps, within a bound of memory; what is drawn is drawn from a generator
    of its own. `next` is the first step from which on one may be kept again.
    """

    def __init__(self) -> None:
        self._first: list[tuple[int, Any]] = []
        self._sample: list[tuple[int, Any]] = []
        self.next = 0
        self._draw = random.Random(0)  # noqa: S311
        self._most = 0

    @property
    def batches(self) -> list[tuple[int, Any]]:
        """The batches with their steps, in order."""
        return [*self._first, *sorted(self._sample, key=lambda each: each[0])]

    def see(self, step: int, batch: Any) -> bool:
        """Keep a batch, or leave it; return whether it is one of the beginning, which stay."""
        if step < self.next:
            return False
        if not self._most:
            size = max(sum(t.numel() * t.element_size() for t in tensors_in(batch)), 1)
            self._most = min(FIRST + SAMPLED, MOST_BYTES // size)
        first = self._most * FIRST // (FIRST + SAMPLED)
        if len(self._first) < first:
            self._first.append((step, _copied(batch)))
            return True
        if len(self._sample) < self._most - first:
            self._sample.append((step, _copied(batch)))
        elif self._sample:
            self._sample[self._draw.randrange(len(self._sample))] = (step, _copied(batch))
            # a step is kept with the chance k / step, so the next one is so far away
            chance = min(len(self._sample) / step, 0.999)
            wait = math.log(1 - self._draw.random()) / math.log(1 - chance)
            self.next = step + 1 + int(wait)
        return False

    def force(self, step: int, batch: Any) -> None:
        """Keep a batch whatever is drawn."""
        self._sample.append((step, _copied(batch)))


def _copied(batch: Any) -> Any:
    return mapped(tuple(batch), lambda t: torch.clone(t.detach()))
