from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from thalweg.generators import (
    generators_of,
    is_generator,
    keeper,
    kept,
    seed_generator,
    seed_numpy,
)

MADE: dict[str, Any] = {
    "torch": lambda: (g := torch.Generator(), lambda: torch.rand(2, generator=g).tolist()),
    "numpy": lambda: (g := np.random.default_rng(), lambda: g.normal(size=2).tolist()),
    "philox": lambda: (
        g := np.random.Generator(np.random.Philox()),
        lambda: g.normal(size=2).tolist(),
    ),
    "legacy": lambda: (g := np.random.RandomState(), lambda: g.randn(3).tolist()),
    "legacy over other bits": lambda: (
        g := np.random.RandomState(np.random.PCG64()),
        lambda: g.randn(3).tolist(),
    ),
    "python": lambda: (g := random.Random(), lambda: [g.random(), g.gauss()]),
}


@pytest.mark.parametrize("name", MADE)
@pytest.mark.parametrize("seed", [0, 5, 2**63 - 1])
def test_seeding_and_keeping(name: str, seed: int) -> None:
    generator, draw = MADE[name]()
    seed_generator(generator, seed)
    first = draw()
    draw()
    seed_generator(generator, seed)
    assert draw() == first
    restore = keeper(generator)
    second = draw()
    restore()
    assert draw() == second
    with kept([generator]):
        draw()
    third = draw()
    seed_generator(generator, seed)
    assert [draw(), draw(), draw()] == [first, second, third]
    seed_generator(generator, seed ^ 1)
    assert draw() != first


def test_small_seeds_of_numpy_are_its_own() -> None:
    with kept([np.random.mtrand._rand]):  # type: ignore[attr-defined]
        seed_numpy(11)
        ours = np.random.rand()
        np.random.seed(11)
        assert ours == np.random.rand()


def test_where_generators_are_found() -> None:
    a, b, c, d = (random.Random(k) for k in range(4))
    inner = SimpleNamespace(rng=a, rows=[random.Random()] * 100, itself=None)
    inner.itself = inner
    outer = SimpleNamespace(dataset=inner, parts=({"b": b}, [lambda: c.random()]), draw=d.random)
    found = generators_of(outer)
    assert {*map(id, found)} == {id(a), id(b), id(c), id(d)}
    assert [*map(id, found)] == [*map(id, generators_of(outer, outer, a))]
    assert generators_of(random, np.random, 3, "text", None) == []
    assert not is_generator(random.SystemRandom())
