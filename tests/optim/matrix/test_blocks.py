"""Shampoo and SOAP of matrices that are cut into blocks: each block is stepped as a matrix of its own."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

import thalweg
from tests.engine.kinds import draw, each_engine
from tests.exact import RERUN, same
from thalweg import optim
from thalweg.engine.matrix.in_blocks import cut
from thalweg.rules.shampoo import shampoo_blocks

PLAIN: list[tuple[str, dict[str, Any]]] = [
    ("Shampoo", {"grafting": "none", "eps": 1e-3}),
    ("Shampoo", {"grafting": "none", "eps": 1e-2, "newton": True}),
    ("Shampoo", {"grafting": "none", "eps": 1e-3, "sums": True}),
    ("SOAP", {}),
    ("SOAP", {"dialect": "authors", "shampoo_beta": 0.8}),
]
"""Optimizers whose steps look at no more than a block."""


def run(make: Any, starts: Sequence[Tensor], gradients: Sequence[Sequence[Tensor]]) -> list[Tensor]:
    params = [Parameter(x.clone()) for x in starts]
    optimizer = make(params)
    for step in gradients:
        for p, g in zip(params, step, strict=True):
            p.grad = g.clone()
        optimizer.step()
    return [p.detach() for p in params]


@each_engine
@pytest.mark.parametrize(
    ("shape", "rows", "columns"),
    [
        ((7, 10), (4, 3), (4, 3, 3)),
        ((6, 9), (3, 3), (3, 3, 3)),
        ((9, 2, 2), (3, 3, 3), (4,)),
    ],
    ids=str,
)
@pytest.mark.parametrize(("name", "options"), PLAIN, ids=str)
def test_a_block_is_stepped_as_a_matrix_of_its_own(
    name: str, options: dict[str, Any], shape: Any, rows: Any, columns: Any, engine: Any
) -> None:
    """Blocks of one size are a stack: other products of other sizes leave roundings alone."""
    make = functools.partial(getattr(optim, name), lr=0.1, every=2, engine=engine, **options)

    def apart(x: Tensor) -> list[Tensor]:
        whole = x.reshape(shape[0], -1)
        return [
            b.contiguous() for r in torch.split(whole, rows) for b in torch.split(r, columns, 1)
        ]

    x, gradients = draw(*shape), [draw(*shape, seed=k) for k in range(1, 8)]
    block = max(*rows, *columns)
    (found,) = run(functools.partial(make, block_size=block), [x], [[g] for g in gradients])
    expected = run(make, apart(x), [apart(g) for g in gradients])
    for a, b in zip(apart(found), expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("name", ["Shampoo", "SOAP"])
def test_a_block_as_large_as_the_matrix_is_the_matrix(name: str) -> None:
    x, gradients = draw(6, 4), [[draw(6, 4, seed=k)] for k in range(1, 8)]
    ends = [
        run(functools.partial(getattr(optim, name), every=2, block_size=size), [x], gradients)
        for size in (6, 7, math.inf)
    ]
    same(ends[0], ends[2], because=RERUN)
    same(ends[1], ends[2], because=RERUN)


@each_engine
def test_a_grafted_length_is_that_of_the_whole(engine: Any) -> None:
    """As Adam's step is: with β = 0 a number for each sign. A block alone would have had its own."""
    x, g = torch.zeros(6, 5).double(), draw(6, 5)
    g[:3] *= 1e-3
    options: dict[str, Any] = {"betas": (0.0, 0.0), "every": 1, "lr": 1.0, "eps": 1e-3}
    make = functools.partial(optim.Shampoo, block_size=3, engine=engine, **options)
    (whole,) = run(make, [x], [[g]])
    assert float(whole.norm()) == pytest.approx(math.sqrt(30), rel=1e-5)
    assert abs(float(whole[:3].norm()) - math.sqrt(15)) > 0.1


def test_blocks_keep_less_than_long_sides() -> None:
    p = Parameter(torch.zeros(300, 40))
    kept = {}
    for size in (50, math.inf):
        p.grad = torch.ones_like(p)
        optimizer = optim.Shampoo([p], block_size=size)
        optimizer.step()
        kept[size] = {n: tuple(optimizer.state[p][n].shape) for n in ("L", "R", "X", "Y")}
    of_blocks = {"L": (300, 50), "R": (40, 240), "X": (300, 50), "Y": (40, 240)}
    assert kept[50] == of_blocks
    assert kept[math.inf]["L"] == (300, 300)


def test_parts_are_the_fewest_and_as_equal_as_they_can_be() -> None:
    for side in range(1, 60):
        for block in range(3, 20):
            sizes = [parts.size for parts in cut(side, block) for _ in range(parts.count)]
            assert sum(sizes) == side
            assert max(sizes) <= block
            assert max(sizes) - min(sizes) <= 1
            assert len(sizes) == math.ceil(side / block)
            assert side == 1 or min(sizes) > 1  # a side of 1 has no matrix


def test_a_sensible_size_is_asked_for() -> None:
    for wrong in (2, 3.5, 0, math.nan):
        with pytest.raises(ValueError, match="Invalid block_size"):
            optim.Shampoo([Parameter(torch.zeros(2, 2))], block_size=wrong)
    with pytest.raises(thalweg.RuleError, match="a string with an integer above 0"):
        shampoo_blocks(block_size="many")
