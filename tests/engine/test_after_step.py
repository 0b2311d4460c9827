"""Links that act after the step, and the point where a model is evaluated."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import thalweg
from tests.exact import same
from thalweg import norm, rules
from thalweg.errors import RuleError

from .kinds import DOUBLE, assert_alike, draw, each_engine, mixed, numbers, step
from .walks import LR, Numbers, assert_same_path, draws, follow, walk


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
        same(
            with_it[0],
            without[0],
            because="each operation is rounded by itself, whatever stands around it",
        )


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
    with pytest.raises(RuleError, match="leave out lr_inside and of_gradient"):
        thalweg.rule(lr_inside=True, after_step=True)(lambda x: x)

    def forgetful(x, kept):
        return x

    with pytest.raises(
        RuleError,
        match=r"rule 'forgetful' .*expected 2: the point where the parameter goes, .*return point, kept",
    ):
        thalweg.rule(after_step=True)(forgetful)


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
