"""A persistent pool of threads for kernels, which release the GIL."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

_pool: ThreadPoolExecutor | None = None
_size = 0
_lock = threading.Lock()


def run_on(
    threads: int, work: Callable[[], None], meanwhile: Callable[[], None] | None = None
) -> None:
    """Run the same work on this thread and on `threads - 1` others; return when all is done.

    This thread first runs `meanwhile`, while the others wake.
    The work shares a counter of what is left to do, so a helper that wakes late finds little or nothing: it
    is cancelled if it has not begun when this thread is through.
    """
    helpers: list[Future[None]] = []
    if threads > 1:
        pool = _get(threads - 1)
        helpers = [pool.submit(work) for _ in range(threads - 1)]
    if meanwhile is not None:
        meanwhile()
    work()
    for helper in helpers:
        if not helper.cancel():
            helper.result()


def _get(size: int) -> ThreadPoolExecutor:
    global _pool, _size
    with _lock:
        if _pool is None or size > _size:
            # an older, smaller pool ends by itself once its work is done
            _pool, _size = ThreadPoolExecutor(size, thread_name_prefix="thalweg"), size
        return _pool


def _forget() -> None:
    """A forked child has none of its parent's threads, and maybe a lock held by one of them."""
    global _pool, _size, _lock
    _pool, _size, _lock = None, 0, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
