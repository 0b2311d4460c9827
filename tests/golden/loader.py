"""Read the files of this folder, and follow an optimizer of ours along the same problem."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import Parameter

from .problem import KEPT, SHAPES, STEPS, Array, flat, gradient, rate, start

FOLDER = Path(__file__).parent
SIZES = [int(np.prod(shape)) for shape in SHAPES]


@dataclass(frozen=True, eq=False)
class Run:
    """One optimizer of a library with its options, and the points it came through."""

    library: str
    version: str
    name: str
    schedule: str
    optimizer: str
    options: dict[str, Any]
    lr: float
    note: str
    points: dict[int, Array]
    evaluated: Array | None

    @property
    def key(self) -> str:
        return f"{self.library}: {self.name}"

    @property
    def id(self) -> str:
        return f"{self.key}, {self.schedule}"


@functools.cache
def load() -> tuple[Run, ...]:
    """All runs of all files."""
    runs = []
    for path in sorted(FOLDER.glob("*.json")):
        file = json.loads(path.read_text(encoding="utf-8"))
        for run in file["runs"]:
            points = {int(t): np.array(point) for t, point in run.pop("points").items()}
            evaluated = run.pop("evaluated", None)
            runs.append(
                Run(
                    library=file["library"],
                    version=file["version"],
                    points=points,
                    evaluated=None if evaluated is None else np.array(evaluated),
                    **run,
                )
            )
    return tuple(runs)


@dataclass(frozen=True, eq=False)
class Way:
    """The points of one of our optimizers at the kept steps, and where it says to evaluate at the end."""

    points: dict[int, Array]
    evaluated: Array | None


def follow(make: Callable[..., Any], lr: float, schedule: str) -> Way:
    """Step an optimizer of ours, made of parameters and a learning rate."""
    parameters = [Parameter(torch.from_numpy(w)) for w in start()]
    optimizer = make(parameters, lr=lr)

    def point() -> list[Array]:
        return [p.detach().numpy() for p in parameters]

    kept = {}
    for t in range(1, STEPS + 1):
        for group in optimizer.param_groups:
            group["lr"] = rate(t, lr, schedule)
        for p, g in zip(parameters, gradient(t, point()), strict=True):
            p.grad = torch.from_numpy(g)
        optimizer.step()
        if t in KEPT:
            kept[t] = np.array(flat(point()))
    return Way(kept, _evaluated(optimizer, point))


def _evaluated(optimizer: Any, point: Callable[[], list[Array]]) -> Array | None:
    """Where to evaluate, for those that evaluate elsewhere than they train."""
    try:
        with optimizer.evaluating():
            return np.array(flat(point()))
    except RuntimeError:
        return None


def difference(ours: dict[int, Array], theirs: dict[int, Array]) -> float:
    """The largest difference of two ways, in units of how far theirs has come.

    The unit is the largest displacement from the start, tensor by tensor and step by step, so that a first
    step of 1e-3 is compared as sharply as a last one.
    """
    assert ours.keys() == theirs.keys()
    cuts = np.cumsum(SIZES)[:-1]
    begin = np.split(np.array(flat(start())), cuts)
    worst = 0.0
    for t, point in theirs.items():
        pairs = zip(np.split(ours[t], cuts), np.split(point, cuts), begin, strict=True)
        for mine, other, origin in pairs:
            apart, travelled = np.abs(mine - other).max(), np.abs(other - origin).max()
            if apart > 0:
                worst = max(worst, float(apart / travelled) if travelled > 0 else math.inf)
    return worst
