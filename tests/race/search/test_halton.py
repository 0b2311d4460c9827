"""The Halton sequence against scipy's, and its scrambling against what a scrambling must keep."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import qmc

from tests.exact import RERUN, same
from thalweg.race.search.halton import halton, stream_seed

PRIMES = (2, 3, 5, 7, 11)


def drawn(count: int, dimensions: int, seed: int | None) -> np.ndarray:
    return np.array(list(itertools.islice(halton(dimensions, seed), count)))


def test_without_a_seed_it_is_the_sequence_of_scipy() -> None:
    expected = qmc.Halton(d=5, scramble=False).random(200)
    np.testing.assert_allclose(drawn(200, 5, None), expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("seed", [None, 0, 1, 123])
def test_each_interval_of_a_base_is_hit_equally_often(seed: int | None) -> None:
    for axis, base in enumerate(PRIMES):
        count = base**2
        column = drawn(3 * count, len(PRIMES), seed)[:, axis]
        for start in range(0, 3 * count, count):  # any b^m in a row, from a multiple of b^m on
            cells = np.floor(column[start : start + count] * count + 1e-9).astype(int)
            assert sorted(cells) == list(range(count))


def test_boxes_of_two_bases_are_hit_equally_often() -> None:
    x, y = drawn(4 * 9 * 5, 2, seed=7).T
    boxes = (np.floor(x * 4) * 9 + np.floor(y * 9)).astype(int)
    assert (np.bincount(boxes) == 5).all()


def test_points_lie_in_the_half_open_cube_and_depend_on_the_seed() -> None:
    first, second = drawn(500, 8, 1), drawn(500, 8, 2)
    for points in (first, second):
        assert points.min() >= 0
        assert points.max() < 1
    assert (first != second).mean() > 0.9
    same(first, drawn(500, 8, 1), because=RERUN)


def test_the_points_are_those_of_every_machine() -> None:
    """Written down once: a race that goes on elsewhere must find its own points."""
    np.testing.assert_allclose(drawn(2, 2, stream_seed(0, "adam")), KNOWN, rtol=0, atol=1e-15)


KNOWN = [[0.2744772289473586, 0.3759103279826018], [0.7744772289473586, 0.7092436613159352]]
