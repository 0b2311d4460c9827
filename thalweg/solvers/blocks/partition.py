"""The blocks of a point, and the order in which a sweep visits them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from thalweg.errors import suggest
from thalweg.numeric import as_whole

ORDERS = ("cyclic", "random", "greedy")


def as_blocks(given: Any, start: Tensor) -> list[Tensor]:
    """Return blocks as tensors of indices into the flat start.

    None makes each entry a block, an integer n makes blocks of n neighbours, the last perhaps smaller.

    Raises:
        ValueError: for invalid indices, indices that repeat within a block, and for an entry in no block.

    >>> [block.tolist() for block in as_blocks(2, torch.zeros(5))]
    [[0, 1], [2, 3], [4]]
    """
    count = start.numel()
    size = 1 if given is None else as_whole(given)
    if size is not None:
        if size < 1:
            raise ValueError(f"blocks: a block has at least 1 entry; got a size of {size}.")
        everything = torch.arange(count, device=start.device)
        return [everything[first : first + size] for first in range(0, count, size)]
    if isinstance(given, (str, Tensor)) or not isinstance(given, Iterable):
        raise ValueError(
            "blocks must be None, a size, or a list of index tensors such as [tensor([0, 2]), tensor([1])]; "
            f"got {type(given).__name__}."
        )
    blocks = [_block(each, place, count, start.device) for place, each in enumerate(given)]
    held = torch.ones(count, dtype=torch.bool, device=start.device)
    for block in blocks:
        held[block] = False
    if bool(held.any()):
        raise ValueError(
            f"blocks: entry {int(held.nonzero()[0])} of x0 is in no block, so it would never move. Put each "
            f"of 0 to {count - 1} in one."
        )
    return blocks


def _block(given: Any, place: int, count: int, device: torch.device) -> Tensor:
    indices = torch.as_tensor(given, device=device).reshape(-1)
    if not indices.numel():
        raise ValueError(f"blocks: block {place} is empty.")
    if indices.is_floating_point() or indices.is_complex() or indices.dtype == torch.bool:
        raise ValueError(
            f"blocks: block {place} holds {indices.dtype}; expected integers, indices into x0.flatten()."
        )
    indices = indices.long()
    if int(indices.min()) < 0 or int(indices.max()) >= count:
        wrong = int(indices[(indices < 0) | (indices >= count)][0])
        raise ValueError(f"blocks: block {place} holds {wrong}; x0 has entries 0 to {count - 1}.")
    if len(set(indices.tolist())) < len(indices):
        raise ValueError(f"blocks: block {place} holds an entry twice.")
    return indices


def check_order(order: str) -> None:
    """Raise ValueError for an order that is not known."""
    if order not in ORDERS:
        raise ValueError(
            f"There is no order {order!r}.{suggest(str(order), ORDERS)} Known: {', '.join(ORDERS)}."
        )


def steepest_block(gradient: Tensor, blocks: list[Tensor]) -> Tensor:
    """Return the block with the largest norm of the gradient: the Gauss-Southwell rule."""
    norms = torch.stack([gradient[block].norm() for block in blocks])
    return blocks[int(norms.argmax())]
