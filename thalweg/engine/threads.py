"""Run a kernel on several threads: PyTorch's own OpenMP threads where they can be had, else a pool.

The OpenMP threads are awake after a backward pass and wait for more, so a step on them starts at once, and
nothing else has to wait for them. Where PyTorch is built without OpenMP, or in a forked child, where its
threads are gone, a pool of Python threads does the same; kernels release the GIL.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any


@dataclass(frozen=True)
class Kernel:
    """A compiled kernel: its address, and a call that releases the GIL."""

    address: int
    call: Callable[[int], None]


_pool: ThreadPoolExecutor | None = None
_size = 0
_forked = False
_lock = threading.Lock()


def run_on(threads: int, kernel: Kernel, argument: int) -> None:
    """Run the same call on this thread and on `threads - 1` others; return when all is done.

    The calls share a counter of what is left to do, so a thread that wakes late finds little or nothing.
    """
    parallel = None if threads == 1 or _forked else _openmp()
    if threads == 1:
        kernel.call(argument)
    elif parallel is not None:
        parallel(kernel.address, argument, threads, 0)
    else:
        _run_on_pool(threads, kernel, argument)


@cache
def _openmp() -> Any:
    """Return OpenMP's entry of a parallel region, which GCC's and LLVM's libraries share.

    GOMP_parallel(function, argument, threads, flags) runs function(argument) on each thread of a team.
    """
    import torch  # noqa: F401  (loads its OpenMP library into the process)

    try:
        parallel = ctypes.CDLL(None).GOMP_parallel
    except (AttributeError, OSError, TypeError):
        return None
    parallel.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
    parallel.restype = None
    return parallel


def _run_on_pool(threads: int, kernel: Kernel, argument: int) -> None:
    pool = _get_pool(threads - 1)
    helpers: list[Future[None]] = [pool.submit(kernel.call, argument) for _ in range(threads - 1)]
    kernel.call(argument)
    for helper in helpers:
        if not helper.cancel():  # one that has not begun has nothing left to do
            helper.result()


def _get_pool(size: int) -> ThreadPoolExecutor:
    global _pool, _size
    with _lock:
        if _pool is None or size > _size:
            # an older, smaller pool ends by itself once its work is done
            _pool, _size = ThreadPoolExecutor(size, thread_name_prefix="thalweg"), size
        return _pool


def _forget() -> None:
    """A forked child has none of its parent's threads, and maybe a lock held by one of them."""
    global _pool, _size, _lock, _forked
    _pool, _size, _lock, _forked = None, 0, threading.Lock(), True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
