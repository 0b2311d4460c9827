"""Run a kernel on several threads: PyTorch's own OpenMP threads where they are available, else a pool.

The OpenMP threads are awake after a backward pass and wait for more, so a step on them starts at once, and
nothing else has to wait for them. Where PyTorch is built without OpenMP, or in a forked child, where its
threads are gone, a pool of Python threads does the same; kernels release the GIL.

Whatever happens, a call is done when `run_on` returns: no thread still writes, or begins to. Where no thread
are available (the interpreter shuts down, the system has no more), the calling one does all of the work.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from typing import Any


@dataclass(frozen=True)
class Kernel:
    """A compiled kernel: its address, and a call that releases the GIL."""

    address: int
    call: Callable[[int], None]


_pool: ThreadPoolExecutor | None = None
_size = 0
_exhausted = False
_forked = False
_lock = threading.Lock()


def run_on(threads: int, kernel: Kernel, argument: int) -> None:
    """Run the same call on this thread and on up to `threads - 1` others; return when all is done.

    The calls share a counter of what is left to do, so a thread that wakes late finds little or nothing, and
    fewer threads than were asked for do the same work.
    """
    parallel = None if threads <= 1 or _forked else _openmp()
    if threads <= 1:
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


@dataclass
class _Call:
    """A call of a kernel that helpers may join until it is closed; its tables may then be gone."""

    kernel: Kernel
    argument: int
    running: int = 0
    closed: bool = False
    changed: threading.Condition = field(default_factory=threading.Condition)

    def join(self) -> None:
        """Help, unless the call is closed."""
        with self.changed:
            if self.closed:
                return
            self.running += 1
        try:
            self.kernel.call(self.argument)
        finally:
            with self.changed:
                self.running -= 1
                self.changed.notify_all()

    def close(self) -> None:
        """Let nobody else begin, and wait for those who have, even where a signal's handler raises."""
        raised: BaseException | None = None
        while True:
            try:
                with self.changed:
                    self.closed = True
                    self.changed.wait_for(lambda: not self.running)
                break
            except BaseException as error:
                raised = error
        if raised is not None:
            raise raised


def _run_on_pool(threads: int, kernel: Kernel, argument: int) -> None:
    call = _Call(kernel, argument)
    try:
        _offer(call, threads - 1)
        kernel.call(argument)
    finally:
        call.close()


def _offer(call: _Call, helpers: int) -> None:
    """Ask the threads of the pool to join a call."""
    global _exhausted
    if _exhausted:
        return
    try:
        pool = _get_pool(helpers)
        for _ in range(helpers):
            pool.submit(call.join)
    except RuntimeError:  # the interpreter shuts down, or the system has no more threads
        _exhausted = True


def _get_pool(size: int) -> ThreadPoolExecutor:
    global _pool, _size
    with _lock:
        if _pool is None or size > _size:
            # an older, smaller pool ends by itself once its work is done
            _pool, _size = ThreadPoolExecutor(size, thread_name_prefix="thalweg"), size
        return _pool


def _forget() -> None:
    """A forked child has none of its parent's threads, and maybe a lock held by one of them."""
    global _pool, _size, _lock, _forked, _exhausted
    _pool, _size, _lock, _forked, _exhausted = None, 0, threading.Lock(), True, False


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
