"""The functional face: pure, differentiable, and usable under torch.func."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import thalweg
from tests.exact import RERUN, differs, same
from thalweg import rules
from thalweg.engine import dimensions, noise

DOUBLE = torch.float64


@thalweg.rule
def chosen(g, *, t, warm=0.5, cold=0.1, until=2.0):
    """A schedule by torch.where on scalars."""
    return g * torch.where(t > until, warm, cold)


@thalweg.rule(lr_inside=True)
def capped(g, *, lr):
    """Numbers chosen by the learning rate, and a root of it."""
    return g * torch.where(lr > 0.1, 0.1, 0.3) * torch.sqrt(lr)


@thalweg.rule(lr_inside=True)
def slowed(g, s, count: thalweg.Scalar = 0.0, *, t, lr, power=0.6):
    s = s + g * g
    return lr / (count + 1) ** power * 0.9**t * g / (1 + torch.sqrt(s)), s, count + lr


@thalweg.rule
def far(g, p, start, way: thalweg.Scalar = 0.5, turns: thalweg.Scalar = 1.0, *, t, growth=0.3):
    """Numbers of a reduction over all, and of the steps."""
    start = torch.where(t == 1, p, start)
    squares = thalweg.total((p - start) ** 2, scope="all")
    way = way + growth * torch.sqrt(squares + 0.01) + 0.01 * thalweg.mean(g * g)
    return g * way / turns, start, way, turns + 0.5


@thalweg.rule(after_step=True)
def pulled(x, p, gradient, slow, *, t, lr, pull=0.3):
    slow = torch.where(t == 1, p, slow + 0.5 * (x - slow))
    return x + pull * (slow - x) - lr * 0.1 * p + 0.01 * gradient, slow


@thalweg.rule
def by_unit(u, share, *, power=0.5):
    """A state that a unit's number fills."""
    length = thalweg.norm(u, scope="unit")
    return u / (1 + length) ** power * dimensions(u), length


@thalweg.rule
def jittered(g, *, t, seed=3, scale=0.2):
    return g + scale * noise(g, seed, t)


CHAINS: dict[str, thalweg.Chain] = {
    "descend": thalweg.chain(rules.descend),
    "momentum": thalweg.chain(rules.momentum(0.8, nesterov=True)),
    "heavy_ball": thalweg.chain(rules.heavy_ball(0.8)),
    "adagrad": thalweg.chain(rules.adagrad),
    "rmsprop": thalweg.chain(rules.rmsprop(eps_inside=True), rules.accumulate_inside),
    "adadelta": thalweg.chain(rules.adadelta),
    "adam": thalweg.chain(rules.clip_by_norm(1.0), rules.adam(beta2=0.95), rules.decay(0.1)),
    "amsgrad": thalweg.chain(rules.amsgrad),
    "adamax": thalweg.chain(rules.adamax),
    "nadam": thalweg.chain(rules.nadam),
    "radam": thalweg.chain(rules.radam),
    "asgd": thalweg.chain(rules.asgd),
    "lamb": thalweg.chain(rules.adam, rules.trust_ratio(0.01)),
    "clip": thalweg.chain(rules.clip_by_global_norm(0.5), rules.momentum),
    "chosen": thalweg.chain(chosen),
    "capped": thalweg.chain(capped),
    "slowed": thalweg.chain(slowed),
    "far": thalweg.chain(far),
    "decayed": thalweg.chain(rules.heavy_ball(0.8), rules.decay(0.1)),
    "pulled": thalweg.chain(rules.l2(0.1), rules.momentum(0.8), pulled, rules.decay(0.1)),
    "by_unit": thalweg.chain(rules.momentum(0.8), by_unit),
    "jittered": thalweg.chain(jittered, rules.momentum(0.8)),
    "everything": thalweg.chain(rules.l2(0.1), jittered, by_unit, far, pulled),
}
each_chain = pytest.mark.parametrize("name", CHAINS)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE)


def walk(chain: thalweg.Chain, p: Any, gradients: list[Any], lr: Any, **values: Any) -> Any:
    state = chain.init(p)
    for g in gradients:
        p, state = chain.step(p, g, state, lr=lr, **values)
    return p


@pytest.mark.parametrize(
    "dtype", [DOUBLE, torch.float32, torch.bfloat16, torch.complex128], ids=str
)
@each_chain
def test_the_same_numbers_as_the_optimizer(name: str, dtype: torch.dtype) -> None:
    chain = CHAINS[name]
    start = draw(2, 5).to(dtype)
    gradients = [draw(2, 5, seed=k).to(dtype) for k in range(1, 8)]
    w = torch.nn.Parameter(start.clone())
    optimizer = thalweg.Optimizer([w], chain, lr=0.2, engine="eager")
    p, state = start, chain.init(start)
    assert list(state) == ["t", *chain.states, *chain.scalar_states]
    for count, g in enumerate(gradients, start=1):
        w.grad = g.clone()
        optimizer.step()
        p, state = chain.step(p, g, state, lr=0.2)
        assert state["t"] == count
        assert p.dtype == dtype
        same(p, w.detach(), because=RERUN)
        for kept in chain.states:
            assert state[kept].dtype == dtype
            same(state[kept], optimizer.state[w][kept], because=RERUN)
        for kept in chain.scalar_states:
            same(float(state[kept]), optimizer.state[w][kept].item(), because=RERUN)


@each_chain
def test_nothing_given_is_changed(name: str) -> None:
    chain = CHAINS[name]
    p, g = draw(5), draw(5, seed=1)
    _, state = chain.step(p, g, chain.init(p), lr=0.1)
    given = {"p": p, "g": g, **state}
    before = copy.deepcopy(given)
    versions = {k: v._version for k, v in given.items() if isinstance(v, Tensor)}
    first = chain.step(p, g, state, lr=0.1)
    second = chain.step(p, g, state, lr=0.1)
    for key, value in given.items():
        if isinstance(value, Tensor):
            same(value, before[key], because="nothing wrote to it")
            assert value._version == versions[key]
        else:
            assert value == before[key]
    assert list(state) == [k for k in before if k not in ("p", "g")]
    same(first[0], second[0], because=RERUN)
    differs(first[0], p)


@each_chain
def test_dicts_of_tensors(name: str) -> None:
    """Reductions over all are over the dict; without any, each leaf goes its own way."""
    chain = CHAINS[name]
    p = {"weight": draw(2, 3), "bias": draw(3, seed=1), "none": draw(0), "one": draw(1, seed=2)[0]}
    params = {key: torch.nn.Parameter(value.clone()) for key, value in p.items()}
    optimizer = thalweg.Optimizer(params.values(), chain, lr=0.2, engine="eager")
    state = chain.init(p)
    for step in range(4):
        g = {
            key: draw(*value.shape, seed=10 * step + k) for k, (key, value) in enumerate(p.items())
        }
        for key, w in params.items():
            w.grad = g[key].clone()
        optimizer.step()
        p, state = chain.step(p, g, state, lr=0.2)
        assert list(p) == list(params)
        for key, w in params.items():
            assert p[key].shape == w.shape
            torch.testing.assert_close(p[key], w.detach(), rtol=1e-14, atol=0.0)
        for kept in chain.states:
            assert list(state[kept]) == list(params)


def test_a_global_norm_is_of_the_whole_dict() -> None:
    clip = thalweg.chain(rules.clip_by_global_norm(1.0))
    p = {"a": torch.zeros(2, dtype=DOUBLE), "b": torch.zeros(1, dtype=DOUBLE)}
    g = {"a": torch.tensor([2.0, 4.0], dtype=DOUBLE), "b": torch.tensor([4.0], dtype=DOUBLE)}
    after, _ = clip.step(p, g, clip.init(p), lr=3.0)
    torch.testing.assert_close(after["a"], torch.tensor([-1.0, -2.0], dtype=DOUBLE))
    torch.testing.assert_close(after["b"], torch.tensor([-2.0], dtype=DOUBLE))


@each_chain
def test_differentiable_through_the_steps(name: str) -> None:
    """In the parameter, two gradients and the learning rate, by finite differences."""
    chain = CHAINS[name]

    def end(p: Tensor, g1: Tensor, g2: Tensor, lr: Tensor) -> Tensor:
        return walk(chain, p, [g1, g2], lr)

    inputs = [draw(3), draw(3, seed=1), draw(3, seed=2), torch.tensor(0.2, dtype=DOUBLE)]
    assert torch.autograd.gradcheck(end, [x.requires_grad_() for x in inputs], atol=1e-7)


SMOOTH: dict[str, tuple[str, float]] = {
    "momentum": ("momentum", 0.8),
    "adam": ("beta2", 0.9),
    "amsgrad": ("beta1", 0.7),
    "adamax": ("beta1", 0.7),
    "nadam": ("beta1", 0.8),
    "asgd": ("alpha", 0.75),
    "lamb": ("weight_decay", 0.1),
    "slowed": ("power", 0.5),
    "clip": ("max_norm", 0.5),
    "chosen": ("cold", 0.2),
    "far": ("growth", 0.2),
    "decayed": ("weight_decay", 0.2),
    "pulled": ("pull", 0.4),
    "by_unit": ("power", 0.4),
    "jittered": ("scale", 0.3),
    "everything": ("growth", 0.1),
}


@pytest.mark.parametrize("name", SMOOTH)
def test_differentiable_in_hyperparameters(name: str) -> None:
    chain, (hyperparameter, value) = CHAINS[name], SMOOTH[name]
    p, gradients = draw(3), [draw(3, seed=k) for k in range(1, 8)]

    def end(x: Tensor) -> Tensor:
        return walk(chain, p, gradients, 0.2, **{hyperparameter: x})

    x = torch.tensor(value, dtype=DOUBLE, requires_grad=True)
    assert torch.autograd.grad(end(x).sum(), x)[0] != 0.0
    assert torch.autograd.gradcheck(end, [x], atol=1e-7)


@each_chain
@pytest.mark.parametrize("make", [float, lambda x: torch.tensor(x, dtype=DOUBLE), torch.tensor])
def test_a_rate_may_be_a_number_or_a_tensor(name: str, make: Callable[[float], Any]) -> None:
    chain, p, gradients = CHAINS[name], draw(4), [draw(4, seed=k) for k in range(1, 8)]
    # 1/8 is a number of every precision
    expected = walk(chain, p, gradients, 0.125)
    torch.testing.assert_close(walk(chain, p, gradients, make(0.125)), expected, rtol=1e-14, atol=0)


RATES = torch.tensor([0.05, 0.1, 0.2, 1.0], dtype=DOUBLE)
NAN_MODEL = 2


@each_chain
def test_k_models_at_once_are_k_single_runs(name: str) -> None:
    """With a learning rate for each model; the NaN of one infects no other."""
    chain, count, steps = CHAINS[name], len(RATES), 7
    p = {"weight": draw(count, 2, 3), "bias": draw(count, 3, seed=1)}
    g = {"weight": draw(steps, count, 2, 3, seed=2), "bias": draw(steps, count, 3, seed=3)}
    g["weight"][3, NAN_MODEL, 0, 0] = math.nan

    def run(p: Any, g: Any, lr: Tensor) -> Any:
        gradients = [{key: value[k] for key, value in g.items()} for k in range(steps)]
        return walk(chain, p, gradients, lr)

    together = torch.func.vmap(run, in_dims=(0, 1, 0))(p, g, RATES)
    for k, lr in enumerate(RATES.tolist()):
        mine = {key: value[k] for key, value in p.items()}
        expected = run(mine, {key: value[:, k] for key, value in g.items()}, lr)
        for key, value in expected.items():
            assert value.isfinite().all() or k == NAN_MODEL
            torch.testing.assert_close(
                together[key][k], value, rtol=1e-13, atol=1e-15, equal_nan=True
            )
        assert k != NAN_MODEL or expected["weight"].isnan().any()


@thalweg.rule
def risky(g, kept: thalweg.Scalar = 0.0, *, t, a=0.0, b=0.0):
    """Scalars that divide by zero, and take roots and logarithms of what has none."""
    return g * torch.where(torch.isnan(b / a), 2.0, 3.0), b / a + torch.sqrt(b) * torch.log(a)


@pytest.mark.parametrize("lr", [0.1, torch.tensor(0.1, dtype=DOUBLE)], ids=["a number", "a tensor"])
@pytest.mark.parametrize(
    ("a", "b", "kept"),
    [
        (0.0, 0.0, math.nan),
        (0.0, 4.0, math.nan),  # inf − 2·inf
        (0.0, -4.0, math.nan),
        (2.0, -4.0, math.nan),
        (math.inf, 4.0, math.inf),
        (1.0, 4.0, 4.0),
    ],
)
def test_scalars_follow_ieee_754(a: float, b: float, kept: float, lr: Any) -> None:
    chain = thalweg.chain(risky(a=a, b=b))
    p = torch.ones(2, dtype=DOUBLE)
    after, state = chain.step(p, p, chain.init(p), lr=lr)
    factor = 2.0 if a == b == 0.0 else 3.0
    torch.testing.assert_close(after, 1 - 0.1 * factor * p)
    assert float(state["kept"]) == pytest.approx(kept, nan_ok=True)


@pytest.mark.parametrize("dtype", [DOUBLE, torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("engine", ["eager", "fused"])
def test_a_scalar_chosen_beside_a_division_by_zero(engine: str, dtype: torch.dtype) -> None:
    @thalweg.rule
    def later(g, *, t):
        return g * torch.where(t > 1, 1 / (t - 1), 5.0)

    w = torch.nn.Parameter(torch.zeros(3, dtype=dtype))
    optimizer = thalweg.Optimizer([w], later, lr=1.0, engine=engine)
    for expected in (-5.0, -6.0, -6.5):
        w.grad = torch.ones_like(w)
        optimizer.step()
        assert w.tolist() == [expected] * 3


def test_early_steps_of_radam_take_roots_of_negative_numbers() -> None:
    """Its ρₜ − 4 is negative for t < 5; beside PyTorch, through the change of regime."""
    chain = CHAINS["radam"]
    for lr in (0.125, torch.tensor(0.125, dtype=DOUBLE)):
        w, p = torch.nn.Parameter(draw(4)), draw(4)
        theirs = torch.optim.RAdam([w], lr=0.125)
        state = chain.init(p)
        for k in range(1, 9):
            w.grad = draw(4, seed=k)
            theirs.step()
            p, state = chain.step(p, w.grad, state, lr=lr)
            torch.testing.assert_close(p, w.detach(), rtol=1e-12, atol=1e-15)


def test_adam_without_epsilon_at_a_zero_gradient() -> None:
    """0/0 in one element is NaN there, and only there."""
    chain = thalweg.chain(rules.adam(eps=0.0))
    p = torch.ones(2, dtype=DOUBLE)
    after, _ = chain.step(p, torch.tensor([0.0, 3.0], dtype=DOUBLE), chain.init(p), lr=0.25)
    assert after[0].isnan()
    torch.testing.assert_close(after[1].item(), 0.75)


def test_a_state_that_is_not_one_is_refused() -> None:
    with pytest.raises(thalweg.RuleError, match=r"lacks t, m, v.*chain\.init\(p\)"):
        thalweg.chain(rules.adam()).step(torch.ones(2), torch.ones(2), {}, lr=0.1)


def test_a_rule_that_fails_on_real_shapes_is_named() -> None:
    @thalweg.rule
    def squares(g: Tensor) -> Tensor:
        return g @ g.T

    p = torch.nn.Parameter(torch.ones(4, 3))
    p.grad = torch.ones(4, 3)
    with pytest.raises(
        thalweg.RuleError, match=r"rule 'squares' .* failed on .* shape \(4, 3\).*matmul"
    ):
        thalweg.Optimizer([p], squares, lr=0.1).step()
