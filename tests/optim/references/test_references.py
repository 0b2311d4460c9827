"""The transcriptions for one array: closed forms, and limits in which one rule is another."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from .. import reference
from ..reference import Array, State, Step
from . import adam_kin, adaptive, momentum_kin, sign
from .toy import changing, constant, distance, path

EXACT = 1e-12
each_rate = pytest.mark.parametrize("rate", [constant, changing])
G = np.array([3.0, -0.5, 2e-3])
ZERO = np.zeros(3)


def first_step(step: Step, **options: object) -> Array:
    """Return the update of the first step with learning rate 1 from 0."""
    return -step(ZERO, G, State(), t=1, lr=1.0, **options)


def small(step: Step) -> Step:
    """Divide the gradients by 100, so that none is longer than 1."""
    return lambda w, g, s, **options: step(w, g / 100.0, s, **options)


# Each row: a rule, its options, and the rule and options with which it must agree on a whole path.
LIMITS: dict[str, tuple[Step, dict[str, object], Step, dict[str, object]]] = {
    "AdEMAMix without its slow momentum is Adam": (
        momentum_kin.ademamix,
        {"alpha": 0.0, "betas": (0.8, 0.95, 0.99)},
        reference.adam,
        {"betas": (0.8, 0.95)},
    ),
    "Adan with β₂ = 0 is Adam": (
        momentum_kin.adan,
        {"betas": (0.9, 0.0, 0.95)},
        reference.adam,
        {"betas": (0.9, 0.95)},
    ),
    "MARS with γ = 0 is Adam": (
        small(momentum_kin.mars),
        {"gamma": 0.0, "betas": (0.9, 0.95)},
        small(reference.adam),
        {"betas": (0.9, 0.95)},
    ),
    "NAdamW is NAdam once its momentum has warmed up": (
        adam_kin.nadamw,
        {"betas": (0.8, 0.95)},
        reference.nadam,
        {"betas": (0.8, 0.95), "momentum_decay": 1e9},
    ),
    "LaProp without momentum is Adam without momentum": (
        adam_kin.laprop,
        {"betas": (0.0, 0.95), "eps": 0.01},
        reference.adam,
        {"betas": (0.0, 0.95), "eps": 0.01},
    ),
    "ε̂ without ε is Adam": (
        adam_kin.adam_hat,
        {"betas": (0.8, 0.95), "eps": 0.0},
        reference.adam,
        {"betas": (0.8, 0.95), "eps": 0.0},
    ),
    "AMSGrad with β₂ = 0 is the momentum over the largest gradient": (
        adam_kin.amsgrad_paper,
        {"betas": (0.8, 0.0)},
        lambda w, g, s, **options: over_the_largest(w, g, s, beta=0.8, **options),
        {"corrected": False},
    ),
    "AMSGrad with β₂ = 0 and bias corrections, likewise": (
        adam_kin.amsgrad_unbiased,
        {"betas": (0.8, 0.0)},
        lambda w, g, s, **options: over_the_largest(w, g, s, beta=0.8, **options),
        {"corrected": True},
    ),
    "Lion with one β is Signum": (
        sign.lion,
        {"betas": (0.8, 0.8)},
        sign.signum,
        {"beta": 0.8},
    ),
    "Signum without momentum is signSGD": (sign.signum, {"beta": 0.0}, sign.sign_sgd, {}),
    "AdaBound without bounds is Adam with ε̂": (
        adam_kin.adabound,
        {"gamma": 1e-15, "final_lr": 1.0, "eps": 1e-3},
        adam_kin.adam_hat,
        {"eps": 1e-3},
    ),
    "AMSGrad with ε̂ and no ε is PyTorch's reading with no ε": (
        adam_kin.amsgrad_hat,
        {"betas": (0.8, 0.9), "eps": 0.0},
        lambda w, g, s, **options: largest_then_corrected(w, g, s, **options),
        {},
    ),
    "AdaMax with ε where u divides, and no ε, is AdaMax": (
        adam_kin.adamax_outside,
        {"betas": (0.8, 0.9), "eps": 0.0},
        reference.adamax,
        {"betas": (0.8, 0.9), "eps": 0.0},
    ),
    "NAdam of Keras is NAdam with momentum_decay = 1": (
        adam_kin.nadam_of_keras,
        {"betas": (0.8, 0.9), "eps": 0.01},
        reference.nadam,
        {"betas": (0.8, 0.9), "eps": 0.01, "momentum_decay": 1.0},
    ),
    "AdaGrad with ε under the root, and no ε, is AdaGrad": (
        adaptive.adagrad_inside,
        {"lr_decay": 0.1, "initial_accumulator_value": 0.5, "eps": 0.0},
        reference.adagrad,
        {"lr_decay": 0.1, "initial_accumulator_value": 0.5, "eps": 0.0},
    ),
    "RMSProp with Nesterov momentum 0 is RMSProp": (
        adaptive.nesterov_rmsprop,
        {"rho": 0.8, "eps": 0.01, "momentum": 0.0},
        reference.rmsprop,
        {"alpha": 0.8, "eps": 0.01},
    ),
    "decoupled decay of Adam is AdamW": (
        adam_kin.adam_hat,
        {"eps": 0.0, "weight_decay": 0.3, "decay": "decoupled"},
        reference.adamw,
        {"eps": 0.0, "weight_decay": 0.3},
    ),
    "L2 decay of Adam is its penalty": (
        adam_kin.adam_hat,
        {"eps": 0.0, "weight_decay": 0.3, "decay": "l2", "maximize": True},
        reference.adam,
        {"eps": 0.0, "weight_decay": 0.3, "maximize": True},
    ),
}


def over_the_largest(
    w: Array, g: Array, s: State, *, t: int, lr: float, beta: float, corrected: bool
) -> Array:
    """Divide Adam's momentum by the largest |g| so far."""
    history = s.setdefault("history", [])
    history.append(g)
    weights = [(1.0 - beta) * beta ** (t - 1 - k) for k in range(t)]
    m = sum(weight * g for weight, g in zip(weights, history, strict=True))
    m = m / sum(weights) if corrected else m
    return w - lr * m / (np.max(np.abs(history), axis=0) + 1e-8)


def largest_then_corrected(w: Array, g: Array, s: State, *, t: int, lr: float) -> Array:
    """Reddi et al. 2018 with Adam's bias corrections after the maximum, β = (0.8, 0.9), ε = 0."""
    m, v = adam_kin.raw_moments(g, s, (0.8, 0.9))
    s["largest"] = np.maximum(s.get("largest", 0.0), v)
    return w - lr * m / (1.0 - 0.8**t) / np.sqrt(s["largest"] / (1.0 - 0.9**t))


@each_rate
@pytest.mark.parametrize("name", LIMITS)
def test_one_rule_is_another_in_a_limit(name: str, rate: object) -> None:
    ours, options, theirs, their_options = LIMITS[name]
    expected = list(path(theirs, 0.02, rate, **their_options))
    assert distance(path(ours, 0.02, rate, **options), iter(expected)) < EXACT
    assert distance(path(ours, 0.02, rate), iter(expected)) > 1e-6  # what the options are for


def test_first_steps_in_closed_form() -> None:
    """g/|g| for what corrects its biases, and its known multiple for what does not."""
    size = np.abs(G)
    expected: list[tuple[Step, dict[str, object], Array]] = [
        (adam_kin.nadamw, {"eps": 0.0}, (0.9 / 1.9 + 1.0) * np.sign(G) * 1.0),
        (adam_kin.laprop, {"eps": 0.0}, np.sign(G)),
        (adam_kin.adabelief, {"eps": 0.0}, np.sign(G) / 0.9),  # g − m = 0.9·g
        (adam_kin.amsgrad_paper, {"eps": 0.0}, 0.1 * np.sign(G) / math.sqrt(1e-3)),
        (adam_kin.amsgrad_unbiased, {"eps": 0.0}, np.sign(G)),
        (adam_kin.adam_hat, {"eps": 0.0}, np.sign(G)),
        (adam_kin.yogi, {"eps": 0.0, "initial": 0.0}, 0.1 * np.sign(G) / math.sqrt(1e-3)),
        (adam_kin.yogi, {"initial": 4.0, "eps": 1.0}, 0.1 * G / (1.0 + yogi_root(4.0))),
        (momentum_kin.adan, {"eps": 0.0}, np.sign(G)),
        (momentum_kin.adan, {"eps": 1.0}, G / (size + 1.0)),
        # the slow momentum has no bias correction: 1 + α(1 − β₃)
        (momentum_kin.ademamix, {"eps": 0.0}, 1.0005 * np.sign(G)),
        (momentum_kin.mars, {"eps": 1.0}, G / (size + np.linalg.norm(G))),
        (momentum_kin.delta_bar_delta, {}, G),
        (sign.lion, {}, np.sign(G)),
        (sign.signum, {}, np.sign(G)),
        (adam_kin.adabound, {"gamma": 1e9, "final_lr": 0.5}, 0.1 * 0.5 * G),
    ]
    for step, options, update in expected:
        np.testing.assert_allclose(
            first_step(step, **options), update, rtol=1e-8, err_msg=f"{step.__name__} {options}"
        )


def yogi_root(initial: float) -> Array:
    """√v after one step: v moves by 0.001·g² towards g², from above or from below."""
    return np.sqrt(initial + 1e-3 * np.sign(G**2 - initial) * G**2)


@pytest.mark.parametrize("initial", [1e-3, 50.0])
def test_yogi_moves_linearly_towards_the_square(initial: float) -> None:
    """v − v₀ = ±(1 − β₂)·t·g² under a constant g, where Adam's v goes geometrically."""
    s, g = State(), np.array([2.0])
    for t in range(1, 101):
        adam_kin.yogi(np.zeros(1), g, s, t=t, lr=0.1, initial=initial)
        direction = 1.0 if initial < 4.0 else -1.0
        assert s["v"][0] == pytest.approx(initial + direction * 1e-3 * t * 4.0, rel=1e-12)


def test_adabelief_steps_far_where_the_gradient_is_what_was_expected() -> None:
    """Under a constant g the belief is (1 − β₂)·g²·Σβ₂^(t−k)·β₁^(2k) + ε/(1 − β₂)."""
    s, g, beta1, beta2 = State(), np.array([2.0]), 0.9, 0.99
    for t in range(1, 31):
        step = -adam_kin.adabelief(ZERO[:1], g, s, t=t, lr=1.0, betas=(beta1, beta2), eps=1e-6)
        surprise = sum(beta2 ** (t - k) * beta1 ** (2 * k) for k in range(1, t + 1)) * 4.0
        drift = 1e-6 * (1.0 - beta2**t) / (1.0 - beta2)
        s_hat = ((1.0 - beta2) * surprise + drift) / (1.0 - beta2**t)
        assert step[0] == pytest.approx(2.0 / (math.sqrt(s_hat) + 1e-6), rel=1e-10)
    assert step[0] > 2.0  # Adam's would be 1


def test_adabound_ends_as_gradient_descent_with_the_final_rate() -> None:
    """Both bounds go to final_lr, scaled by lr against the first lr."""
    s, m = State(), np.zeros(3)
    for t in range(1, 31):
        lr = 0.01 if t < 20 else 0.005
        update = -adam_kin.adabound(ZERO, G, s, t=t, lr=lr, gamma=1e6, final_lr=0.2)
        m = 0.9 * m + 0.1 * G
        np.testing.assert_allclose(update, 0.2 * lr / 0.01 * m, rtol=2e-6)
    s = State()
    assert np.all(np.isfinite(adam_kin.adabound(ZERO, G, s, t=1, lr=0.0)))


def test_lion_has_the_signs_and_nothing_else() -> None:
    """Its steps do not change with the scale of the gradients; they leave c = 0 in its place."""

    def scaled(w: Array, g: Array, s: State, **options: object) -> Array:
        return sign.lion(w, 1024.0 * g, s, **options)

    points = list(path(sign.lion, 0.25))
    for before, after in itertools.pairwise(points):
        for a, b in zip(before, after, strict=True):
            np.testing.assert_allclose(np.abs(a - b), 0.25, rtol=1e-12)
    assert distance(path(sign.lion, 0.25), path(scaled, 0.25)) == 0.0
    w = np.array([1.0])
    assert sign.lion(w, np.zeros(1), State(), t=1, lr=0.25) == w


def test_the_two_coefficients_of_lion_do_different_things() -> None:
    """c weighs the new gradient by 1 − β₁ = 0.1, m keeps it by 1 − β₂ = 0.01."""
    s = State(m=np.array([1.0]))
    w = sign.lion(np.zeros(1), np.array([-8.9]), s, t=2, lr=1.0)
    assert w[0] == -1.0  # 0.9 − 0.89 > 0
    assert s["m"][0] == pytest.approx(0.99 - 0.089)
    s = State(m=np.array([1.0]))
    assert sign.lion(np.zeros(1), np.array([-9.1]), s, t=2, lr=1.0)[0] == 1.0


def test_adans_second_step_in_closed_form() -> None:
    """With the paper's coefficients 1 − β: 0.02, 0.08, 0.01, and a gradient that turns over."""
    s, g, h = State(), 2.0, -1.0
    momentum_kin.adan(np.zeros(1), np.array([g]), s, t=1, lr=1.0)
    update = -momentum_kin.adan(np.zeros(1), np.array([h]), s, t=2, lr=1.0)
    m_hat = (0.98 * 0.02 * g + 0.02 * h) / (1.0 - 0.98**2)
    v_hat = 0.08 * (h - g) / (1.0 - 0.92**2)
    n_hat = (0.99 * 0.01 * g**2 + 0.01 * (h + 0.92 * (h - g)) ** 2) / (1.0 - 0.99**2)
    expected = (m_hat + 0.92 * v_hat) / (math.sqrt(n_hat) + 1e-8)
    assert update[0] == pytest.approx(expected, rel=1e-12)


def test_the_schedules_of_ademamix() -> None:
    """The paper's formula for β₃ and its half-life; both schedules end at the final values."""
    beta1, beta3, T = 0.9, 0.9999, 100
    for t in range(1, 2 * T):
        a = t / T
        log1, log3 = math.log(beta1), math.log(beta3)
        printed = min(math.exp(log1 * log3 / ((1.0 - a) * log3 + a * log1)), beta3)
        ours = momentum_kin.half_life_schedule(beta1, beta3, a)
        assert ours == pytest.approx(printed, rel=1e-13)
    half = math.log(0.5) / math.log(momentum_kin.half_life_schedule(beta1, beta3, 0.5))
    ends = [math.log(0.5) / math.log(beta) for beta in (beta1, beta3)]
    assert half == pytest.approx(sum(ends) / 2.0, rel=1e-9)
    fixed = path(momentum_kin.ademamix, 0.01)
    assert distance(fixed, path(momentum_kin.ademamix, 0.01, warmup=1e-9)) < EXACT
    warming = path(momentum_kin.ademamix, 0.01, warmup=100.0)
    assert distance(path(momentum_kin.ademamix, 0.01), warming) > 1e-4


def test_mars_corrects_and_clips() -> None:
    """c = g + γ·β₁/(1 − β₁)·(g − before), one vector of norm 1 at most: from the moments."""
    s, rng = State(), np.random.default_rng(1)
    before, m = None, 0.0
    for t in range(1, 20):
        g = rng.standard_normal((3, 2)) * 10.0 ** (t % 3 - 1)
        momentum_kin.mars(np.zeros((3, 2)), g, s, t=t, lr=0.1, betas=(0.9, 0.99), gamma=0.2)
        c = g if before is None else g + 0.2 * 9.0 * (g - before)
        c = c / max(1.0, math.sqrt(float((c * c).sum())))
        m = 0.9 * m + 0.1 * c
        np.testing.assert_allclose(s["m"], m, rtol=1e-10, atol=1e-15)
        before = g


def test_delta_bar_delta_under_a_constant_and_under_a_turning_gradient() -> None:
    """The rates grow by κ a step from the second on; they fall by the factor 1 − φ on each turn."""
    step, s, w = momentum_kin.delta_bar_delta, State(), np.zeros(1)
    fixed = path(step, 0.02, kappa=0.0, phi=0.0)
    assert distance(fixed, path(reference.sgd, 0.02)) < EXACT
    late = path(step, 0.02, lambda t: 1.0 if t == 1 else 0.0)  # the first learning rate is all
    assert distance(path(step, 0.02), late) == 0.0
    for t in range(1, 11):
        w = step(w, np.ones(1), s, t=t, lr=0.1, kappa=0.02)
        assert s["rate"][0] == pytest.approx(0.1 + 0.02 * (t - 1))
    assert w[0] == pytest.approx(-sum(0.1 + 0.02 * k for k in range(10)))
    assert s["average"][0] == pytest.approx(1.0 - 0.7**10)
    s = State()
    for t in range(1, 11):  # θ < ½: the last gradient has the say in the average
        step(w, np.array([(-1.0) ** t]), s, t=t, lr=0.1, theta=0.3, phi=0.25)
        assert s["rate"][0] == pytest.approx(0.1 * 0.75 ** (t - 1))


def test_rmsprop_with_nesterov_momentum_as_the_book_prints_it() -> None:
    """Algorithm 8.6: θ̃ ← θ + αv; g there; r ← ρr + (1 − ρ)g²; v ← αv − ε/√r·g; θ ← θ + v."""
    theta, v, r = np.array([1.0, -2.0]), np.zeros(2), np.zeros(2)
    w, s, h = theta, State(), np.array([1.0, 30.0])
    for t in range(1, 41):
        lr = 0.02 / t
        ahead = theta + 0.8 * v
        np.testing.assert_allclose(w, ahead, rtol=1e-12, atol=1e-13)
        g = h * ahead
        r = 0.9 * r + 0.1 * g**2
        v = 0.8 * v - lr / np.sqrt(1e-6 + r) * g
        theta = theta + v
        given = {"rho": 0.9, "eps": 1e-6, "momentum": 0.8}
        w = adaptive.nesterov_rmsprop(w, h * w, s, t=t, lr=lr, **given)


def test_centered_rmsprop_divides_by_the_deviation() -> None:
    """n − g² is the weighted variance of the gradients, the weights α^(t−k)·(1 − α), 0 at first."""
    s, alpha, eps = State(), 0.7, 1e-3
    history = [np.zeros(1), *np.random.default_rng(5).standard_normal((20, 1))]
    for t, g in enumerate(history[1:], start=1):
        step = -adaptive.rmsprop_centered(ZERO[:1], g, s, t=t, lr=1.0, alpha=alpha, eps=eps)
        weights = np.array([alpha**t, *((1.0 - alpha) * alpha ** (t - k) for k in range(1, t + 1))])
        seen = np.concatenate(history[: t + 1])
        variance = weights @ (seen - weights @ seen) ** 2
        assert step[0] == pytest.approx(g[0] / math.sqrt(variance + eps), rel=1e-9)
