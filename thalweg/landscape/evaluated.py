"""The loss at points of a plane, on all cores, the coarse picture first."""

from __future__ import annotations

import copy
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import vector_to_parameters

from thalweg.errors import TaskError, ThalwegError
from thalweg.kept import by_batch
from thalweg.objective.blame import blame
from thalweg.objective.cost import Cost
from thalweg.objective.nested import mapped

Show = Callable[[int, int], None]
"""Told how many points are done, and of how many."""


class LossAt:
    """The objective J = L + λΩ of one batch as a function of the parameters alone.

    Dropout is off, and batch norm takes the statistics of the batch: running statistics belong to one point.
    Any number of threads may call it; each has a copy of the model.
    """

    def __init__(self, model: nn.Module, cost: Cost, batch: tuple[Any, Any]) -> None:
        self._model, self._cost, self._batch = model, cost, batch
        self._own = threading.local()

    def __call__(self, point: Tensor) -> float:
        """Return the loss at a point; NaN or infinity where it has none.

        Raises:
            TaskError: the model or the loss cannot be computed on the batch.
        """
        model = self._copied()
        with torch.no_grad():
            vector_to_parameters(point.to(next(model.parameters()).dtype), model.parameters())
            inputs, targets = (mapped(each, torch.clone) for each in self._batch)
            try:
                return float(self._cost.objective(model, inputs, targets))
            except (ThalwegError, MemoryError, torch.OutOfMemoryError):
                raise
            except Exception as error:  # the user's own model: anything can be wrong in it
                raise TaskError(
                    f"The loss cannot be computed on rows of the training set. {blame(error)}"
                ) from error

    def _copied(self) -> nn.Module:
        model: nn.Module | None = getattr(self._own, "model", None)
        if model is None:
            torch.set_num_threads(1)  # of this thread: the points share out the cores
            model = self._own.model = copy.deepcopy(self._model)
            by_batch(model)
        return model


def seconds_each(loss: Callable[[Tensor], float], point: Tensor, tries: int = 3) -> float:
    """Return how long one evaluation takes on one core; the first, which warms up, does not count."""
    loss(point)
    began = time.perf_counter()
    for _ in range(tries):
        loss(point)
    return (time.perf_counter() - began) / tries


def evaluated(
    loss: Callable[[Tensor], float],
    points: Sequence[Callable[[], Tensor]],
    show: Show = lambda done, of: None,
    workers: int | None = None,
) -> tuple[list[float | None], bool]:
    """Return the loss at each point, None where it was not computed, and whether Ctrl-C came before the end.

    Args:
        loss: of one point; it is called from several threads.
        points: functions that make the points, so that few are in memory at once.
        show: told of progress.
        workers: threads; by default one for each core that this process may use.
    """
    found: list[float | None] = [None] * len(points)
    count = workers or len(os.sched_getaffinity(0))
    with ThreadPoolExecutor(count) as pool:
        waiting: dict[Future[float], int] = {}
        ahead = iter(range(len(points)))
        done = 0
        try:
            for place in ahead:
                waiting[pool.submit(_at, loss, points[place])] = place
                if len(waiting) >= 2 * count:
                    done += _collected(waiting, found)
                    show(done, len(points))
            while waiting:
                done += _collected(waiting, found)
                show(done, len(points))
        except KeyboardInterrupt:
            for future in waiting:
                future.cancel()
            return found, True
    return found, False


def _at(loss: Callable[[Tensor], float], point: Callable[[], Tensor]) -> float:
    return loss(point())


def _collected(waiting: dict[Future[float], int], found: list[float | None]) -> int:
    done, _ = wait(waiting, return_when=FIRST_COMPLETED)
    for future in done:
        found[waiting.pop(future)] = future.result()
    return len(done)


def coarse_first(rows: int, columns: int) -> Iterator[tuple[int, int]]:
    """Give the cells of a grid, every eighth in both ways first, then every fourth and so on.

    A grid that is not finished so covers the whole plane.

    >>> list(coarse_first(3, 3))[:4]
    [(0, 0), (0, 2), (2, 0), (2, 2)]
    """
    seen: set[tuple[int, int]] = set()
    for stride in (8, 4, 2, 1):
        if stride > 1 and stride >= max(rows, columns):
            continue
        for i in range(0, rows, stride):
            for j in range(0, columns, stride):
                if (i, j) not in seen:
                    seen.add((i, j))
                    yield i, j
