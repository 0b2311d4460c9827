"""The transcriptions of the averages, of schedule-free, of the noises and of weight decay."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.exact import same

from .. import reference
from ..reference import Array, State, Step
from . import average, noisy, sign
from .decay import DECAYS, decay_after, decayed
from .toy import STARTS, STEPS, changing, constant, distance, gradients, path

POINTS = np.random.default_rng(0).standard_normal((30, 4))


def averaged(rule: object, **options: object) -> Array:
    """Return what an average is after each of the points."""
    s = State()
    return np.array([rule(x, s, t=t, **options) for t, x in enumerate(POINTS, start=1)])


def test_polyaks_mean_is_the_mean() -> None:
    np.testing.assert_allclose(averaged(average.polyak)[-1], POINTS.mean(axis=0), rtol=1e-12)
    late = averaged(average.polyak, start=10)
    same(late[:11], POINTS[:11], because="a copy")
    running = POINTS[10]
    for n, x in enumerate(POINTS[11:], start=2):
        running = running + (x - running) / n
        np.testing.assert_allclose(late[9 + n], running, rtol=1e-10)


def test_swa_is_the_mean_of_every_so_many_th_point() -> None:
    result = averaged(average.swa, start=4, every=5)
    same(result[:9], POINTS[:9], because="a copy")
    for t in range(9, 31):
        taken = [k for k in (9, 14, 19, 24, 29) if k <= t]
        np.testing.assert_allclose(result[t - 1], POINTS[[k - 1 for k in taken]].mean(axis=0))
    np.testing.assert_allclose(averaged(average.swa), averaged(average.polyak), rtol=1e-12)


def test_ema_in_closed_form() -> None:
    """β^(t−1)·x₁ + (1 − β)·Σβ^(t−k)·x_k; with warm-up the first weights are 3/12, 4/13, …"""
    result = averaged(average.ema, decay=0.9)
    t = len(POINTS)
    weights = np.array([0.9 ** (t - 1), *(0.1 * 0.9 ** (t - k) for k in range(2, t + 1))])
    assert weights.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(result[-1], weights @ POINTS, rtol=1e-10)
    warm = averaged(average.ema, decay=0.9, warmup=True)
    same(warm[0], POINTS[0], because="a copy")
    np.testing.assert_allclose(warm[1], 0.25 * POINTS[0] + 0.75 * POINTS[1], rtol=1e-12)
    np.testing.assert_allclose(warm[2], (4.0 * warm[1] + 9.0 * POINTS[2]) / 13.0, rtol=1e-12)
    capped = averaged(average.ema, decay=0.25, warmup=True)
    np.testing.assert_allclose(capped, averaged(average.ema, decay=0.25), rtol=1e-12)


@pytest.mark.parametrize(("every", "alpha"), [(5, 0.5), (3, 0.8), (1, 0.1), (4, 1.0)])
def test_lookahead_is_the_two_loops_of_the_paper(every: int, alpha: float) -> None:
    """The outer loop with φ, an inner loop of k steps from θ = φ, then φ + α(θ − φ)."""

    def wrapped(w: Array, g: Array, s: State, *, t: int, lr: float) -> Array:
        x = reference.adam(w, g, s.setdefault("adam", State()), t=t, lr=lr)
        return average.lookahead(x, w, s, t=t, every=every, alpha=alpha)

    def two_loops() -> list[list[Array]]:
        phi, states, t, points = STARTS, [State() for _ in STARTS], 0, []
        while t < STEPS:
            theta = phi
            for _ in range(every):
                t += 1
                if t > STEPS:
                    return points
                rows = zip(theta, gradients(theta, t), states, strict=True)
                theta = [reference.adam(w, g, s, t=t, lr=0.05) for w, g, s in rows]
                points.append(theta)
            phi = [p + alpha * (w - p) for p, w in zip(phi, theta, strict=True)]
            points[-1] = phi
        return points

    assert distance(path(wrapped, 0.05), iter(two_loops())) == 0.0
    difference = distance(path(wrapped, 0.05), path(reference.adam, 0.05))
    assert (difference < 1e-12) == (alpha == 1.0)


def rearranged(beta: float, r: float, power: float, decay: float) -> Step:
    """Schedule-free in y and z alone: y ← (1 − c)y + cz + γ(β(1 − c) − 1)u, then z ← z − γu."""

    def step(y: Array, g: Array, s: State, *, t: int, lr: float) -> Array:
        z, u = s.get("z", y), g + decay * y
        s["most"] = max(lr, s.get("most", 0.0))
        weight = t**r * s["most"] ** power
        s["sum"] = s.get("sum", 0.0) + weight
        c = weight / s["sum"]
        s["z"] = z - lr * u
        return (1.0 - c) * y + c * z + lr * (beta * (1.0 - c) - 1.0) * u

    return step


@pytest.mark.parametrize("rate", [constant, changing])
@pytest.mark.parametrize(
    ("beta", "r", "power", "decay"), [(0.9, 0.0, 2.0, 0.0), (0.5, 1.5, 1.0, 0.2)]
)
def test_three_sequences_of_schedule_free_are_two(
    beta: float, r: float, power: float, decay: float, rate: object
) -> None:
    options = {"beta": beta, "r": r, "power": power, "weight_decay": decay}
    ours = path(average.schedule_free_sgd, 0.3, rate, **options)
    assert distance(ours, path(rearranged(beta, r, power, decay), 0.3, rate)) < 1e-12


def test_the_ends_of_schedule_free() -> None:
    """β = 0: descent, x its mean (Polyak). β = 1: the gradient at the mean itself (primal)."""
    w, s, points = STARTS[1], State(), []
    for t in range(1, STEPS + 1):
        g = gradients([*STARTS[:1], w, *STARTS[2:]], t)[1]
        expected = w - 0.2 * g
        w = average.schedule_free_sgd(w, g, s, t=t, lr=0.2, beta=0.0)
        np.testing.assert_allclose(w, expected, rtol=1e-12)
        points.append(w)
        np.testing.assert_allclose(s["x"], np.mean(points, axis=0), rtol=1e-10)
    s, w = State(), STARTS[1]
    for t in range(1, STEPS + 1):
        g = gradients([*STARTS[:1], w, *STARTS[2:]], t)[1]
        w = average.schedule_free_sgd(w, g, s, t=t, lr=0.2, beta=1.0)
        np.testing.assert_allclose(w, s["x"], rtol=1e-12)


def test_the_point_to_evaluate_and_the_weights() -> None:
    """x = y + (1 − 1/β)(z − y); with p = 2 and lr once twice as large its weights are 1, 4, 4."""
    s, w, z = State(), np.zeros(1), [0.0]
    for t, lr in enumerate((0.1, 0.2, 0.1), start=1):
        w = average.schedule_free_sgd(w, np.array([float(t)]), s, t=t, lr=lr, beta=0.8)
        np.testing.assert_allclose(s["x"], w + (1.0 - 1.0 / 0.8) * (s["z"] - w), rtol=1e-12)
        z.append(z[-1] - lr * t)
    assert s["x"][0] == pytest.approx((1.0 * z[1] + 4.0 * z[2] + 4.0 * z[3]) / 9.0)
    s = State()
    average.schedule_free_sgd(w, np.ones(1), s, t=1, lr=0.0)
    same(s["x"], w, because="a copy")


def test_schedule_free_adamw_takes_adams_steps_in_z() -> None:
    """β₁ is not a momentum: z moves by lr·g/(√v̂ + ε), and by lr·λ·y for the decay."""
    s, w, v = State(), np.array([1.0, -2.0]), 0.0
    for t in range(1, 10):
        g = np.sin(np.arange(2.0) + t)
        v = 0.95 * v + 0.05 * g**2
        before = s.get("z", w)
        expected = before - 0.1 * (g / (np.sqrt(v / (1.0 - 0.95**t)) + 1e-3) + 0.5 * w)
        w = average.schedule_free_adamw(
            w, g, s, t=t, lr=0.1, betas=(0.9, 0.95), eps=1e-3, weight_decay=0.5
        )
        np.testing.assert_allclose(s["z"], expected, rtol=1e-12)


def test_noise_of_the_right_variance() -> None:
    """η/(1 + k)^γ after k steps, and 2·lr·T: so that ½w² has the Gibbs variance T."""
    g, one = np.zeros(1), np.ones(1)
    for k in range(5):
        expected = 0.3 / (1 + k) ** 0.55
        assert noisy.gradient_noise(g, one, t=k + 1)[0] ** 2 == pytest.approx(expected)
    assert noisy.langevin(g, one, t=1, lr=0.02, temperature=3.0)[0] ** 2 == pytest.approx(0.12)
    w, rng, lr, T = np.zeros(20_000), np.random.default_rng(0), 0.1, 0.5
    for t in range(1, 101):
        noise = rng.standard_normal(w.shape)
        w = noisy.sgld(w, w, State(), t=t, lr=lr, noise=noise, temperature=T)
    # w ← (1 − lr)w + noise has the variance 2·lr·T/(1 − (1 − lr)²) = T/(1 − lr/2) in the end
    assert np.var(w) == pytest.approx(T / (1.0 - lr / 2.0), rel=5.0 * math.sqrt(2.0 / w.size))


def test_every_decay_in_closed_form() -> None:
    w, g, lr, strength = np.array([2.0, -2.0, 2.0, 0.0]), np.array([1.0, 1.0, 0.0, 1.0]), 0.1, 0.5
    plain = w - lr * np.sign(g)
    expected = {
        "l2": w - lr * np.sign(g + strength * w),
        "decoupled": plain - 0.05 * w,
        "independent": plain - 0.5 * w,
        "cautious": plain - 0.05 * np.array([2.0, 0.0, 2.0, 0.0]),  # also where the step is 0
        "proximal": plain / 1.05,
    }
    assert set(expected) == set(DECAYS)
    for decay, point in expected.items():
        ours = sign.sign_sgd(w, g, State(), t=1, lr=lr, weight_decay=strength, decay=decay)
        np.testing.assert_allclose(ours, point, rtol=1e-15, err_msg=decay)
        up = sign.sign_sgd(
            w, -g, State(), t=1, lr=lr, weight_decay=strength, decay=decay, maximize=True
        )
        np.testing.assert_allclose(up, point, rtol=1e-15, err_msg=decay)
    with pytest.raises(ValueError, match="unknown decay 'l1'"):
        decay_after(w, w, lr=lr, weight_decay=strength, decay="l1")


def test_decays_that_are_the_same_for_plain_descent() -> None:
    """L2 and decoupled are one for SGD; independent is decoupled with λ/lr."""

    @decayed()
    def descent(w: Array, g: Array, s: State, *, t: int, lr: float) -> Array:
        return w - lr * g

    def run(decay: str, strength: float) -> object:
        return path(descent, 0.1, weight_decay=strength, decay=decay)

    assert distance(run("l2", 0.3), run("decoupled", 0.3)) < 1e-12
    assert distance(run("independent", 0.03), run("decoupled", 0.3)) < 1e-12
    assert distance(run("proximal", 0.3), run("decoupled", 0.3)) > 1e-3
    assert distance(run("cautious", 0.3), run("decoupled", 0.3)) > 1e-3
