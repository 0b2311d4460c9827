"""The transcriptions with norms and sums: LAMB, LARS, the clips, DoG, Prodigy, D-Adaptation."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest

from tests.exact import RERUN, same

from ..reference import Array, State
from . import free, scale
from .toy import STARTS, changing, constant, distance, gradients, model_path, path

each_rate = pytest.mark.parametrize("rate", [constant, changing])


def lengths(points: list[list[Array]]) -> list[list[float]]:
    """Return the length of each array's step, divided by the array's norm before it."""
    return [
        [float(np.linalg.norm(a - b) / np.linalg.norm(a)) for a, b in zip(p, q, strict=True)]
        for p, q in itertools.pairwise(points)
    ]


def test_a_step_of_lamb_and_of_lars_is_a_part_of_the_weights() -> None:
    """‖Δw‖ = lr·‖w‖ for LAMB, and lr·η·‖w‖ for LARS without momentum, for every tensor."""
    lamb = lengths([STARTS, *path(scale.lamb, 0.03)])
    np.testing.assert_allclose(lamb, 0.03, rtol=1e-12)
    lars = lengths([STARTS, *path(scale.lars, 1.0, momentum=0.0, trust_coefficient=0.02)])
    np.testing.assert_allclose(lars, 0.02, rtol=1e-12)


def test_trust_ratios_of_each_tensor_and_where_a_norm_is_zero() -> None:
    """Tensors of norms 1 and 10 get steps of 0.1 and 1; with a zero norm the ratio is 1."""
    g = np.array([1.0, -1.0])
    for size in (1.0, 10.0):
        w = size * np.array([0.6, 0.8])
        moved = scale.lamb(w, g, State(), t=1, lr=0.1) - w
        np.testing.assert_allclose(moved, -0.1 * size * g / math.sqrt(2.0), rtol=1e-12)
    zero = np.zeros(2)
    np.testing.assert_allclose(scale.lamb(zero, g, State(), t=1, lr=0.1), -0.1 * g, rtol=1e-5)
    same(scale.lars(zero, g, State(), t=1, lr=0.1), -0.1 * g, because=RERUN)
    ends = scale.lars(w, zero, State(), t=1, lr=0.1, weight_decay=0.5)
    np.testing.assert_allclose(ends, w - 0.1 * 0.5 * w, rtol=1e-15)
    decayed = scale.lamb(w, zero, State(), t=1, lr=0.1, weight_decay=0.5)
    np.testing.assert_allclose(decayed, 0.9 * w, rtol=1e-15)


def test_lars_keeps_the_rate_of_each_step_in_its_velocity() -> None:
    """The velocity is gathered as lr·u: at lr = 0 the old one still moves the weights."""
    w, g, s = np.array([3.0, 4.0]), np.array([0.0, 2.0]), State()
    first = scale.lars(w, g, s, t=1, lr=1.0, momentum=0.5, weight_decay=0.1) - w
    local = 1e-3 * 5.0 / (2.0 + 0.1 * 5.0)
    np.testing.assert_allclose(first, -local * (g + 0.1 * w), rtol=1e-12)
    second = scale.lars(w, g, s, t=2, lr=0.0, momentum=0.5, weight_decay=0.1) - w
    np.testing.assert_allclose(second, 0.5 * first, rtol=1e-12)


def test_clips_and_normalisation() -> None:
    gs = gradients(STARTS, 1)
    whole = np.concatenate([g.ravel() for g in gs])
    length = float(np.sqrt(whole @ whole))
    for clip in (scale.clip_by_global_norm, lambda us, n: scale.normalize_all(us)):
        for limit in (1.0, 0.5 * length):
            clipped = np.concatenate([u.ravel() for u in clip(gs, limit)])
            wanted = limit if clip is scale.clip_by_global_norm else 1.0
            np.testing.assert_allclose(clipped, whole * wanted / length, rtol=1e-12)
    for u, g in zip(scale.clip_by_global_norm(gs, 2.0 * length), gs, strict=True):
        same(u, g, because="a copy")
    g = gs[2]
    assert np.linalg.norm(scale.clip_by_norm(g, 0.1)) == pytest.approx(0.1)
    assert scale.clip_by_norm(g, 1e3) is g
    assert np.linalg.norm(scale.normalize(g)) == pytest.approx(1.0)
    np.testing.assert_allclose(scale.normalize(g, eps=1.0), g / (1.0 + np.linalg.norm(g)))
    assert not scale.normalize(np.zeros(3)).any()
    same(scale.clip_by_value(g, 0.3), np.clip(g, -0.3, 0.3), because=RERUN)


def test_centralised_gradients_have_no_mean_in_any_unit() -> None:
    """GC is the projection on the hyperplane of mean zero: twice is once; vectors are left."""
    g = np.random.default_rng(0).standard_normal((4, 3, 2, 2)) + 1.0
    once = scale.centralize(g)
    np.testing.assert_allclose(once.mean(axis=(1, 2, 3)), 0.0, atol=1e-15)
    np.testing.assert_allclose(scale.centralize(once), once, atol=1e-15)
    difference = (g - once).reshape(4, -1)
    np.testing.assert_allclose(difference, difference[:, :1] * np.ones((1, 12)), rtol=1e-12)
    same(scale.centralize(g[0, 0, 0]), g[0, 0, 0], because="a copy")


def test_adaptive_clipping_unit_by_unit() -> None:
    """‖u‖ ≤ λ·max(‖w‖, ε) for every filter; what was short enough stays."""
    w = np.array([[3.0, 4.0], [0.0, 0.0], [3.0, 4.0]])
    u = np.array([[6.0, 8.0], [6.0, 8.0], [0.03, 0.04]])
    clipped = scale.clip_by_unit(u, w, clipping=0.1, eps=0.01)
    np.testing.assert_allclose(clipped, [[0.3, 0.4], [6e-4, 8e-4], [0.03, 0.04]], rtol=1e-12)
    bias = scale.clip_by_unit(u[0], w[0], clipping=0.1)
    np.testing.assert_allclose(bias, [0.3, 0.4], rtol=1e-12)


def test_the_cautious_mask() -> None:
    """What goes against the gradient is dropped and the rest grows by d/(‖φ‖₀ + 1)."""
    u, g = np.array([1.0, -2.0, 3.0, 4.0]), np.array([0.5, -1.0, -1.0, 0.0])
    np.testing.assert_allclose(scale.cautious(u, g), np.array([1.0, -2.0, 0.0, 0.0]) * 4.0 / 3.0)
    np.testing.assert_allclose(scale.cautious(u, u), u * 4.0 / 5.0)
    assert not scale.cautious(u, -u).any()
    assert scale.cautious(np.zeros(0), np.zeros(0)).size == 0


def test_dog_is_distance_over_gradients() -> None:
    """Every step is max‖x_i − x₀‖/√Σ‖g_i‖² along g, the first r_ε = relative·(1 + ‖x₀‖)."""
    points = [STARTS, *model_path(free.dog, 1.0, relative=0.01, eps=0.0)]
    flat = [np.concatenate([w.ravel() for w in p]) for p in points]
    largest, squares = 0.01 * (1.0 + np.linalg.norm(flat[0])), 0.0
    for t, (before, after) in enumerate(zip(points, flat[1:], strict=False), start=1):
        g = np.concatenate([g.ravel() for g in gradients(before, t)])
        largest = max(largest, np.linalg.norm(flat[t - 1] - flat[0]))
        squares += g @ g
        expected = flat[t - 1] - largest / math.sqrt(squares) * g
        np.testing.assert_allclose(after, expected, rtol=1e-12, atol=1e-13)
    assert np.linalg.norm(flat[-1] - flat[0]) > 10.0 * 0.01 * (1.0 + np.linalg.norm(flat[0]))


def test_layerwise_dog_is_dog_on_each_array() -> None:
    def alone(w: Array, g: Array, s: State, **options: object) -> Array:
        return free.dog([w], [g], s, **options)[0]

    layerwise = model_path(free.dog, 1.0, relative=0.02, layerwise=True)
    assert distance(layerwise, path(alone, 1.0, relative=0.02)) == 0.0
    together = model_path(free.dog, 1.0, relative=0.02)
    assert distance(together, path(alone, 1.0, relative=0.02)) > 1e-3


FREE: list[tuple[Callable[..., list[Array]], dict[str, object]]] = [
    (free.dog, {"relative": 0.01, "eps": 0.0}),
    (free.dog, {"relative": 0.01, "eps": 0.0, "layerwise": True}),
    (free.prodigy, {"d0": 0.01, "eps": 0.0}),
    (free.d_adapt_adam, {"d0": 0.01, "eps": 0.0}),
]


@each_rate
@pytest.mark.parametrize(("step", "options"), FREE)
def test_the_scale_of_the_loss_does_not_matter(
    step: Callable[..., list[Array]], options: dict[str, object], rate: object
) -> None:
    """With ε = 0, gradients 1000 times larger lead along the same path."""
    plain = model_path(step, 0.5, rate, **options)
    scaled = model_path(step, 0.5, rate, scale=1000.0, **options)
    assert distance(plain, scaled) < 1e-10


@each_rate
def test_prodigy_and_d_adaptation_with_a_fixed_d_are_adam(rate: object) -> None:
    """With d = d₀ = lr a step is Adam's without bias correction, √v + ε in the same place."""

    def uncorrected(w: Array, g: Array, s: State, *, t: int, lr: float) -> Array:
        m = s["m"] = 0.9 * s.get("m", 0.0) + 0.1 * g
        v = s["v"] = 0.999 * s.get("v", 0.0) + 0.001 * g**2
        return w - lr * 0.02 * m / (np.sqrt(v) + 1e-3)

    options = {"d0": 0.02, "growth_rate": 1.0, "eps": 1e-3}
    expected = list(path(uncorrected, 1.0, rate))
    assert distance(model_path(free.prodigy, 1.0, rate, **options), iter(expected)) < 1e-12
    if rate is constant:  # here the rate of each step is kept in the momentum
        assert distance(model_path(free.d_adapt_adam, 1.0, **options), iter(expected)) < 1e-12


@pytest.mark.parametrize(("step", "most"), [(free.prodigy, 5.0), (free.d_adapt_adam, 50.0)])
def test_the_distance_estimate_grows_to_the_size_of_the_way(step: object, most: float) -> None:
    """On ‖x − c‖₁ with ‖x₀ − c‖_∞ = 5 d leaves d₀ = 1e-6 by far and stays of the way's order.

    Prodigy's stays below it; D-Adapt Adam's need not.
    """
    target, ws, s = np.array([5.0, -3.0]), [np.zeros(2)], State()
    history = []
    for t in range(1, 201):
        ws = step(ws, [np.sign(ws[0] - target)], s, t=t, lr=1.0)
        history.append(s["d"])
    assert all(a <= b for a, b in itertools.pairwise(history))
    assert 0.1 < history[-1] <= most
    bounded = State()
    ws = [np.zeros(2)]
    for t in range(1, 21):
        ws = step(ws, [np.sign(ws[0] - target)], bounded, t=t, lr=1.0, growth_rate=1.1)
        assert bounded["d"] <= 1e-6 * 1.1**t * (1.0 + 1e-12)


def test_prodigys_estimate_after_two_steps() -> None:
    """d̂ = Σ√β₂^(t−k)·d²⟨g_k, x₀ − x_k⟩/‖Σ√β₂^(t−k)·d²·g_k‖₁ of all arrays as one."""
    g = [np.array([1.0, -2.0]), np.array([[0.5]])]
    h = [np.array([2.0, -1.0]), np.array([[0.25]])]
    ws, s = [np.ones(2), np.ones((1, 1))], State()
    x1 = free.prodigy(ws, g, s, t=1, lr=1.0, d0=0.5)
    assert s["d"] == 0.5  # x₀ − x₀ = 0
    x2 = free.prodigy(x1, h, s, t=2, lr=1.0, d0=0.5, d_coef=3.0, eps=0.1)
    for w, x, old, new in zip(x1, x2, g, h, strict=True):  # a step with the d of before
        m, v = 0.09 * old + 0.1 * new, 1e-3 * (0.999 * old**2 + new**2)
        np.testing.assert_allclose(x, w - 0.5 * m / (np.sqrt(v) + 0.1), rtol=1e-10)
    b = math.sqrt(0.999)
    numerator = sum(float(np.sum(k * (w - x))) for k, w, x in zip(h, ws, x1, strict=True))
    denominator = sum(float(np.sum(np.abs(b * a + k))) for a, k in zip(g, h, strict=True))
    assert s["d"] == pytest.approx(max(0.5, 3.0 * numerator / denominator), rel=1e-12)
    assert s["d"] > 0.5


def test_d_adaptations_estimate_after_two_steps() -> None:
    """d̂ = Σ√β₂^(t−k)·d⟨g_k, s_k⟩/(√v + ε)/((1 − √β₂)‖s‖₁)·(1 − √β₂), s before the step."""
    g, h = np.array([1.0, -2.0]), np.array([2.0, -1.0])
    s, b = State(), math.sqrt(0.99)
    free.d_adapt_adam([np.ones(2)], [g], s, t=1, lr=1.0, d0=0.5, betas=(0.9, 0.99))
    free.d_adapt_adam([np.ones(2)], [h], s, t=2, lr=1.0, d0=0.5, betas=(0.9, 0.99))
    root = np.sqrt(0.01 * (0.99 * g**2 + h**2)) + 1e-8
    before = (1.0 - b) * 0.5 * g
    after = b * before + (1.0 - b) * 0.5 * h
    r = (1.0 - b) * 0.5 * np.sum(h * before / root)
    estimate = r / ((1.0 - b) * np.sum(np.abs(after)))
    assert s["d"] == pytest.approx(max(0.5, estimate), rel=1e-12)
    assert estimate > 0.5


def test_zero_gradients_leave_everything_in_its_place() -> None:
    for step in (free.dog, free.prodigy, free.d_adapt_adam):
        s = State()
        for t in (1, 2):
            moved = step(STARTS, [0.0 * w for w in STARTS], s, t=t, lr=1.0)
            for w, start in zip(moved, STARTS, strict=True):
                same(w, start, because="nothing is added but zeros")


def test_l2_of_the_whole_model_is_a_part_of_every_gradient() -> None:
    def penalized(ws: list[Array], gs: list[Array], s: State, **options: object) -> list[Array]:
        return free.dog(ws, [g + 0.1 * w for w, g in zip(ws, gs, strict=True)], s, **options)

    ours = model_path(free.dog, 1.0, relative=0.01, weight_decay=0.1, decay="l2")
    assert distance(ours, model_path(penalized, 1.0, relative=0.01)) < 1e-12
    plain = model_path(free.dog, 1.0, relative=0.01)
    assert distance(plain, model_path(penalized, 1.0, relative=0.01)) > 1e-3
