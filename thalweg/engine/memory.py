"""Memory for state tensors, on huge pages where the system offers them.

A step streams through parameters, gradients and states once; with 4 KiB pages a good part of that time goes
into looking up pages. Linux gives 2 MiB pages to memory that asks for them before it is touched.
"""

from __future__ import annotations

import ctypes
import mmap
from functools import cache
from typing import Any

import torch
from torch import Tensor

HUGE_PAGE = 2**21


def zeros_like(p: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Return zeros stored as `p` is, of its dtype or another one."""
    zeros = torch.empty_like(
        p, dtype=dtype, memory_format=torch.preserve_format, requires_grad=False
    )
    address = _address(zeros)
    if address:
        _ask_for_huge_pages(address, zeros.nbytes)
    return zeros.zero_()


def _address(x: Tensor) -> int:
    """Return where a large plain tensor lies, or 0: many a tensor says "cpu" and lies nowhere.

    Fake and other subclass tensors are told by their type; those of `torch.func` have none, but raise.
    """
    if type(x) is not Tensor or x.device.type != "cpu" or x.layout is not torch.strided:
        return 0
    try:
        return x.data_ptr() if x.nbytes >= 2 * HUGE_PAGE else 0
    except RuntimeError:
        return 0


def _ask_for_huge_pages(address: int, size: int) -> None:
    """Advise the whole huge pages inside a range; a system that refuses is as good as before."""
    advise = _madvise()
    first = -(-address // HUGE_PAGE) * HUGE_PAGE
    last = (address + size) // HUGE_PAGE * HUGE_PAGE
    if advise is not None and last > first:
        advise(first, last - first, mmap.MADV_HUGEPAGE)


@cache
def _madvise() -> Any:
    """Return the call of the C library, where the system knows of huge pages."""
    if not hasattr(mmap, "MADV_HUGEPAGE"):
        return None
    try:
        advise = ctypes.CDLL(None).madvise
    except (OSError, AttributeError):
        return None
    advise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    return advise
