"""A process of its own for a function that may crash it: a fork of this one."""

from __future__ import annotations

import multiprocessing
import signal
import sys
import warnings
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

import torch

from thalweg.errors import EngineError
from thalweg.race.executors.forking import let_go, own_positions
from thalweg.race.trials.records import FAULTS
from thalweg.train.machine.devices import other_accelerator

_Result = TypeVar("_Result")


def can_fork() -> bool:
    """Return whether workers are available: on Linux, and while no accelerator is in use.

    macOS can fork, but its libraries cannot be used afterwards.
    """
    in_use = torch.cuda.is_initialized() or other_accelerator() is not None  # type: ignore[no-untyped-call]
    return sys.platform == "linux" and not in_use


def apart(function: Callable[[], _Result], otherwise: _Result, *, workers: int) -> _Result:
    """Return what a function gives in a process of its own, or `otherwise` if that process dies.

    Where there are no workers to be had, it is called in this one.

    Raises:
        EngineError: if the function raises.
    """
    if workers < 2 or not can_fork() or torch.get_num_threads() > 1:
        return function()
    let_go(function)
    ours, theirs = multiprocessing.Pipe()

    def work() -> None:
        ours.close()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        own_positions()
        try:
            theirs.send((True, function()))
        except FAULTS as error:
            theirs.send((False, f"{type(error).__name__}: {error}"))

    process = forked(work)
    theirs.close()
    try:
        good, value = ours.recv()
    except EOFError:
        return otherwise
    finally:
        process.kill()
        process.join()
    if not good:
        raise EngineError(str(value))
    result: _Result = value
    return result


def forked(target: Callable[..., None], *arguments: Any) -> BaseProcess:
    """Start a function in a fork of this process."""
    process = multiprocessing.get_context("fork").Process(target=target, args=arguments)
    with warnings.catch_warnings():
        # Python warns of forks beside other threads. Those here are PyTorch's, which wait for work
        # and hold no lock.
        warnings.simplefilter("ignore", DeprecationWarning)
        process.start()
    return process
