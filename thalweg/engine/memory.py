"""Memory for state tensors, on huge pages where the system offers them.

A step streams through parameters, gradients and states once; with 4 KiB pages a good part of that time goes
into looking up pages. Linux gives 2 MiB pages to memory that asks for them before it is touched.
"""

from __future__ import annotations

import ctypes
import sys
from functools import cache
from typing import Any

import torch
from torch import Tensor

HUGE_PAGE = 2**21
_MADV_HUGEPAGE = 14


def zeros_like(p: Tensor) -> Tensor:
    """Return zeros stored as `p` is."""
    zeros = torch.empty_like(p, memory_format=torch.preserve_format, requires_grad=False)
    if (
        zeros.device.type == "cpu"
        and zeros.layout is torch.strided
        and zeros.nbytes >= 2 * HUGE_PAGE
    ):
        _ask_for_huge_pages(zeros.data_ptr(), zeros.nbytes)
    return zeros.zero_()


def _ask_for_huge_pages(address: int, size: int) -> None:
    """Advise the whole huge pages inside a range; a system that refuses is as good as before."""
    advise = _madvise()
    first = -(-address // HUGE_PAGE) * HUGE_PAGE
    last = (address + size) // HUGE_PAGE * HUGE_PAGE
    if advise is not None and last > first:
        advise(first, last - first, _MADV_HUGEPAGE)


@cache
def _madvise() -> Any:
    if sys.platform != "linux":
        return None
    try:
        advise = ctypes.CDLL(None).madvise
    except (OSError, AttributeError):
        return None
    advise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    return advise
