"""Noise is as normal and as independent as can be seen."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from thalweg.engine.program.noise import normal

from .kinds import DOUBLE

Numbers = np.ndarray[Any, Any]

COUNT = 1 << 17
"""Draws of a sample. The samples are fixed: a test passes always or never."""

SAMPLES = {
    "seed 0": (0, 1, 0),
    "seed 1": (1, 1, 0),
    "step 2": (0, 2, 0),
    "tensor 1": (0, 1, 1),
    "far": (12345, 100_000, 77),
    "negative": (-1, 3, 2),
    "swapped": (1, 0, 0),
}


def sample(name: str) -> Numbers:
    seed, t, ordinal = SAMPLES[name]
    return normal(seed, t, ordinal, torch.empty(COUNT, dtype=DOUBLE)).numpy()


def deviations(correlation: float, count: int = COUNT) -> float:
    """How many standard deviations a correlation of independent numbers is away from 0."""
    return abs(correlation) * math.sqrt(count)


@pytest.mark.parametrize("name", SAMPLES)
def test_it_is_standard_normal(name: str) -> None:
    z = sample(name)
    assert stats.kstest(z, "norm").pvalue > 1e-3
    # z, z² − 1, z³, z⁴ − 3 have variances 1, 2, 15, 96
    moments = zip((1, 2, 3, 4), (0, 1, 0, 3), (1, 2, 15, 96), strict=True)
    for power, mean, variance in moments:
        assert abs((z**power).mean() - mean) < 4 * math.sqrt(variance / COUNT)
    for bound in (2.0, 3.0, 4.0):
        share = 2 * stats.norm.sf(bound)
        assert abs((abs(z) > bound).sum() - share * COUNT) < 4 * math.sqrt(share * COUNT)


@pytest.mark.parametrize("name", SAMPLES)
def test_neighbours_are_independent(name: str) -> None:
    z = sample(name)
    for lag in (1, 2, 3, 4, 8, 64, 1024):
        a, b = z[:-lag], z[lag:]
        for x, y in ((a, b), (a**2, b**2), (abs(a), b)):
            assert deviations(np.corrcoef(x, y)[0, 1]) < 4.5


def test_tensors_steps_and_seeds_are_independent() -> None:
    """Near ones above all: a weak key would show in those that differ by one bit."""
    base = (0, 1, 0)
    others = [tuple(base[k] + d * (k == j) for k in range(3)) for j in range(3) for d in (1, 2, 3)]
    others += [(1, 0, 0), (0, 0, 1), (1, 2, 1), (2**32, 1, 0), (0, 1, 2**20), (-1, 1, 0)]
    samples = [
        normal(*part, torch.empty(COUNT // 8, dtype=DOUBLE)).numpy() for part in (base, *others)
    ]
    for of in (lambda z: z, np.square):
        matrix = np.corrcoef([of(z) for z in samples])
        apart = matrix[~np.eye(len(samples), dtype=bool)]
        assert deviations(np.abs(apart).max(), COUNT // 8) < 5
    # nor is any of them a shift of another
    seen = np.concatenate(samples)
    assert len(np.unique(seen)) == len(seen)


def test_the_same_element_over_seeds_steps_and_tensors_is_normal() -> None:
    """Across the key, not along the counter: element 0 of many small tensors, steps and seeds."""
    one = torch.empty(1, dtype=DOUBLE)
    ways: dict[str, Callable[[int], tuple[int, int, int]]] = {
        "seed": lambda k: (k, 1, 0),
        "step": lambda k: (0, k, 0),
        "tensor": lambda k: (0, 1, k),
    }
    for way in ways.values():
        z = np.array([normal(*way(k), one).item() for k in range(2000)])
        assert stats.kstest(z, "norm").pvalue > 1e-3
        assert deviations(np.corrcoef(z[:-1], z[1:])[0, 1], len(z)) < 4
