"""The gradient at the head of a chain, for the links that ask for it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import thalweg
from thalweg import norm, rules

from .kinds import DOUBLE, assert_alike, draw, each_engine, mixed, numbers, step
from .walks import LR, Numbers, assert_same_path, draws, follow, walk


@thalweg.rule(of_gradient=True)
def doubled(g):
    return 2 * g


@thalweg.rule
def agreeing(u, gradient):
    return torch.where(u * gradient > 0, u, 0.0)


@thalweg.rule(lr_inside=True)
def inside(g, v, *, lr, beta=0.9):
    v = beta * v + lr * g
    return v, v


@each_engine
def test_the_gradient_passes_by_the_links_between(engine: str) -> None:
    v = np.zeros(40)

    def update(t: int, g: Numbers, p: Numbers) -> Numbers:
        nonlocal v
        v = 0.9 * v + g
        return LR * np.where(v * g > 0, v, 0.0)

    gradients = draws(40)
    chain = thalweg.chain(rules.accumulate(0.9), agreeing)
    assert chain.states == ("b",)  # the gradient is none of them
    points, _ = walk(chain, gradients, engine)
    assert_same_path(points, follow(gradients, update, lambda t, x, p: x))


@thalweg.rule
def third(u):
    return u / 3


@thalweg.rule
def swapped(u, gradient):
    return gradient


GRADIENTS: dict[str, tuple[tuple[Any, ...], float, float]] = {
    # links, and what p = 1 and g = 3 make: the gradient is g·a + p·b
    "alone": ((swapped,), 1.0, 0.0),
    "another link before it": ((third, swapped), 1.0, 0.0),
    "ascent": ((rules.negate, swapped), -1.0, 0.0),
    "a penalty": ((rules.l2(0.5), third, swapped), 1.0, 0.5),
    "two at the head": ((rules.negate, rules.l2(0.5), third, swapped), -1.0, 0.5),
    "another order": ((rules.l2(0.5), rules.negate, swapped), -1.0, -0.5),
    "only at the head": ((rules.negate, third, doubled, rules.l2(0.5), swapped), -1.0, 0.0),
    "nested": ((thalweg.chain(doubled), thalweg.chain(third, swapped)), 2.0, 0.0),
}


@each_engine
@pytest.mark.parametrize("name", GRADIENTS)
def test_what_still_is_a_gradient(name: str, engine: str) -> None:
    links, a, b = GRADIENTS[name]
    g, p = torch.full((3,), 3.0, dtype=DOUBLE), torch.ones(3, dtype=DOUBLE)
    after, optimizer = step(thalweg.chain(*links), [g], engine, [p], lr=0.25)
    torch.testing.assert_close(after[0], p - 0.25 * (a * g + b * p))
    assert engine == "eager" or optimizer.plan().startswith("fused")


@each_engine
def test_after_the_step_there_still_is_a_gradient(engine: str) -> None:
    @thalweg.rule(after_step=True)
    def against(x, gradient, kept):
        return x - 0.125 * gradient, gradient

    chain = thalweg.chain(doubled, third, inside, against)
    g, p = draw(5), draw(5, seed=1)
    after, optimizer = step(chain, [g], engine, [p], lr=0.25)
    torch.testing.assert_close(after[0], p - 0.25 * 2 / 3 * g - 0.25 * g)
    (state,) = optimizer.state.values()
    torch.testing.assert_close(state["kept"], 2 * g)


@each_engine
def test_a_reduction_of_the_gradient(engine: str) -> None:
    @thalweg.rule
    def as_long(u, gradient):
        """Give the update the length of all gradients together."""
        return u * (norm(gradient, scope="all") / norm(u))

    params, gradients = mixed()
    chain = thalweg.chain(rules.negate, third, as_long)
    thalweg.Optimizer(params, chain, lr=0.5, engine=engine).step()
    length = torch.cat([numbers(g).flatten() for g in gradients]).norm()
    for p, g in zip(params, gradients, strict=True):
        before = 0.5 * numbers(torch.ones_like(g))
        ratio = length / numbers(g).norm() if g.numel() else 1.0
        assert_alike(p.detach(), before + 0.5 * ratio * numbers(g))


@each_engine
def test_a_head_that_reduces(engine: str) -> None:
    """What the head returns is the gradient, also where it stands some passes later."""

    @thalweg.rule(of_gradient=True)
    def of_length_one(g):
        return g / norm(g)

    g = draw(7)
    after, _ = step(thalweg.chain(of_length_one, third, swapped), [g], engine)
    torch.testing.assert_close(after[0], -g / g.norm())


def test_an_update_may_be_called_gradient() -> None:
    @thalweg.rule
    def plain(gradient, m):
        return gradient + m, gradient

    assert thalweg.chain(plain).states == ("m",)
    after, _ = step(plain, [torch.ones(2)], "auto")
    torch.testing.assert_close(after[0], -torch.ones(2))


@pytest.mark.parametrize("values", [1, 3])
def test_the_gradient_is_no_state(values: int) -> None:
    def kept(g, p, gradient, m):
        return gradient if values == 1 else (g, gradient, m)

    with pytest.raises(
        thalweg.RuleError, match=rf"returns {values} .*expected 2: .*return update, m"
    ):
        thalweg.rule(kept)
