"""Operations that no kernel knows: such a rule runs eagerly, with the same results."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn import functional

import thalweg
from thalweg.errors import EngineError

Function = Callable[..., Any]

X = torch.tensor([[3.0, -1.0, 0.5], [2.0, 0.25, -4.0]], dtype=torch.float64)

OUTSIDE: dict[str, tuple[str, Function]] = {
    "lgamma": ("lgamma", torch.lgamma),
    "a function of two": ("nextafter", lambda g: torch.nextafter(g, 2 * g + 1)),
    "i0": ("i0", torch.i0),
    "svd": ("linalg_svd", lambda g: torch.linalg.svd(g, full_matrices=False)[2]),
    "singular values": ("linalg_svdvals", lambda g: g / torch.linalg.svdvals(g).sum()),
    "their mean": ("linalg_svdvals", lambda g: g / (2 * torch.linalg.svdvals(g)).mean()),
    "their number": ("linalg_svdvals", lambda g: g / torch.linalg.svdvals(g).numel()),
    "their norm": ("linalg_svdvals", lambda g: g / thalweg.norm(torch.linalg.svdvals(g))),
    "matmul": ("matmul", lambda g: g @ g.mT @ g),
    "softmax": ("softmax", lambda g: torch.softmax(g, dim=-1)),
    "cumsum": ("cumsum", lambda g: g.cumsum(0)),
    "sum over a dim": ("sum", lambda g: g / g.abs().sum(0)),
    "sum over a named dim": ("sum", lambda g: g / g.abs().sum(dim=0, keepdim=True)),
    "mean over a named dim": ("mean", lambda g: g - g.mean(dim=1, keepdim=True)),
    "mean over a dim": ("mean", lambda g: g - g.mean(0)),
    "torch.mean over a dim": ("mean", lambda g: g - torch.mean(g, 0)),
    "max over a dim": ("max", lambda g: g - torch.max(g, 0)[0]),
    "max over a named dim": ("max", lambda g: g - g.max(dim=0).values),
    "min over a dim": ("min", lambda g: g - g.min(0)[0]),
    "amax over a dim": ("amax", lambda g: g - g.amax(0)),
    "norm of another order": ("norm", lambda g: g / torch.norm(g, p=1)),
    "norm over a dim": ("linalg_vector_norm", lambda g: g / torch.linalg.vector_norm(g, dim=0)),
    "rounded quotient": ("div", lambda g: torch.div(g, 0.3, rounding_mode="trunc")),
    "glu": ("glu", lambda g: g + functional.glu(torch.cat([g, g]), dim=0)),
    "std": ("std", lambda g: g / g.std()),
    "flip": ("flip", lambda g: g.flip(0)),
    "outer shape": ("reshape", lambda g: g.reshape(-1).sort()[0].reshape(g.shape)),
    "one element": ("getitem", lambda g: g - g[0, 1]),
}


@pytest.mark.parametrize("name", OUTSIDE)
def test_an_operation_outside_the_vocabulary_runs_eagerly(name: str) -> None:
    label, function = OUTSIDE[name]

    @thalweg.rule
    def outside(g, m):
        return function(g), m + function(g)

    w = torch.nn.Parameter(torch.zeros_like(X))
    optimizer = thalweg.Optimizer([w], outside, lr=0.5)
    for _ in range(2):
        w.grad = X.clone()
        optimizer.step()
    torch.testing.assert_close(w.detach(), -function(X), rtol=1e-12, atol=1e-15)
    torch.testing.assert_close(optimizer.state[w]["m"], 2 * function(X), rtol=1e-12, atol=1e-15)
    assert optimizer.plan().startswith("eager")
    with pytest.raises(EngineError, match=rf"engine='fused' .*\b{label}\b.*engine='auto'"):
        thalweg.Optimizer([w], outside, engine="fused").step()


def test_a_reduction_over_all_tensors_of_an_operation_outside() -> None:
    @thalweg.rule
    def outside(g):
        return 0 * g + thalweg.total(torch.lgamma(g), scope="all")

    params = [torch.nn.Parameter(torch.zeros(2, dtype=torch.float64)) for _ in range(2)]
    for k, p in enumerate(params):
        p.grad = torch.full_like(p, 0.5 + k)
    thalweg.Optimizer(params, outside, lr=1.0).step()
    total = 2 * torch.lgamma(torch.tensor([0.5, 1.5], dtype=torch.float64)).sum()
    for p in params:
        torch.testing.assert_close(p.detach(), -total.expand(2))


def test_an_operation_outside_takes_scalars() -> None:
    @thalweg.rule
    def outside(g, *, t):
        return g * torch.lgamma(t)

    w = torch.nn.Parameter(torch.zeros(2, dtype=torch.float64))
    w.grad = torch.ones_like(w)
    thalweg.Optimizer([w], outside, lr=1.0).step()
    expected = -torch.lgamma(torch.ones(2, dtype=torch.float64))
    torch.testing.assert_close(w.detach(), expected)


def test_random_numbers_are_drawn_anew() -> None:
    @thalweg.rule
    def noisy(g, a, b):
        return g, torch.randn_like(g), torch.randn_like(g)

    w = torch.nn.Parameter(torch.zeros(50))
    optimizer = thalweg.Optimizer([w], noisy, lr=1.0)
    seen = []
    for _ in range(2):
        w.grad = torch.ones(50)
        optimizer.step()
        seen += [optimizer.state[w][name].clone() for name in "ab"]
    for x, y in itertools.combinations(seen, 2):
        assert not (x == y).any()
