"""Scalar states that are computed from reductions: one float64 number for each parameter."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

import thalweg
from tests.exact import same
from thalweg import Scalar, largest, norm, total
from thalweg.engine import dimensions, noise
from thalweg.errors import RuleError

from .kinds import DOUBLE, assert_alike, draw, each_engine, mixed, numbers
from .travelled import LR, SHAPES, assert_state, draws, reference, run, travelled


@each_engine
@pytest.mark.parametrize("scope", ["tensor", "all"])
def test_a_number_for_each_parameter(engine: str, scope: str) -> None:
    start, gradients = draws(1)[0], draws(5)[1:]
    params = [Parameter(p.clone()) for p in start]
    optimizer = thalweg.Optimizer(params, travelled(scope=scope), lr=LR, engine=engine)
    run(optimizer, params, gradients)
    expected = reference(start, gradients, scope)
    for p, e in zip(params, expected, strict=True):
        np.testing.assert_allclose(p.detach().numpy(), e["p"], rtol=1e-12, atol=1e-14)
        assert_state(optimizer.state[p], 4, e)
    ways = {e["way"] for e in expected}
    assert len(ways) == (len(SHAPES) if scope == "tensor" else 1)
    assert engine == "eager" or "fused  4 tensors" in optimizer.plan()


@each_engine
@pytest.mark.parametrize("dtype", [DOUBLE, torch.float32, torch.bfloat16], ids=str)
def test_the_functional_face_is_the_same(engine: str, dtype: torch.dtype) -> None:
    """To the last bit of the eager engine, and near the fused one; a dict of numbers for a dict."""
    start, *gradients = draws(5, dtype=dtype)
    params = [Parameter(p.clone()) for p in start]
    chain = thalweg.chain(travelled(scope="all"), travelled)
    optimizer = thalweg.Optimizer(params, chain, lr=LR, engine=engine)
    run(optimizer, params, gradients)
    names = [f"layer {k}" for k in range(len(start))]
    p: Any = dict(zip(names, start, strict=True))
    state = chain.init(p)
    assert state["travelled.turns"] == 2.0
    assert state["travelled2.way"] == dict.fromkeys(names, 0.25)
    for g in gradients:
        p, state = chain.step(p, dict(zip(names, g, strict=True)), state, lr=LR)
    exact = engine == "eager"
    rtol = {DOUBLE: 1e-12, torch.float32: 1e-5, torch.bfloat16: 2.0**-6}[dtype] * (not exact)
    for name, w in zip(names, params, strict=True):
        torch.testing.assert_close(p[name], w.detach(), rtol=rtol, atol=rtol / 10)
        for kept in ("travelled.way", "travelled2.squares"):
            assert float(state[kept][name]) == pytest.approx(
                optimizer.state[w][kept].item(), rel=rtol, abs=0.0
            )


def test_a_chain_with_such_a_number() -> None:
    def longest(g, eta: Scalar = 1.0):
        return g * eta, torch.maximum(eta, norm(g))

    chain = thalweg.chain(thalweg.rule(longest))
    assert chain.scalar_states == {"eta": 1.0}
    w = torch.full((4,), 3.0)
    assert chain.init(w) == {"t": 0, "eta": 1.0}
    after, state = chain.step(w, w, chain.init(w), lr=1.0)
    assert (after.tolist(), state) == ([0.0] * 4, {"t": 1, "eta": 6.0})


@each_engine
def test_over_every_kind_of_tensor(engine: str) -> None:
    params, gradients = mixed()
    groups = [{"params": [p], "lr": 0.5 + k} for k, p in enumerate(params)]

    @thalweg.rule
    def longest(g, seen: Scalar = 0.0, own: Scalar = 0.0):
        seen = torch.maximum(seen, largest(torch.abs(g), scope="all"))
        return g / seen, seen, own + norm(g)

    optimizer = thalweg.Optimizer(groups, longest, lr=0.1, engine=engine)
    for _ in range(2):
        optimizer.step()
    most = max(numbers(g).abs().max().item() for g in gradients if g.numel())
    for k, (p, g) in enumerate(zip(params, gradients, strict=True)):
        before = 0.5 * numbers(torch.ones_like(g))
        assert_alike(p.detach(), before - 2 * (0.5 + k) * numbers(g) / most)
        state = optimizer.state[p]
        assert state["seen"].item() == pytest.approx(most, rel=1e-6)
        assert state["own"].item() == pytest.approx(2 * numbers(g).norm().item(), rel=1e-6)


@each_engine
def test_new_values_are_all_computed_from_the_old_ones(engine: str) -> None:
    """Whatever is written first: a number that another number, a state or the point takes over."""

    @thalweg.rule
    def shifting(g, p, m, last: Scalar = 1.0, before: Scalar = 2.0, third: Scalar = 3.0):
        return p - before, last, norm(g), last, before

    w = Parameter(torch.zeros(3, dtype=DOUBLE))
    optimizer = thalweg.Optimizer([w], shifting, lr=1.0, engine=engine)
    seen = [3.0, 2.0, 1.0]
    for count in range(1, 5):
        before, last = seen[-2:]
        run(optimizer, [w], [[torch.full((3,), float(count), dtype=DOUBLE)]])
        seen.append(count * math.sqrt(3))
        state = optimizer.state[w]
        assert [state[n].item() for n in ("third", "before", "last")] == pytest.approx(seen[-3:])
        assert state["m"].tolist() == [last] * 3
        assert w.tolist() == [before] * 3


@each_engine
def test_numbers_beside_units(engine: str) -> None:
    """A tensor cut into units still has one number; the unit's own go through the reduction."""

    @thalweg.rule
    def of_both(g, most: Scalar = 0.0, level: Scalar = 2.0):
        length = norm(g, scope="unit")
        return g / length * level, largest(length), level + total(g)

    gradients = [draw(4, 3), draw(2, seed=1), draw(1, 5, seed=2), draw(3, 2, 2, seed=3)]
    params = [Parameter(torch.zeros_like(g)) for g in gradients]
    optimizer = thalweg.Optimizer(params, of_both, lr=1.0, engine=engine)
    run(optimizer, params, [gradients] * 2)
    for p, g in zip(params, gradients, strict=True):
        inner = tuple(range(1, g.ndim)) or (0,)
        length = g.norm(dim=inner, keepdim=True)
        torch.testing.assert_close(p.detach(), -g / length * (4.0 + g.sum()))
        state = optimizer.state[p]
        assert state["most"].item() == pytest.approx(length.max().item())
        assert state["level"].item() == pytest.approx(2.0 + 2 * g.sum().item())


@thalweg.rule
def of_shape(g, size: Scalar = 0.0, rank: Scalar = 0.0):
    """No reduction, and yet another number for each tensor; one pass."""
    return g * rank, size + g.numel(), dimensions(g) + 0.5 * size


@each_engine
def test_numbers_of_the_shape(engine: str) -> None:
    shapes = [(2, 3), (4,), (), (0, 5)]
    params = [Parameter(torch.zeros(shape, dtype=DOUBLE)) for shape in shapes]
    optimizer = thalweg.Optimizer(params, of_shape, lr=1.0, engine=engine)
    run(optimizer, params, [[torch.ones_like(p) for p in params]] * 2)
    for p, shape in zip(params, shapes, strict=True):
        expected = torch.full(shape, 0.0 - len(shape), dtype=DOUBLE)
        same(p.detach(), expected, because="small integers")
        assert optimizer.state[p]["size"] == 2 * p.numel()
        assert optimizer.state[p]["rank"] == len(shape) + 0.5 * p.numel()
    assert engine == "eager" or "1 pass" in optimizer.plan()


@each_engine
def test_a_number_later_than_the_last_point(engine: str) -> None:
    """The point needs no reduction, the number two in a row."""

    @thalweg.rule
    def measured(g, spread: Scalar = 0.0):
        return g, norm(g - largest(g, scope="all"))

    gradients = draws(1)[0]
    params = [Parameter(torch.zeros_like(g)) for g in gradients]
    optimizer = thalweg.Optimizer(params, measured, lr=1.0, engine=engine)
    run(optimizer, params, [gradients])
    most = max(g.max() for g in gradients)
    for p, g in zip(params, gradients, strict=True):
        same(p.detach(), -g, because="0 - 1 · g is exact")
        assert optimizer.state[p]["spread"].item() == pytest.approx((g - most).norm().item())


@each_engine
def test_a_nan_stays_with_its_tensor(engine: str) -> None:
    start, *gradients = draws(4, ((3,), (4,)))
    gradients[0][1][2] = math.nan
    params = [Parameter(p.clone()) for p in start]
    optimizer = thalweg.Optimizer(params, travelled, lr=LR, engine=engine)
    run(optimizer, params, gradients)
    (expected,) = reference(start[:1], [g[:1] for g in gradients], "tensor")
    assert_state(optimizer.state[params[0]], 3, expected)
    assert optimizer.state[params[1]]["squares"].isnan()
    assert params[1].isnan().all()


@each_engine
def test_a_number_may_be_changed_in_its_place(engine: str) -> None:
    @thalweg.rule
    def grown(g, d: Scalar = 1.0):
        return d * g, d + total(g)

    w = Parameter(torch.zeros(1, dtype=DOUBLE))
    optimizer = thalweg.Optimizer([w], grown, lr=1.0, engine=engine)
    ones = [[torch.ones(1, dtype=DOUBLE)]]
    run(optimizer, [w], ones)
    optimizer.state[w]["d"].fill_(10.0)
    run(optimizer, [w], ones)
    assert (w.item(), optimizer.state[w]["d"].item()) == (-11.0, 11.0)


@thalweg.rule
def sometimes(g, d: Scalar = 5.0, e: Scalar = 7.0, *, adapt=False):
    """The switch decides whether a number comes from a reduction."""
    return g * d, norm(g) if adapt else d - 1, e * (2 if adapt else norm(g))


@each_engine
def test_a_switch_decides_what_is_computed_from_a_reduction(engine: str) -> None:
    w = Parameter(torch.zeros(4, dtype=DOUBLE))
    optimizer = thalweg.Optimizer([w], sometimes, lr=1.0, engine=engine)
    d, e, point = 5.0, 7.0, 0.0
    for adapt in (False, True, True, False, True):
        optimizer.param_groups[0]["adapt"] = adapt
        point -= d
        d, e = (2.0, 2 * e) if adapt else (d - 1, 2 * e)
        run(optimizer, [w], [[torch.ones(4, dtype=DOUBLE)]])
        assert w.tolist() == [point] * 4
        assert (optimizer.state[w]["d"], optimizer.state[w]["e"]) == (d, e)


@pytest.mark.parametrize("as_dict", [False, True])
def test_a_switch_that_a_step_sets(as_dict: bool) -> None:
    """`init` cannot know it, and d still is each tensor's own."""

    @thalweg.rule
    def adapted(g, d: Scalar = 5.0, *, adapt=False):
        return g * d, norm(g) if adapt else d - 1

    chain = thalweg.chain(adapted)
    p: Any = {"a": torch.ones(4, dtype=DOUBLE), "b": torch.ones(9, dtype=DOUBLE)}
    if not as_dict:
        p = p["b"]
    _, state = chain.step(p, p, chain.init(p), lr=1.0, adapt=True)
    assert state["d"] == ({"a": 2.0, "b": 3.0} if as_dict else 3.0)
    if as_dict:
        with pytest.raises(RuleError, match=r"state 'd' is a dict .* one number for all tensors"):
            chain.step(p, p, state, lr=1.0, adapt=False)
    else:
        assert chain.step(p, p, state, lr=1.0, adapt=False)[1]["d"] == 2.0


@each_engine
def test_a_number_may_have_the_name_of_a_scope(engine: str) -> None:
    @thalweg.rule
    def named(g, unit: Scalar = 5.0, tensor: Scalar = 6.0):
        return g * unit * tensor, unit + norm(g), tensor + total(g)

    w = Parameter(torch.zeros(2, 2, dtype=DOUBLE))
    optimizer = thalweg.Optimizer([w], named, lr=1.0, engine=engine)
    run(optimizer, [w], [[torch.ones(2, 2, dtype=DOUBLE)]])
    assert (optimizer.state[w]["unit"], optimizer.state[w]["tensor"]) == (7.0, 10.0)
    assert w.tolist() == [[-30.0] * 2] * 2


def test_a_number_is_float64_whatever_the_parameter_is() -> None:
    """Or the float32 of one reduction would make float32 of all that follows."""

    @thalweg.rule
    def measured(g, d: Scalar = 0.0, *, t):
        return g, torch.where(t == 1, norm(g), d * (1 / 3))

    w = Parameter(torch.ones(3))
    optimizer = thalweg.Optimizer([w], measured, lr=0.0, engine="eager")
    chain = thalweg.chain(measured)
    p, state = torch.ones(3), chain.init(w)
    for _ in range(4):
        run(optimizer, [w], [[torch.ones(3)]])
        p, state = chain.step(p, torch.ones(3), state, lr=0.0)
        assert torch.as_tensor(state["d"]).dtype == DOUBLE
        assert state["d"] == optimizer.state[w]["d"]


@thalweg.rule
def free(g, d: Scalar = 0.5, squares: Scalar = 0.0, *, power=0.5):
    squares = squares + total(g * g)
    return d / (1 + squares) ** power * g, d + 0.1 * norm(g), squares


def test_differentiable_through_the_numbers() -> None:
    def end(p: Tensor, g1: Tensor, g2: Tensor, power: Tensor) -> Tensor:
        chain = thalweg.chain(free)
        state = chain.init(p)
        for g in (g1, g2):
            p, state = chain.step(p, g, state, lr=0.2, power=power)
        return p + state["d"]

    inputs = [draw(3, seed=k) for k in range(3)] + [torch.tensor(0.4, dtype=DOUBLE)]
    assert torch.autograd.gradcheck(end, [x.requires_grad_() for x in inputs])


def refused(*texts: str) -> Callable[[Callable[..., Any]], None]:
    def check(function: Callable[..., Any]) -> None:
        with pytest.raises(RuleError) as caught:
            thalweg.rule(function)
        for text in texts:
            assert text in str(caught.value)

    return check


def test_what_is_no_number() -> None:
    @refused("scalar state `d` depends on a reduction with scope='unit'", "scope='tensor'")
    def of_units(g, d: Scalar = 1.0):
        return g, torch.sqrt(d * norm(g, scope="unit"))

    @refused("scalar state `d` is computed element by element", "make it a tensor state")
    def of_elements(g, d: Scalar = 1.0):
        return g, d + norm(g) * g

    @refused("its noise depends on a tensor", "hyperparameters, t and numbers")
    def seeded(g, d: Scalar = 1.0, *, t):
        return noise(g, d, t), d + norm(g)


def test_the_numbers_of_a_program_have_an_order() -> None:
    """Theirs in the chain, on every run: kernels are kept by their text."""

    @thalweg.rule
    def many(g, f: Scalar = 0, b: Scalar = 0, e: Scalar = 0, a: Scalar = 0, d: Scalar = 0):
        s = total(g)
        return g * (a + b + d + e + f), f + s, b - s, e * s, a / s, s

    program = thalweg.chain(many).program({})
    assert [v.data for v in program.values if v.op == "number"] == ["f", "b", "e", "a", "d"]
    assert list(program.number_outputs) == ["f", "b", "e", "a", "d"]
