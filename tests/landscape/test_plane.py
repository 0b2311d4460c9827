"""Planes: projections, filter normalization, and what a random walk explains."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from thalweg.landscape.plane import (
    filter_normalised,
    pca_plane,
    random_plane,
    random_walk_share,
)

SHAPES = ((4, 3), (4,), (2, 4, 3, 3), (2,))
COUNT = sum(math.prod(shape) for shape in SHAPES)
ROUNDING = 1e-9
"""Sums of at most 1e5 float64 of size 1."""


def points(count: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, COUNT, generator=generator, dtype=torch.float64)


def transcribed(direction: np.ndarray, theta: np.ndarray) -> np.ndarray:
    """Li and others (2018), section 4, filter by filter; one-dimensional parameters get 0."""
    out, begin = [], 0
    for shape in SHAPES:
        size = math.prod(shape)
        d = direction[begin : begin + size].reshape(shape)
        w = theta[begin : begin + size].reshape(shape)
        if len(shape) <= 1:
            out.append(np.zeros(size))
        else:
            rows = [
                d[j] / np.sqrt((d[j] ** 2).sum()) * np.sqrt((w[j] ** 2).sum())
                for j in range(shape[0])
            ]
            out.append(np.stack(rows).ravel())
        begin += size
    return np.concatenate(out)


def test_filter_normalisation_is_that_of_the_paper() -> None:
    direction, theta = points(2)
    found = filter_normalised(direction, theta, SHAPES)
    expected = transcribed(direction.numpy(), theta.numpy())
    assert np.abs(found.numpy() - expected).max() < ROUNDING
    assert (found == 0).sum() == 6, "biases and norms"


@pytest.mark.parametrize("count", [2, 3])
def test_two_and_three_points_lie_on_their_plane(count: int) -> None:
    given = points(count)
    plane = pca_plane(given, SHAPES, 0)
    off, far = plane.distances(given)
    assert off.max() < 1e-6 * far.max()
    back = torch.stack([plane.at(a, b) for a, b in plane.coordinates(given).tolist()])
    assert (back - given).abs().max() < 1e-6
    assert sum(plane.explained) == pytest.approx(1.0)
    assert plane.kind == ("pca" if count == 3 else "line")
    assert plane.axes @ plane.axes.T == pytest.approx(np.eye(2), abs=ROUNDING)


def test_components_are_those_of_the_singular_values() -> None:
    given = points(20) * torch.linspace(3, 0.1, COUNT)
    plane = pca_plane(given, SHAPES, 0)
    values = np.linalg.svd((given - given.mean(0)).numpy(), compute_uv=False) ** 2
    assert plane.explained == pytest.approx(tuple(values[:2] / values.sum()))
    at = plane.coordinates(given)
    assert (at**2).sum(0).numpy() == pytest.approx(values[:2])


def test_projections_on_a_skew_plane_are_the_nearest_points() -> None:
    plane = random_plane(points(1)[0], SHAPES, 3)
    given = points(5, seed=9)
    residual = given - plane.origin - plane.coordinates(given) @ plane.axes
    assert (residual @ plane.axes.T).abs().max() < 1e-8
    off, far = plane.distances(given)
    assert (off <= far).all()
    assert off.numpy() == pytest.approx(residual.norm(dim=1).numpy())


def test_points_that_are_all_the_same_have_a_random_plane() -> None:
    plane = pca_plane(points(1).repeat(3, 1), SHAPES, 0)
    assert (plane.kind, plane.explained) == ("random", ())


def test_a_random_walk_of_many_steps_explains_76_per_cent() -> None:
    share = random_walk_share([range(800)], torch.zeros(1, 1), [1.0])
    assert share == pytest.approx(6 / math.pi**2 * 1.25, abs=2e-3)  # its limit is for endless walks


def test_the_baseline_is_what_simulated_walks_have() -> None:
    generator = torch.Generator().manual_seed(0)
    steps = [[0, 5, 10, 30, 60], [0, 20, 40, 60]]
    start = torch.randn(20_000, generator=generator, dtype=torch.float64) * 3
    paths = []
    for each, scale in zip(steps, (1.0, 2.0), strict=True):
        jumps = torch.randn(60, 20_000, generator=generator, dtype=torch.float64) * scale
        walk = start + torch.cat([torch.zeros(1, 20_000, dtype=torch.float64), jumps.cumsum(0)])
        paths.append(walk[each])
    expected = random_walk_share(
        steps,
        torch.stack([path[0] for path in paths]),
        [float((path[-1] - path[0]).norm()) for path in paths],
    )
    found = sum(pca_plane(torch.cat(paths), ((20_000,),), 0).explained)
    assert found == pytest.approx(expected, abs=0.02)  # directions are only nearly orthogonal
