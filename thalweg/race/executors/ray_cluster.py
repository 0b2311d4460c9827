"""The executor on Ray: the units of a race as tasks of a cluster, on one machine or many.

Every unit is one Ray task. A task computes what the local executor would, from the same seeds with
the same number of threads and the same versions, so the records differ in their seconds alone. What
a lost worker was at runs again on another one.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import socket
import stat
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from thalweg.errors import EngineError, MissingExtraError, ThalwegError, sentence
from thalweg.hashing import hash_of_bytes
from thalweg.race.executors.executor import RunUnit
from thalweg.race.executors.forking import let_go
from thalweg.race.executors.parcel import TorchDefaults, pack, unpack
from thalweg.race.trials.plan import Setting, Unit
from thalweg.race.trials.records import TrialRecord
from thalweg.tasks import Task
from thalweg.train.machine.threads import torch_threads
from thalweg.train.machine.versions import versions

_TRIES = 3
"""How often a unit may lose its worker: machines fail, but a unit that ends every process it runs
in would never end.
"""

_IN_FLIGHT = 1000
"""Units handed to Ray at a time: more than the workers of most clusters, and few enough to be
watched and cancelled without delay.
"""

_PATIENCE = 10.0  # seconds
_ADVICE = (
    "Look at `ray status` and at the environment variable RAY_ADDRESS; RAY_ADDRESS=local starts a "
    "Ray on this machine alone."
)
_OF_ITS_NAME = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)  # no link, no wait
_SKIPPED = "RAY_DEDUP_LOGS_SKIP_REGEX"


class Ray:
    """Workers of a Ray cluster, as many units at a time as there are processors for.

    The cluster is the one that this process is connected to, the one of the environment variable
    `RAY_ADDRESS`, or the one that this user's `ray start` started on this machine; where there is
    none, a Ray of this machine's own is started, which ends with `close` or with the process. Every
    machine needs thalweg and what the task imports, in the same versions; the task's own file need
    not be there.

    The cluster is fully trusted: what it sends back is unpickled, so any machine of it, and anyone
    who can reach its ports, can run code as this user.

    Each unit takes as many processors as it has threads. One that loses its worker runs again; if
    it has lost three, the trials of a stack run alone, and a single trial is recorded as failed.

    Raises:
        MissingExtraError: if Ray is not installed.

    Example:
        >>> from thalweg.race.executors.local import find_executor
        >>> find_executor("ray").name  # doctest: +SKIP
        'ray'
    """

    name = "ray"

    def __init__(self) -> None:
        self._ray = _import_ray()
        self._connected_here = False

    def run(
        self, task: Task, units: Sequence[Unit], setting: Setting, run_unit: RunUnit
    ) -> Iterator[tuple[TrialRecord, ...]]:
        """Yield the records of each unit when it has ended.

        On a KeyboardInterrupt it yields what has ended, and raises then; however it ends, what is
        running is cancelled.

        Raises:
            EngineError: if no cluster answers, the task cannot be sent, or the workers' versions
                are others.
        """
        if not units:
            return
        self._connect()
        waiting = deque(_Attempt(unit) for unit in units)
        running: dict[Any, _Attempt] = {}
        try:
            send = self._sender(task, setting, run_unit)
            while waiting or running:
                while waiting and len(running) < _IN_FLIGHT:
                    attempt = waiting.popleft()
                    running[send(attempt.unit)] = attempt
                (ended,), _ = self._ray.wait(list(running), num_returns=1)
                records, again = self._outcome(ended, running[ended])
                del running[ended]
                waiting.extendleft(again)
                if records:
                    yield records
        except KeyboardInterrupt:
            yield from self._finished(running)
            raise
        finally:
            self._cancel(running)

    def close(self) -> None:
        """Leave the cluster, and end it if it was started here. Also done when the process ends."""
        if self._connected_here and self._ray.is_initialized():
            self._ray.shutdown()
        self._connected_here = False

    def _connect(self) -> None:
        if self._ray.is_initialized():
            return
        address = _address()
        _check_answers(address)
        try:
            self._ray.init(
                address=address,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise EngineError(f"Ray cannot be reached: {sentence(error)} {_ADVICE}") from error
        self._connected_here = True

    def _sender(self, task: Task, setting: Setting, run_unit: RunUnit) -> Callable[[Unit], Any]:
        """Put the task into the object store, and return what sends a unit off."""
        let_go(task)  # live workers cannot be sent
        parcel = pack(task, f"The task {task.name!r}")
        common = _Common(
            digest=hash_of_bytes(parcel),
            setting=setting,
            run_unit=run_unit,
            defaults=TorchDefaults.of_process(),
            versions=versions(),
            path=tuple(os.path.abspath(folder) for folder in sys.path),
        )
        # Workers on one machine share an array in the store, but each copies bytes.
        stored = self._ray.put(np.frombuffer(parcel, dtype=np.uint8))
        remote = self._ray.remote(num_cpus=self._processors(setting.threads), max_retries=0)(_work)

        def send(unit: Unit) -> Any:
            names = sorted({repr(trial.entrant.name) for _, trial in unit})
            return remote.remote(stored, common, pack(unit, f"The entrant {' or '.join(names)}"))

        return send

    def _processors(self, threads: int) -> int:
        """Processors of a unit: one a thread, at most those of the largest machine, or Ray would wait."""
        each = [node["Resources"].get("CPU", 0) for node in self._ray.nodes() if node["Alive"]]
        largest = int(max(each, default=0))
        return min(threads, largest) if largest else threads  # workers may be yet to come

    def _outcome(
        self, ended: Any, attempt: _Attempt
    ) -> tuple[tuple[TrialRecord, ...], list[_Attempt]]:
        """The records of what has ended, and what is to run again."""
        errors = self._ray.exceptions
        lost = (
            *(errors.WorkerCrashedError, errors.OutOfMemoryError, errors.LocalRayletDiedError),
            *(errors.NodeDiedError, errors.ObjectLostError),
        )
        try:
            return self._ray.get(ended), []
        except lost as error:
            return attempt.after_loss(type(error).__name__)
        except errors.TaskCancelledError:  # also where a worker was interrupted by a signal
            raise KeyboardInterrupt from None
        except errors.RayError as error:
            cause = getattr(error, "cause", error)
            if isinstance(cause, ThalwegError):
                raise cause from None
            raise EngineError(
                f"A worker could not run the trials: {type(cause).__name__}: {cause}"
            ) from error

    def _finished(self, running: dict[Any, _Attempt]) -> Iterator[tuple[TrialRecord, ...]]:
        """The records of the tasks that ended without a loss."""
        if not running:
            return
        ended, _ = self._ray.wait(list(running), num_returns=len(running), timeout=0)
        for reference in ended:
            with contextlib.suppress(self._ray.exceptions.RayError):
                records = self._ray.get(reference)
                del running[reference]
                yield records

    def _cancel(self, running: dict[Any, _Attempt]) -> None:
        if not self._ray.is_initialized():  # shut down by someone else: nothing is running
            return
        for reference in running:
            with contextlib.suppress(self._ray.exceptions.RayError, ValueError):
                self._ray.cancel(reference, force=True)


def _import_ray() -> Any:
    """Import Ray such that it does not print a paragraph for each lost worker: records say it."""
    before = os.environ.get(_SKIPPED)
    os.environ.setdefault(_SKIPPED, "A worker died or was killed")  # read at the import
    try:
        return importlib.import_module("ray")
    except ImportError:
        raise MissingExtraError("ray", "The executor 'ray'", extra="ray") from None
    finally:
        if before is None:
            del os.environ[_SKIPPED]


def _address() -> str:
    """The address of the cluster to connect to, "local" for one of this machine's own.

    Left to itself, Ray would take any address that is written in a folder to which everyone may
    write, and that of any Ray that runs on the machine; and whoever a race connects to gets the
    user's code, and may send back what it likes.
    """
    given = os.environ.get("RAY_ADDRESS", "")
    if given not in ("", "auto"):
        return given
    folder = os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp"  # noqa: S108
    found = _own_cluster(Path(folder) / "ray" / "ray_current_cluster")
    if not found and given:
        raise EngineError(
            "RAY_ADDRESS=auto asks for a Ray of yours on this machine, and there is none: start it "
            "with `ray start --head`, or set RAY_ADDRESS to the cluster's host:port."
        )
    return found or "local"


def _own_cluster(file: Path) -> str:
    """The address that a file of Ray's names, empty if there is none of this user's own.

    Raises:
        EngineError: for a file of the user's to which others may write.
    """
    try:
        descriptor = os.open(file, os.O_RDONLY | _OF_ITS_NAME)
    except OSError:
        return ""
    with open(descriptor, "rb") as opened:
        state = os.fstat(descriptor)
        if not stat.S_ISREG(state.st_mode) or state.st_uid not in _users():
            return ""
        if state.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and os.name == "posix":
            raise EngineError(
                f"{file} names the Ray cluster of this machine, and others may write to it: "
                f"`chmod go-w {file}`, or set RAY_ADDRESS to the cluster's host:port."
            )
        return opened.read(1000).decode("ascii", "replace").strip()


def _users() -> tuple[int, ...]:
    return (os.geteuid(),) if hasattr(os, "geteuid") else (0,)  # Windows knows no other


def _check_answers(address: str) -> None:
    """Raise EngineError at once if nothing answers there: Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if "://" in address or not host or not port.isdigit():
        return  # Ray knows other ways, and says what is not an address
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_PATIENCE).close()
    except OSError as error:
        raise EngineError(
            f"No Ray cluster answers at {address}: {sentence(error)} {_ADVICE}"
        ) from error


@dataclass(frozen=True)
class _Attempt:
    """A unit, and how many of its workers have died."""

    unit: Unit
    losses: int = 0

    def after_loss(self, error: str) -> tuple[tuple[TrialRecord, ...], list[_Attempt]]:
        """What to record and what to try when its worker was lost once more.

        One trial of a stack can be to blame for all: alone, it fails alone.
        """
        losses = self.losses + 1
        if losses < _TRIES:
            return (), [_Attempt(self.unit, losses)]
        if len(self.unit) > 1:
            return (), [_Attempt((one,)) for one in reversed(self.unit)]
        ((key, trial),) = self.unit
        why = (
            f"its process died {losses} times ({error}): too little memory, or code that ends the "
            "process"
        )
        return (trial.blank_record(key, "failed", why),), []


@dataclass(frozen=True)
class _Common:
    """What all units of a run share, besides the task."""

    digest: str
    setting: Setting
    run_unit: RunUnit
    defaults: TorchDefaults
    versions: dict[str, str]
    path: tuple[str, ...]


_held: tuple[str, Task] | None = None
"""A worker's copy of the task, by its digest: made once, not for each unit."""


def _work(parcel: Any, common: _Common, unit: bytes) -> tuple[TrialRecord, ...]:
    """Run a unit: the function that Ray calls on a worker."""
    global _held
    _check_versions(common.versions)
    # On one machine, or in a shared folder, a worker can import what the race can.
    sys.path.extend(folder for folder in common.path if folder not in sys.path)
    common.defaults.apply()
    if _held is None or _held[0] != common.digest:
        _held = None  # the old task is let go before there is another
        _held = common.digest, unpack(memoryview(parcel), "The task")
    with torch_threads(common.setting.threads):
        return common.run_unit(_held[1], unpack(unit, "An entrant"), common.setting)


def _check_versions(theirs: dict[str, str]) -> None:
    ours = versions()
    for name, version in theirs.items():
        if ours.get(name) != version:
            raise EngineError(
                f"A worker has {name} {ours.get(name)}, the race runs with {version}: its numbers "
                "could differ. Install the same versions on every machine."
            )
