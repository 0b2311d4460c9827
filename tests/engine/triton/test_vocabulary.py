"""Each operation of the vocabulary beside PyTorch, in Triton's interpreter."""

from __future__ import annotations

import pytest
import torch

import thalweg
from tests.engine.test_vocabulary import (
    ON_NUMBERS,
    ONE,
    TOLERANCE,
    TWO,
    assert_same,
    pairs,
    run,
)

from .interpreter import interpreted

pytestmark = [interpreted, pytest.mark.sampled(9)]
DTYPES = {**TOLERANCE, torch.float16: 2.0**-10}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", [*ONE, *TWO])
def test_each_spelling_beside_torch(name: str, dtype: torch.dtype) -> None:
    function = ONE.get(name) or TWO[name]

    @thalweg.rule
    def alone(g, p, kept):
        return 0 * g, (function(g) if name in ONE else function(g, p))

    x, y = pairs(dtype)
    actual, ran = run(alone, "triton", x, y)
    assert ran == "triton"
    wide = torch.float32 if dtype == torch.bfloat16 else dtype
    a, b = x.to(wide), y.to(wide)
    assert_same(actual, function(a) if name in ONE else function(a, b), dtype)


@pytest.mark.parametrize("name", ON_NUMBERS)
def test_each_operation_on_reductions(name: str) -> None:
    function, one = ON_NUMBERS[name], name in ONE

    @thalweg.rule
    def alone(g, p, kept):
        x, y = thalweg.total(g), thalweg.total(p)
        return 0 * g, (function(x) if one else function(x, y))

    xs, ys = (x + 0.0 for x in pairs(torch.float64))  # a sum may begin with +0
    params = [torch.nn.Parameter(y.reshape(1).clone()) for y in ys]
    for x, p in zip(xs, params, strict=True):
        p.grad = x.reshape(1)
    optimizer = thalweg.Optimizer(params, alone, lr=0.0, engine="triton")
    optimizer.step()
    actual = torch.cat([optimizer.state[p]["kept"] for p in params])
    assert_same(actual, function(xs) if one else function(xs, ys), torch.float64)
