"""What a forked process does not get a copy of: positions in files, threads, other processes.

A forked worker has a copy of all memory. Beyond memory there is what the system keeps: two processes
share the position of an open file, so that each would read what the other skipped; threads and the
processes of another stay behind; a connection mixes the words of both. The first can be mended in
the worker. A data loader lets go of its workers before, and has new ones in each process. For the
rest the trials stay in the process in which the objects were made.
"""

from __future__ import annotations

import concurrent.futures
import gc
import logging
import multiprocessing
import os
import socket
import sqlite3
import stat
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FrameType, FunctionType, ModuleType
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

_MOST = 20_000  # objects that are looked at: those of a user's data set are among the first
_FIRST = 1000  # items of a container: rows are alike
_PLAIN = (
    *(str, bytes, bytearray, int, float, complex, type(None), type, range, torch.Tensor),
    *(np.ndarray, np.generic, ModuleType, FrameType, CodeType, BuiltinFunctionType),
    logging.Logger,  # which leads to all loggers of the process
)
_LOCK = type(threading.Lock())


def let_go(*roots: Any) -> None:
    """Let data loaders end the workers that they keep between epochs; the next epoch has new ones."""
    for found in _reachable(roots):
        # Of PyTorch's making, without a public name. The workers end when nobody holds it, so a
        # user who is in the middle of an epoch goes on.
        if isinstance(found, DataLoader) and vars(found).get("_iterator") is not None:
            found._iterator = None


def bound_to_process(*roots: Any) -> str | None:
    """Return what ties objects to the process in which they were made, in words, None if nothing.

    >>> bound_to_process({"rows": [1, 2]}, len) is None
    True
    """
    return next((why for found in _reachable(roots) if (why := _tie(found))), None)


def own_positions() -> None:
    """Give a forked process positions of its own in the files that were open before.

    Files that were opened to be appended to, and the standard streams, stay shared: lines of all go
    there.
    """
    import fcntl  # systems that do not fork have none

    for entry in Path("/proc/self/fd").iterdir():
        descriptor = int(entry.name)
        with suppress(OSError):  # the descriptor of this listing is closed by now
            how = fcntl.fcntl(descriptor, fcntl.F_GETFL)
            written = how & os.O_ACCMODE == os.O_WRONLY or how & os.O_APPEND
            if descriptor <= 2 or written or not stat.S_ISREG(os.fstat(descriptor).st_mode):
                continue
            position = os.lseek(descriptor, 0, os.SEEK_CUR)
            again = os.open(entry, how & (os.O_ACCMODE | os.O_NONBLOCK) | os.O_CLOEXEC)
            os.lseek(again, position, os.SEEK_SET)
            os.dup2(again, descriptor, inheritable=os.get_inheritable(descriptor))
            os.close(again)


def _tie(found: Any) -> str | None:
    if isinstance(found, threading.Thread):
        return "a running thread" if found.is_alive() else None
    if isinstance(found, concurrent.futures.Executor):
        return f"a {type(found).__name__}"
    if isinstance(found, BaseProcess):
        return "a running process" if _runs(found) else None
    if isinstance(found, subprocess.Popen):
        return "a running program" if found.returncode is None else None
    if isinstance(found, socket.socket):
        return "an open connection" if found.fileno() >= 0 else None
    if isinstance(found, sqlite3.Connection):
        return "an open database"
    if isinstance(found, _LOCK):
        return "a lock that is held" if found.locked() else None
    return None


def _runs(process: BaseProcess) -> bool:
    if process is multiprocessing.current_process():
        return False
    try:
        return process.is_alive()
    except (AssertionError, ValueError):  # another process's child, or closed
        return False


def _reachable(roots: Iterable[Any]) -> Iterator[Any]:
    """Yield the objects that the roots refer to, breadth first, without modules and classes."""
    waiting, seen = deque(roots), dict[int, Any]()
    modules = {id(vars(each)) for each in [*sys.modules.values()] if isinstance(each, ModuleType)}
    while waiting and len(seen) < _MOST:
        value = waiting.popleft()
        if isinstance(value, _PLAIN) or id(value) in seen or id(value) in modules:
            continue
        seen[id(value)] = value  # kept alive, or another object could get its id
        yield value
        waiting.extend(_held(value))


def _held(value: Any) -> Iterable[Any]:
    kind = type(value)
    if kind is dict:
        return islice(value.values(), _FIRST)
    if kind in (list, tuple, set, frozenset, deque):
        return islice(value, _FIRST)
    if kind is FunctionType:  # of its module, only what its code names
        named = (value.__globals__.get(name) for name in value.__code__.co_names)
        return [*(value.__closure__ or ()), *(value.__defaults__ or ()), *named, value.__dict__]
    if isinstance(value, (threading.Thread, BaseProcess, concurrent.futures.Executor)):
        return ()
    return gc.get_referents(value)
