"""Tensors of batches that wait until there are enough of them to be looked at together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby

import torch
from torch import Tensor

MOST_WAITING = 64
"""To look at each batch alone costs a short step a tenth of its time."""
MOST_NUMBERS = 1 << 16
"""Numbers that wait, at most: more would not stay in a cache."""


class Waiting:
    """Keeps copies of tensors with their steps, and gives them to `look` as stacks of one shape and type.

    >>> waiting = Waiting(lambda steps, stack: print(list(steps), stack.tolist()))
    >>> for step in (1, 2):
    ...     waiting.add(step, torch.tensor([step]))
    >>> waiting.look()
    [1, 2] [[1], [2]]
    """

    def __init__(self, look: Callable[[Sequence[int], Tensor], None]) -> None:
        self._look = look
        self._kept: list[tuple[int, Tensor]] = []
        self._numbers = 0

    def add(self, step: int, tensor: Tensor) -> None:
        """Keep a copy of a tensor of one batch."""
        self._kept.append((step, tensor.detach().clone()))
        self._numbers += tensor.numel()
        if len(self._kept) >= MOST_WAITING or self._numbers >= MOST_NUMBERS:
            self.look()

    def look(self) -> None:
        """Look at what waits, in the order in which it came."""
        kept, self._kept, self._numbers = self._kept, [], 0
        for _, alike in groupby(kept, key=lambda each: (each[1].shape, each[1].dtype)):
            steps, tensors = zip(*alike, strict=True)
            self._look(steps, torch.stack(tensors).cpu())
