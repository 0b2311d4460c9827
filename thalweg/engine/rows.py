"""Step numbers and scalar states: kept per parameter, advanced per cohort.

Parameters that joined together and always stepped together share their step number and scalar states, so
their scalars are computed once. The numbers live in blocks; a parameter's state holds 0-d views of its
line, so `optimizer.state[p]["step"]` is always true.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

Block = np.ndarray[Any, np.dtype[np.float64]]
NOT_ON_HOST: Block = np.zeros((0, 0))
"""Instead of a block that lies on a device."""


def open_block(
    states: Sequence[dict[str, Any]],
    names: Sequence[str],
    first: Sequence[Sequence[float]],
    device: torch.device | None = None,
) -> Block | Tensor:
    """Return a block with one line for each state; put views of the line into the state under `names`.

    With a device it is a tensor there, otherwise an array of the host: then each number has a storage of its
    own, which begins within the block, so that a state dict may hold it as it is.
    """
    block: Block = np.array(first, dtype=np.float64).reshape(len(states), len(names))
    if device is None:
        for state, line in zip(states, block, strict=True):
            for k, name in enumerate(names):
                state[name] = torch.from_numpy(line[k, ...])
        return block
    lines = torch.tensor(block, device=device)
    for state, cells in zip(states, lines.unbind(), strict=True):
        state.update(zip(names, cells.unbind(), strict=True))
    return lines


def address(block: Block | Tensor, line: int) -> int:
    """Return where in memory a line of a block begins."""
    found = block[line]
    return found.data_ptr() if isinstance(found, Tensor) else int(found.ctypes.data)


def holds_line(
    state: Mapping[str, Any], names: Sequence[str], block: Block | Tensor, line: int
) -> bool:
    """Whether the numbers in a state are still the views of its line."""
    if block.shape[1] != len(names):
        return False
    start = address(block, line)
    return all(
        isinstance(state.get(name), Tensor) and state[name].data_ptr() == start + 8 * k
        for k, name in enumerate(names)
    )


def read_line(
    state: Mapping[str, Any], names: Sequence[str], fresh: Sequence[float], tensors: Sequence[str]
) -> tuple[float, ...]:
    """Return the step number and scalar states that a state holds; `tensors` names the rule's own tensors.

    A state with such a tensor but without a step number was written by an optimizer that does not count
    (PyTorch's SGD); all that matters then is that its first step is over. What others keep says nothing, and
    neither does a step number without any of the rule's tensors: another optimizer counted there.
    """
    is_begun = any(isinstance(state.get(name), Tensor) for name in tensors)
    if tensors and not is_begun:
        return tuple(fresh)
    started = 1.0 if is_begun else fresh[0]
    numbers = []
    for name, default in zip(names, (started, *fresh[1:]), strict=True):
        value = state.get(name)
        numbers.append(float(default if value is None else value))
    return tuple(numbers)


@dataclass
class Row:
    """Parameters with the same group, step number and scalar states: one row of a kernel's scalars.

    The first `width` numbers of a line belong to the row; those after it, computed from reductions, to each
    parameter alone.
    """

    group: int
    block: Block
    lines: Any
    """Which lines of the block: a slice or an array of indices."""
    width: int

    def __post_init__(self) -> None:
        first = self.lines.start if isinstance(self.lines, slice) else int(self.lines[0])
        self._first = self.block[first, : self.width]
        self._counts_only = self.width == 1
        # a view where it can be: writing through it is the quickest
        self._steps = self.block[self.lines, 0] if isinstance(self.lines, slice) else None

    def advance(
        self,
        host: Any,
        numbers: Sequence[Any],
    ) -> tuple[Any, ...]:
        """Count a step; return what the passes read. `numbers` are lr and the hyperparameters."""
        if self._counts_only:
            t = self._first.item() + 1.0
            reads: tuple[Any, ...]
            reads, _ = host(t, *numbers)
            if self._steps is not None:
                self._steps.fill(t)
            else:
                self.block[self.lines, 0] = t
            return reads
        t, *scalars = self._first.tolist()
        reads, changed = host(t + 1.0, *numbers, *scalars)
        self.block[self.lines, : self.width] = (t + 1.0, *map(float, changed))
        return reads

    def line_addresses(self) -> list[int]:
        """Return where in memory its lines begin."""
        start, stride = self.block.ctypes.data, self.block.strides[0]
        return [int(start + k * stride) for k in np.arange(len(self.block))[self.lines]]

    def is_uniform(self) -> bool:
        """Whether all lines still agree: another plan may have stepped some of them."""
        chosen = np.ascontiguousarray(self.block[self.lines, : self.width]).view(np.int64)
        return bool((chosen == chosen[0]).all())  # as bits: NaN is not equal to itself


class Lines:
    """The lines of the members of a plan: whether states show them, and whether they were changed.

    `places` says for each member its state, the names of its numbers there, and its block and line.
    """

    def __init__(self, places: Sequence[tuple[dict[str, Any], Sequence[str], Block, int]]) -> None:
        cells = [state.get(name) for state, names, _, _ in places for name in names]
        self._blocks = list({id(block): block for _, _, block, _ in places}.values())
        starts = [
            block[line].ctypes.data + 8 * k
            for _, names, block, line in places
            for k in range(len(names))
        ]
        found = [x.data_ptr() if isinstance(x, Tensor) else None for x in cells]
        self.are_shown = found == starts
        """Whether every state showed the numbers of its line; batches see whether it still does."""
        # written in place: compiled code compares with it, too
        self._left = [np.zeros_like(block) for block in self._blocks]
        self._is_left = False

    def are_as_left(self) -> bool:
        """Whether the numbers are those that the plan's own last step left."""
        return self._is_left and all(
            block.tobytes() == left.tobytes()
            for block, left in zip(self._blocks, self._left, strict=True)
        )

    def leave(self) -> None:
        """Note the numbers at the end of a step."""
        for block, left in zip(self._blocks, self._left, strict=True):
            left[:] = block
        self._is_left = True

    def places(self) -> list[tuple[int, int, int]]:
        """Return for each block its address, that of the numbers that were left, and how many they are."""
        return [
            (block.ctypes.data, left.ctypes.data, block.size)
            for block, left in zip(self._blocks, self._left, strict=True)
        ]


class ReducedNumbers:
    """The scalar states that are computed from reductions, of the parameters of a batch.

    `places` says for each parameter in which line of which block they are, from column `start` on.
    """

    def __init__(self, places: Sequence[tuple[Block, int]], start: int) -> None:
        self._count = len(places)
        by_block: dict[int, tuple[Block, list[int], list[int]]] = {}
        for k, (block, line) in enumerate(places):
            _, positions, lines = by_block.setdefault(id(block), (block, [], []))
            positions.append(k)
            lines.append(line)
        self._parts = [
            (block, consecutive(positions), consecutive(lines))
            for block, positions, lines in by_block.values()
        ]
        self._start = start

    def read(self, k: int) -> Block:
        """Return the k-th number of every parameter."""
        numbers: Block = np.empty(self._count)
        for block, positions, lines in self._parts:
            numbers[positions] = block[lines, self._start + k]
        return numbers

    def write(self, k: int, numbers: Any) -> None:
        """Keep the k-th number of every parameter."""
        numbers = np.broadcast_to(numbers, self._count)
        for block, positions, lines in self._parts:
            block[lines, self._start + k] = numbers[positions]


def consecutive(lines: Sequence[int]) -> Any:
    """Return indices as a slice where they are consecutive, as is most common."""
    first, last = lines[0], lines[-1]
    if last - first + 1 == len(lines) and list(lines) == list(range(first, last + 1)):
        return slice(first, last + 1)
    return np.array(lines, dtype=np.int64)
