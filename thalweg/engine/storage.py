"""The memory behind tensors: how many numbers it holds, whether it is there, and who shares it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

PLAIN = (Tensor, torch.nn.Parameter)
"""The types of tensors whose memory is all there is of them."""


def elements(x: Tensor) -> int:
    """Return how many real numbers a tensor holds."""
    return 2 * x.numel() if x.is_complex() else x.numel()


def unit_elements(x: Tensor) -> int:
    """Return how many real numbers a unit of a tensor holds.

    A unit is a slice along the first dimension; a tensor of fewer than two dimensions is one.
    """
    if x.ndim < 2 or not x.shape[0]:
        return elements(x)
    return max(1, elements(x) // x.shape[0])


def is_dense(x: Tensor) -> bool:
    """Whether the elements fill their memory without gaps or overlaps, in any order of dimensions."""
    expected = 1
    sizes = [(s, n) for s, n in zip(x.stride(), x.shape, strict=True) if n != 1]
    for stride, size in sorted(sizes):
        if stride != expected:
            return x.numel() == 0
        expected *= size
    return True


_storage = Tensor.untyped_storage
_nbytes = torch.UntypedStorage.nbytes


def first_without_memory(tensors: Sequence[Tensor], bytes_of: Sequence[int]) -> int | None:
    """Return which dense tensor is the first whose storage does not hold all of its numbers.

    `bytes_of` says how many bytes each takes.
    """
    sizes = list(map(_nbytes, map(_storage, tensors)))
    if sizes == bytes_of:  # the most common: each has a storage of its own
        return None
    for k, (x, size, needed) in enumerate(zip(tensors, sizes, bytes_of, strict=True)):
        if needed and size < x.storage_offset() * x.itemsize + needed:
            return k
    return None


def holds_its_numbers(x: Tensor) -> bool:
    """Whether the storage of a tensor, dense or not, holds all of its numbers."""
    if x.layout is not torch.strided or not x.numel() or not has_memory(x):
        return True
    last = sum((n - 1) * s for n, s in zip(x.shape, x.stride(), strict=True))
    return x.untyped_storage().nbytes() >= (x.storage_offset() + last + 1) * x.itemsize


def has_memory(x: Tensor) -> bool:
    """Whether a tensor has memory of its own, as meta and fake tensors and most subclasses have not."""
    if type(x) in PLAIN:
        return x.device.type != "meta"
    try:
        return x.device.type != "meta" and x.untyped_storage().data_ptr() is not None
    except (RuntimeError, NotImplementedError):
        return False


def overlapping(tensors: Sequence[Tensor], owners: Sequence[int]) -> set[int]:
    """Return the owners of tensors that share memory with another tensor of the list."""
    spans = []
    for x, owner in zip(tensors, owners, strict=True):
        if x.layout is torch.strided and x.numel() and has_memory(x):
            last = sum((n - 1) * s for n, s in zip(x.shape, x.stride(), strict=True))
            start = x.data_ptr()
            spans.append((start, start + (last + 1) * x.itemsize, owner))
    spans.sort()
    found: set[int] = set()
    furthest, holder = 0, -1
    for start, end, owner in spans:
        if start < furthest:
            found |= {owner, holder}
        if end > furthest:
            furthest, holder = end, owner
    return found


def memory_problem(x: Tensor, name: str) -> str:
    """Return the message on a tensor whose storage is too small."""
    return (
        f"{name} has {x.numel():,} numbers of shape {tuple(x.shape)}, but its storage has only "
        f"{x.untyped_storage().nbytes():,} bytes. Was it resized or offloaded? Bring the numbers back before "
        "the step"
    )
