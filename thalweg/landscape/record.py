"""A plane with the loss on it and the ways of runs, as plain data."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from thalweg.landscape.evaluated import LossAt, Show, coarse_first, evaluated
from thalweg.landscape.plane import Plane, pca_plane, random_plane, random_walk_share
from thalweg.landscape.runs import Way

SCHEMA = "thalweg.landscape/1"
_MARGIN = 0.22
"""Room around the ways, as a share of their extent."""
_FLATTEST = 0.6
"""The shorter side of a plane of paths, as a share of the longer."""


@dataclass(frozen=True)
class Grid:
    """A plane, and the coordinates at which the loss on it is computed."""

    plane: Plane
    xs: tuple[float, ...]
    ys: tuple[float, ...]

    @property
    def cells(self) -> list[tuple[int, int]]:
        """Row and column of each point, the coarse picture first."""
        return list(coarse_first(len(self.ys), len(self.xs)))


def plane_for(
    ways: Sequence[Way], shapes: Sequence[tuple[int, ...]], *, plane: str = "pca", seed: int = 0
) -> Plane:
    """Return the plane for ways: of their principal components, or random at the end of the first.

    One point alone has no principal components: its plane is random.
    """
    points = torch.cat([way.points for way in ways])
    if plane == "random" or len(points) == 1:
        return random_plane(ways[0].points[-1], shapes, seed)
    return pca_plane(points, shapes, seed)


def grid_for(plane: Plane, ways: Sequence[Way], points: int, span: float) -> Grid:
    """Return the grid of a plane: around all ways with some room, of a random plane ± `span` at least.

    Both axes have the same unit. The shorter side has fewer points, so that cells are squares.
    """
    at = plane.coordinates(torch.cat([way.points for way in ways]))
    low, high = at.min(0).values, at.max(0).values
    middle, room = (low + high) / 2, (high - low) * (1 + 2 * _MARGIN)
    if plane.kind == "random":
        room = room.clamp_min(2 * span)
    room = room.clamp_min(_FLATTEST * float(room.max()))
    longest = float(room.max())
    sides = []
    for axis in range(2):
        count = max(2, round((points - 1) * float(room[axis]) / longest) + 1)
        half = float(room[axis]) / 2
        line = torch.linspace(-half, half, count, dtype=torch.float64) + middle[axis]
        sides.append(tuple(line.tolist()))
    return Grid(plane, sides[0], sides[1])


def landscape_record(
    ways: Sequence[Way],
    grid: Grid,
    loss: LossAt | Callable[[Tensor], float],
    show: Show,
    **said: Any,
) -> dict[str, Any]:
    """Return the plane with the loss at each point of the grid and at the points of the ways.

    Ctrl-C ends it early: what was computed is kept, and `interrupted` says so.

    Args:
        ways: those that are drawn.
        grid: of the plane.
        loss: of one point.
        show: told of progress.
        said: what else the record holds, such as the task.
    """
    plane = grid.plane
    at = [plane.coordinates(way.points) for way in ways]
    makers: list[Callable[[], Tensor]] = []
    for way, places in zip(ways, at, strict=True):
        makers += [functools.partial(_point, way.points, k) for k in range(len(way.points))]
        makers += [functools.partial(plane.at, *place) for place in places.tolist()]
    cells = grid.cells
    makers += [functools.partial(plane.at, grid.xs[j], grid.ys[i]) for i, j in cells]
    began = time.perf_counter()
    values, interrupted = evaluated(loss, makers, show)
    seconds = time.perf_counter() - began
    paths, used = [], 0
    for way, places in zip(ways, at, strict=True):
        count = len(way.points)
        own = values[used : used + count], values[used + count : used + 2 * count]
        paths.append(_path(plane, way, places, own))
        used += 2 * count
    rows: list[list[float | None]] = [[None] * len(grid.xs) for _ in grid.ys]
    for (i, j), value in zip(cells, values[used:], strict=True):
        rows[i][j] = value
    return {
        "schema": SCHEMA,
        **said,
        "plane": plane.kind,
        "explained": list(plane.explained),
        "random_walk": _baseline(plane, ways),
        "xs": list(grid.xs),
        "ys": list(grid.ys),
        "loss": rows,
        "paths": paths,
        "evaluations": sum(value is not None for value in values),
        "planned": len(values),
        "seconds": seconds,
        "interrupted": interrupted,
    }


def _point(points: Tensor, place: int) -> Tensor:
    return points[place]


def _path(
    plane: Plane, way: Way, places: Tensor, values: tuple[list[float | None], list[float | None]]
) -> dict[str, Any]:
    off, _ = plane.distances(way.points)
    return {
        "run": way.name,
        "optimizer": way.optimizer,
        "steps": list(way.steps),
        "x": places[:, 0].tolist(),
        "y": places[:, 1].tolist(),
        "off": off.tolist(),
        "moved": way.moved,
        "loss": values[0],
        "loss_on_plane": values[1],
    }


def _baseline(plane: Plane, ways: Sequence[Way]) -> float | None:
    """Return what random walks from the same starts would have explained; None without paths."""
    if plane.kind != "pca" or not any(len(way.steps) > 2 for way in ways):
        return None
    starts = torch.stack([way.points[0] for way in ways])
    return random_walk_share([way.steps for way in ways], starts, [way.moved for way in ways])
