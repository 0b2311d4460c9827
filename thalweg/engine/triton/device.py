"""Memory of a batch on its device: small tables, written from the host without waiting for the device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

Array = np.ndarray[Any, np.dtype[Any]]

LANES = 256
"""Entries, or partial results, that an instance of the small kernels takes at once."""
LAUNCH: dict[str, Any] = {"num_warps": 4, "enable_fp_fusion": False}
"""No product is fused with a sum: PyTorch's eager kernels round each."""


class DeviceTable:
    """A table on a device that is written again where its numbers have changed."""

    def __init__(self, numbers: Array, device: torch.device) -> None:
        # an empty tensor has no address
        size = max(1, numbers.size)
        self.tensor = torch.zeros(size, dtype=torch.from_numpy(numbers).dtype, device=device)
        self._known: bytes | None = None

    def write(self, numbers: Array) -> None:
        """Put these numbers there, after all that the device was asked to do so far.

        They are copied to pinned memory of PyTorch's allocator, which keeps it until the copy is over: so the
        host may go on and change its own.
        """
        seen = numbers.tobytes()
        if seen == self._known:
            return
        self._known = seen
        source = torch.from_numpy(np.ascontiguousarray(numbers).reshape(-1))
        if self.tensor.is_cuda:
            source = source.pin_memory()
        self.tensor[: source.numel()].copy_(source, non_blocking=True)

    def forget(self) -> None:
        """Write everything the next time: the device has written into the table."""
        self._known = None


def constant(numbers: Array, device: torch.device) -> Tensor:
    """Return a table that is never written again."""
    table = DeviceTable(numbers, device)
    table.write(numbers)
    return table.tensor


@contextmanager
def current(device: torch.device) -> Iterator[None]:
    """Launch kernels on this device."""
    if device.type != "cuda":
        with np.errstate(all="ignore"):  # the interpreter divides by zero as a GPU does
            yield
        return
    with torch.cuda.device(device):
        yield


def zeros(count: int, device: torch.device) -> Tensor:
    """Return a buffer of float64; an empty one would have no address."""
    return torch.zeros(max(1, count), dtype=torch.float64, device=device)
