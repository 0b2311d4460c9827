"""Links after the step, and the gradient at the head of the chain."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

import thalweg
from thalweg import norm, rules
from thalweg.errors import RuleError

from .kinds import DOUBLE, assert_alike, draw, each_engine, mixed, numbers, step

Numbers = np.ndarray[Any, Any]
LR, STEPS = 0.1, 6


@thalweg.rule(after_step=True)
def pull(x, p, kept, *, t, lr, weight=0.5):
    """Reads all there is to read: both points, a state, the step number and the learning rate."""
    return x - lr * weight * p + 0.1 * kept / t, x - p


@thalweg.rule(after_step=True)
def into_the_ball(x, *, radius=1.0):
    return x * torch.where(norm(x) > radius, radius / norm(x), 1.0)


@thalweg.rule(after_step=True)
def stay(x):
    return x


@thalweg.rule(after_step=True)
def halfway(x, p):
    return (x + p) / 2


@thalweg.rule(lr_inside=True)
def inside(g, v, *, lr, beta=0.9):
    v = beta * v + lr * g
    return v, v


@thalweg.rule(of_gradient=True)
def doubled(g):
    return 2 * g


@thalweg.rule
def agreeing(u, gradient):
    return torch.where(u * gradient > 0, u, 0.0)


def walk(
    rule: Any, gradients: Sequence[Tensor], engine: str
) -> tuple[list[Tensor], dict[str, Any]]:
    """Return the points of a walk, the start among them, and the last state."""
    w = Parameter(draw(*gradients[0].shape, seed=99, dtype=gradients[0].dtype))
    points = [w.detach().clone()]
    optimizer = thalweg.Optimizer([w], rule, lr=LR, engine=engine)
    for g in gradients:
        w.grad = g.clone()
        optimizer.step()
        points.append(w.detach().clone())
    return points, optimizer.state[w]


def draws(*shape: int, dtype: torch.dtype = DOUBLE) -> list[Tensor]:
    return [draw(*shape, seed=k, dtype=dtype) for k in range(1, STEPS + 1)]


def follow(
    gradients: Sequence[Tensor],
    update: Callable[[int, Numbers, Numbers], Numbers],
    after: Callable[[int, Numbers, Numbers], Numbers],
) -> list[Numbers]:
    """Return the points of p ← after(t, p − update(t, g, p), p), in NumPy."""
    p = draw(*gradients[0].shape, seed=99).numpy()
    points = [p]
    for t, g in enumerate(gradients, start=1):
        p = after(t, p - update(t, g.numpy(), p), p)
        points.append(p)
    return points


def assert_same_path(points: Sequence[Tensor], expected: Sequence[Numbers]) -> None:
    assert len(points) == len(expected) == STEPS + 1
    for a, e in zip(points, expected, strict=True):
        np.testing.assert_allclose(a.numpy(), e, rtol=1e-13, atol=1e-14)


# -- after the step ---------------------------------------------------------------------------------------


@each_engine
def test_the_point_of_the_step_and_the_one_before(engine: str) -> None:
    kept = np.zeros((3, 5))

    def after(t: int, x: Numbers, p: Numbers) -> Numbers:
        nonlocal kept
        moved = x - LR * 0.25 * p + 0.1 * kept / t
        kept = x - p
        return moved

    gradients = draws(3, 5)
    points, state = walk(thalweg.chain(rules.descend, pull(weight=0.25)), gradients, engine)
    assert_same_path(points, follow(gradients, lambda t, g, p: LR * g, after))
    np.testing.assert_allclose(state["kept"].numpy(), kept, rtol=1e-13)


@each_engine
def test_alone_it_stands_after_plain_descent(engine: str) -> None:
    gradients = draws(4)
    points, _ = walk(halfway, gradients, engine)
    assert_same_path(points, follow(gradients, lambda t, g, p: LR * g, lambda t, x, p: (x + p) / 2))


@each_engine
@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["shift, halve", "halve, shift"])
def test_one_after_the_other(engine: str, order: tuple[int, int]) -> None:
    """Each takes the point that the one before returned; `p` stays the point before the step."""

    @thalweg.rule(after_step=True)
    def shift(x):
        return x + 3.0

    made = [shift, halfway]
    functions = [lambda x, p: x + 3.0, lambda x, p: (x + p) / 2]
    gradients = draws(4)
    chain = thalweg.chain(rules.descend, *(made[k] for k in order))

    def after(t: int, x: Numbers, p: Numbers) -> Numbers:
        for k in order:
            x = functions[k](x, p)
        return x

    points, _ = walk(chain, gradients, engine)
    assert_same_path(points, follow(gradients, lambda t, g, p: LR * g, after))


@each_engine
def test_after_a_rule_with_the_learning_rate_inside(engine: str) -> None:
    v = np.zeros(4)

    def update(t: int, g: Numbers, p: Numbers) -> Numbers:
        nonlocal v
        v = 0.8 * v + LR * g
        return v

    gradients = draws(4)
    points, _ = walk(thalweg.chain(inside(beta=0.8), rules.decay(0.3)), gradients, engine)
    assert_same_path(points, follow(gradients, update, lambda t, x, p: x - LR * 0.3 * p))


def test_heavy_ball_may_be_followed_by_decay() -> None:
    """Its momentum has the learning rate inside; the decay comes after the step."""
    made = thalweg.chain(rules.heavy_ball(), rules.decay(0.1))
    w = torch.ones(2, dtype=DOUBLE)
    after, _ = made.step(w, 3 * w, made.init(w), lr=0.5)
    torch.testing.assert_close(after, w - 0.5 * 3 - 0.5 * 0.1)


@each_engine
def test_a_reduction_of_the_new_point(engine: str) -> None:
    gradients = [draw(4, 6), draw(2, seed=1) / 100, draw(70_000, seed=2), draw(0)]
    start = [draw(*g.shape, seed=7) / 10 for g in gradients]
    chain = thalweg.chain(rules.descend, into_the_ball(radius=0.5))
    after, _ = step(chain, gradients, engine, start, lr=0.25)
    for a, g, p in zip(after, gradients, start, strict=True):
        x = p - 0.25 * g
        length = x.norm()
        expected = x * (0.5 / length) if length > 0.5 else x
        torch.testing.assert_close(a, expected, rtol=1e-12, atol=1e-15)
    assert after[0].norm() == pytest.approx(0.5)  # this one was pulled in, the other one was not
    assert after[1].norm() < 0.3


@each_engine
@pytest.mark.parametrize("dtype", [DOUBLE, torch.float32, torch.bfloat16], ids=str)
def test_one_that_changes_nothing_changes_nothing(engine: str, dtype: torch.dtype) -> None:
    """Not even by a rounding: the point between the links is not rounded to the parameter's dtype."""
    gradients = draws(3, 50, dtype=dtype)
    for rule in (rules.adam(), inside()):
        with_it = walk(thalweg.chain(rule, stay), gradients, engine)
        without = walk(rule, gradients, engine)
        assert all(map(torch.equal, with_it[0], without[0]))


@each_engine
def test_over_every_kind_of_tensor(engine: str) -> None:
    params, gradients = mixed()
    groups = [{"params": [p], "lr": 0.5 + k, "weight": 0.1 * k} for k, p in enumerate(params)]
    chain = thalweg.chain(rules.clip_by_global_norm(2.0), pull)
    thalweg.Optimizer(groups, chain, lr=0.5, engine=engine).step()
    length = torch.cat([numbers(g).flatten() for g in gradients]).norm()
    for k, (p, g) in enumerate(zip(params, gradients, strict=True)):
        before = 0.5 * numbers(torch.ones_like(g))
        x = before - (0.5 + k) * 2.0 / length * numbers(g)
        assert_alike(p.detach(), x - (0.5 + k) * 0.1 * k * before)


def test_names_are_qualified_after_the_step_too() -> None:
    both = thalweg.chain(pull(weight=0.1), pull(weight=0.2))
    assert both.states == ("pull.kept", "pull2.kept")
    assert both.hyperparameters == {"pull.weight": 0.1, "pull2.weight": 0.2}
    w = torch.ones(2, dtype=DOUBLE)
    after, state = both.step(w, 3 * w, both.init(w), lr=0.5, **{"pull2.weight": 0.4})
    # x = 1 − 1.5, then less 0.5·0.1, then less 0.5·0.4
    torch.testing.assert_close(after, torch.full_like(w, -0.75))
    torch.testing.assert_close(state["pull.kept"], torch.full_like(w, -1.5))
    torch.testing.assert_close(state["pull2.kept"], torch.full_like(w, -1.55))


@pytest.mark.parametrize(
    "links",
    [(pull, rules.descend), (rules.descend, pull, inside), (inside, pull, rules.negate)],
    ids=repr,
)
def test_an_update_cannot_follow(links: tuple[Any, ...]) -> None:
    with pytest.raises(
        RuleError, match=r"^pull\(weight=0\.5\) acts after the step .*cannot stand after it. Put it"
    ):
        thalweg.chain(*links)


def test_broken_rules_after_the_step() -> None:
    with pytest.raises(RuleError, match=r"after the step \(after_step=True\) has no lr_inside"):
        thalweg.rule(lr_inside=True, after_step=True)(lambda x: x)

    def forgetful(x, kept):
        return x

    with pytest.raises(
        RuleError,
        match=r"rule 'forgetful' .*expected 2: the point where the parameter goes, .*return point, kept",
    ):
        thalweg.rule(after_step=True)(forgetful)


# -- the gradient -----------------------------------------------------------------------------------------


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
    assert engine == "eager" or optimizer.describe_plan().startswith("fused")


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


# -- where the model is evaluated -------------------------------------------------------------------------


def test_a_rule_says_where_to_evaluate() -> None:
    @thalweg.rule(after_step=True)
    def averaged(x, average, *, t, decay=0.9):
        return x, decay * average + (1 - decay) * x

    assert averaged.evaluation is None
    assert rules.descend.evaluation is None

    @averaged.evaluated_at
    def unbiased(p, average, decay):
        return p + average / decay

    assert averaged.evaluation is not None
    assert averaged.evaluation.names == ("p", "average", "decay")
    assert averaged.evaluation.function is unbiased
    assert unbiased(1.0, 3.0, 0.5) == 7.0


@pytest.mark.parametrize("asked", ["avrage", "x", "t", "lr", "gradient"])
def test_a_point_of_evaluation_that_is_not_known(asked: str) -> None:
    @thalweg.rule(after_step=True)
    def averaged(x, average, *, t, lr):
        return x, x * t * lr

    namespace: dict[str, Any] = {}
    exec(f"def point(average, {asked}): return average", namespace)
    with pytest.raises(
        RuleError, match=rf"rule 'averaged' .*point of evaluation asks for `{asked}`, which it has"
    ):
        averaged.evaluated_at(namespace["point"])
    assert averaged.evaluation is None
