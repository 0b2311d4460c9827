"""Planes in the space of the parameters: by the principal components of paths, or random."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

_ROUNDING = 1e-14
"""Variance below this share of the squares of all points is that of rounded means."""


@dataclass(frozen=True)
class Plane:
    """The points origin + a·axes[0] + b·axes[1], and how it was chosen.

    `explained` are the shares of the variance of the points along the axes, empty for random axes.
    """

    origin: Tensor
    axes: Tensor
    kind: str
    explained: tuple[float, ...] = ()

    def coordinates(self, points: Tensor) -> Tensor:
        """Return (a, b) of the nearest point of the plane, for each point (points, parameters).

        The least squares solution of [a b]·axes = point − origin.
        """
        moved = points.double() - self.origin
        gram = self.axes @ self.axes.T
        found: Tensor = torch.linalg.solve(gram, self.axes @ moved.T).T
        return found

    def distances(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Return how far each point is from the plane and from its origin."""
        moved = points.double() - self.origin
        off = moved - self.coordinates(points) @ self.axes
        return off.norm(dim=1), moved.norm(dim=1)

    def at(self, a: float, b: float) -> Tensor:
        """Return a point of the plane."""
        return self.origin + a * self.axes[0] + b * self.axes[1]


def filter_normalised(
    direction: Tensor, point: Tensor, shapes: Sequence[tuple[int, ...]]
) -> Tensor:
    """Return a direction whose filters have the norms of the filters of a point (Li and others, 2018).

        d_ij ← d_ij · ‖θ_ij‖ / ‖d_ij‖

    Filter j of weight i is a slice along its first dimension: a row of a matrix, a filter of a convolution.
    Biases and parameters of norms, which have one dimension, are left as they are: their direction is 0.

    Args:
        direction: (parameters,), as drawn.
        point: (parameters,).
        shapes: those of the parameters, in their order.
    """
    found, begin = torch.zeros_like(direction), 0
    for shape in shapes:
        end = begin + int(torch.Size(shape).numel())
        if len(shape) > 1 and end > begin:
            d, theta = (x[begin:end].reshape(shape[0], -1) for x in (direction, point))
            scale = theta.norm(dim=1, keepdim=True) / d.norm(dim=1, keepdim=True)
            found[begin:end] = (d * scale).flatten()
        begin = end
    return found


def drawn(point: Tensor, shapes: Sequence[tuple[int, ...]], count: int, seed: int) -> Tensor:
    """Return so many random filter-normalised directions at a point, (count, parameters)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.stack(
        [
            filter_normalised(
                torch.randn(len(point), generator=generator, dtype=torch.float64), point, shapes
            )
            for _ in range(count)
        ]
    )


def random_plane(point: Tensor, shapes: Sequence[tuple[int, ...]], seed: int) -> Plane:
    """Return a plane of two random filter-normalised directions through a point."""
    point = point.double()
    return Plane(point, drawn(point, shapes, 2, seed), "random")


def pca_plane(points: Tensor, shapes: Sequence[tuple[int, ...]], seed: int) -> Plane:
    """Return the plane of the first two principal components of points, through their mean.

    Points on one line have one component; the second axis is then a random filter-normalised direction at
    the last point, made orthogonal to the first.

    Args:
        points: (points, parameters), at least two.
        shapes: those of the parameters.
        seed: of that direction.
    """
    points = points.double()
    mean = points.mean(0)
    centred = points - mean
    values, vectors = torch.linalg.eigh(centred @ centred.T)
    values, vectors = values.flip(0).clamp_min(0), vectors.flip(1)
    total = float(values.sum())
    rounding = _ROUNDING * float(points.square().sum())
    kept = int((values[:2] > max(_ROUNDING * total, rounding)).sum())
    if not kept:
        return random_plane(points[-1], shapes, seed)
    axes = (vectors[:, :kept].T @ centred) / values[:kept].sqrt()[:, None]
    explained = tuple((values[:kept] / total).tolist())
    if kept == 2:
        return Plane(mean, axes, "pca", explained)
    more = drawn(points[-1], shapes, 1, seed)
    basis = torch.linalg.qr(torch.cat([axes, more]).T).Q.T
    return Plane(mean, basis, "line", explained)


def random_walk_share(
    steps: Sequence[Sequence[int]], starts: Tensor, moved: Sequence[float], count: int = 2
) -> float:
    """Return the share of the variance that so many components of random walks explain, in high dimension.

    The walks have the starts and lengths of the paths:

        E[θ_i·θ_j] = s_r·s_q + δ_rq·‖moved_r‖²·min(t_i, t_j)/T_r

    One long walk has 6/π²·(1 + 1/4) = 0.76 with two (Antognini and Sohl-Dickstein, 2018).

    Args:
        steps: of the points of each path.
        starts: (paths, parameters), the first point of each.
        moved: the distance from the first to the last point of each.

    >>> round(random_walk_share([range(1000)], torch.zeros(1, 1), [1.0]), 3)
    0.76
    """
    begins = starts.double() - starts.double().mean(0)
    between = begins @ begins.T
    places = [(run, step - each[0]) for run, each in enumerate(steps) for step in each]
    run = torch.tensor([r for r, _ in places])
    time = torch.tensor([t for _, t in places], dtype=torch.float64)
    longest = torch.tensor([max(each[-1] - each[0], 1) for each in steps], dtype=torch.float64)
    rate = torch.tensor(moved, dtype=torch.float64) ** 2 / longest
    same = (run[:, None] == run[None, :]).double() * rate[run][:, None]
    gram = between[run][:, run] + same * torch.minimum(time[:, None], time[None, :])
    middle = torch.eye(len(run), dtype=torch.float64) - 1 / len(run)
    values = torch.linalg.eigvalsh(middle @ gram @ middle).clamp_min(0)
    return float(values[-count:].sum() / values.sum()) if float(values.sum()) else 1.0
