"""Errors in update rules, each made here by hand: a closed form or a few numbers say who is right."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

from tests.optim.problem import assert_same_path
from tests.testing.broken import RoundsItsScalars
from thalweg import Optimizer, optim, rule, rules

from .subjects import EXACT, Make, each_engine, walk

SIGNS = [[0.3], [-0.2], [0.5], [0.1], [-0.4], [0.05], [0.2], [-0.1], [0.3], [0.15]] * 3
"""Gradients of one number that change their sign and size."""


def approx(expected: Any) -> Any:
    return pytest.approx(expected, rel=EXACT, abs=1e-14)


def column(points: list[list[float]]) -> list[float]:
    return [x for (x,) in points]


# -- where epsilon stands ---------------------------------------------------------------------------------


@each_engine
@pytest.mark.parametrize(
    ("dialect", "coordinate"),
    [("torch", 0.127), ("paper", 0.042), ("keras", 0.042), ("optax", 0.042)],
)
def test_rmsprops_epsilon_inside_or_outside_the_root(
    dialect: str, coordinate: float, engine: str
) -> None:
    """With ε = 0.01 one step leads to 0.127 or to 0.042, three times apart; so do all steps after it."""
    options = {"lr": 0.018, "alpha": 0.99, "eps": 0.01, "dialect": dialect, "engine": engine}
    make = functools.partial(optim.RMSprop, **options)
    assert walk(make, [0.0], [[-0.24]])[-1] == [pytest.approx(coordinate, abs=5e-4)]

    by_hand, r = [1.0], 0.0
    for (g,) in SIGNS:
        r = 0.99 * r + 0.01 * g * g
        root = math.sqrt(r) + 0.01 if dialect == "torch" else math.sqrt(r + 0.01)
        by_hand.append(by_hand[-1] - 0.018 * g / root)
    assert column(walk(make, [1.0], SIGNS)) == approx(by_hand)


def test_rmsprop_of_the_book_has_epsilon_inside_the_root() -> None:
    make = functools.partial(optim.NesterovRMSprop, lr=0.018, rho=0.99, eps=0.01, momentum=0.0)
    expected = 0.018 * 0.24 / math.sqrt(0.01 * 0.24**2 + 0.01)
    assert walk(make, [0.0], [[-0.24]])[-1] == approx([expected])
    assert expected == pytest.approx(0.042, abs=5e-4)


@each_engine
@pytest.mark.parametrize("dialect", ["torch", "paper", "optax", "keras"])
def test_adams_epsilon_before_or_after_the_bias_correction(dialect: str, engine: str) -> None:
    """For a gradient of ε the first step is lr/2, but lr/33 where ε̂ is meant."""
    options = {"lr": 0.1, "eps": 1e-3, "dialect": dialect, "engine": engine}
    make = functools.partial(optim.Adam, **options)
    hat = dialect == "keras"
    share = 1 / (1 + 1 / math.sqrt(0.001)) if hat else 1 / 2
    assert walk(make, [0.0], [[-1e-3]])[-1] == approx([0.1 * share])
    assert share == pytest.approx(0.0307 if hat else 0.5, abs=1e-4)

    by_hand, m, v = [1.0], 0.0, 0.0
    for t, (g,) in enumerate(SIGNS, start=1):
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        root = math.sqrt(1 - 0.999**t)
        scale = root / (math.sqrt(v) + 1e-3) if hat else 1 / (math.sqrt(v) / root + 1e-3)
        by_hand.append(by_hand[-1] - 0.1 * m / (1 - 0.9**t) * scale)
    assert column(walk(make, [1.0], SIGNS)) == approx(by_hand)


def test_adams_default_epsilon_is_the_one_of_the_equation() -> None:
    """1e-8 beside √v̂, 1e-7 for ε̂; a dialect keeps PyTorch's default, as all the others."""
    gradient, lr = 1e-8, 1.0
    for equation, expected in [
        (rules.adam, 1 / 2),
        (rules.adam_hat, 1e-8 / (1e-8 + 1e-7 / math.sqrt(0.001))),
    ]:
        make = functools.partial(Optimizer, rule=equation, lr=lr)
        assert walk(make, [0.0], [[-gradient]])[-1] == approx([expected])
    for dialect in optim.Adam.dialects:
        assert optim.Adam([Parameter(torch.ones(1))], dialect=dialect).defaults["eps"] == 1e-8


@each_engine
@pytest.mark.parametrize(("dialect", "divisor"), [("torch", 0.5 * 1.1), ("keras", 0.5 + 0.1)])
def test_adamaxs_epsilon_in_the_maximum_or_beside_it(
    dialect: str, divisor: float, engine: str
) -> None:
    """u after |g| = 1 and 0.1 with β₂ = ½, ε = 0.1; and a gradient of 0 at first is not 0/0."""
    options = {"betas": (0.0, 0.5), "eps": 0.1, "dialect": dialect, "engine": engine}
    make = functools.partial(optim.Adamax, lr=1.0, **options)
    points = column(walk(make, [0.0], [[-1.0], [-0.1]]))
    assert points == approx([0.0, 1 / 1.1, 1 / 1.1 + 0.1 / divisor])
    assert walk(make, [2.0], [[0.0]])[-1] == [2.0]


# -- momentum and maxima ----------------------------------------------------------------------------------


NADAMS: dict[str, Callable[[int], float]] = {
    "torch": lambda t: 0.9 * (1 - 0.5 * 0.96 ** (0.004 * t)),
    "keras": lambda t: 0.9 * (1 - 0.5 * 0.96**t),
    "optax": lambda t: 0.9,
}


def nadam_by_hand(momentum: Callable[[int], float]) -> list[float]:
    points, m, v, product = [1.0], 0.0, 0.0, 1.0
    for t, (g,) in enumerate(SIGNS, start=1):
        now, then = momentum(t), momentum(t + 1)
        product *= now
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        ahead = then * m / (1 - product * then) + (1 - now) * g / (1 - product)
        points.append(points[-1] - 0.01 * ahead / (math.sqrt(v / (1 - 0.999**t)) + 1e-8))
    return points


@each_engine
def test_nadams_momentum_has_three_schedules_and_three_trajectories(engine: str) -> None:
    paths = {}
    for dialect, momentum in NADAMS.items():
        make = functools.partial(optim.NAdam, lr=0.01, dialect=dialect, engine=engine)
        paths[dialect] = column(walk(make, [1.0], SIGNS))
        assert paths[dialect] == approx(nadam_by_hand(momentum)), dialect
    for one, other in [("torch", "keras"), ("torch", "optax"), ("keras", "optax")]:
        apart = [abs(a - b) for a, b in zip(paths[one], paths[other], strict=True)]
        assert max(apart) > 1e-3, (one, other)
    theirs = functools.partial(torch.optim.NAdam, lr=0.01)
    assert paths["torch"] == pytest.approx(column(walk(theirs, [1.0], SIGNS)), rel=1e-6)


@each_engine
@pytest.mark.parametrize(
    ("dialect", "scales"),
    [
        (
            "torch",
            [0.1 / 0.1, 0.1 / 0.19, 0.1 / 0.271],
        ),  # the largest v, corrected again at each step
        ("keras", [0.1 / 0.1, 0.1 / 0.19, 0.1 / 0.271]),
        ("optax", [1.0, 1.0, 1.0]),  # the largest v/(1 − β₂ᵗ): that of the first step
        ("paper", [0.1, 0.1, 0.1]),
    ],
)
def test_amsgrads_maximum_of_raw_or_of_corrected_scales(
    dialect: str, scales: list[float], engine: str
) -> None:
    """Gradients 1, 0.1, 0.1 with β₁ = 0, β₂ = 0.9 and ε = 0: each step is g/√scale."""
    options = {"betas": (0.0, 0.9), "eps": 0.0, "amsgrad": True}
    gradients = [1.0, 0.1, 0.1]
    make = functools.partial(optim.Adam, lr=1.0, **options, dialect=dialect, engine=engine)
    expected = [0.0]
    for g, scale in zip(gradients, scales, strict=True):
        expected.append(expected[-1] - g / math.sqrt(scale))
    assert column(walk(make, [0.0], [[g] for g in gradients])) == approx(expected)
    if dialect == "torch":
        theirs = functools.partial(torch.optim.Adam, lr=1.0, **options)
        assert column(walk(theirs, [0.0], [[g] for g in gradients])) == approx(expected)


# -- weight decay -----------------------------------------------------------------------------------------

DECAYED = {  # from 2, by a step of 0.1 away from zero, with lr = 0.1 and λ = 0.3
    "l2": 2 - 0.1,  # the penalty's gradient turns the sign: −0.5 + 0.3·2 > 0
    "decoupled": 2 + 0.1 - 0.1 * 0.3 * 2,
    "independent": 2 + 0.1 - 0.3 * 2,
    "cautious": 2 + 0.1,  # the step does not shrink the weight
    "proximal": (2 + 0.1) / (1 + 0.1 * 0.3),
}


@each_engine
@pytest.mark.parametrize("decay", DECAYED)
@pytest.mark.parametrize("name", ["Adam", "AdamW", "Adan", "Lion"])
def test_each_meaning_of_weight_decay_leads_elsewhere(name: str, decay: str, engine: str) -> None:
    """The first step of all four is lr·sign(g): what is left is the decay."""
    options: dict[str, Any] = {} if name == "Lion" else {"eps": 0.0}
    make = functools.partial(
        getattr(optim, name), lr=0.1, weight_decay=0.3, engine=engine, **options
    )
    end = walk(functools.partial(make, decay=decay), [2.0], [[-0.5]])[-1]
    assert end == approx([DECAYED[decay]])
    assert len({round(x, 6) for x in DECAYED.values()}) == len(DECAYED)
    default = {"Adam": "l2", "AdamW": "decoupled", "Adan": "proximal", "Lion": "decoupled"}[name]
    assert walk(make, [2.0], [[-0.5]])[-1] == approx([DECAYED[default]])
    # towards zero the cautious decay is the decoupled one
    shrinking = walk(functools.partial(make, decay="cautious"), [2.0], [[0.5]])[-1]
    assert shrinking == approx([2 - 0.1 - 0.1 * 0.3 * 2])


@pytest.mark.parametrize(("decay", "end"), [("decoupled", 2.0), ("independent", 2 - 0.3 * 2)])
def test_only_independent_weight_decay_goes_on_at_learning_rate_zero(
    decay: str, end: float
) -> None:
    make = functools.partial(optim.AdamW, lr=0.0, weight_decay=0.3, decay=decay)
    assert walk(make, [2.0], [[-0.5]])[-1] == approx([end])


@each_engine
def test_weight_decay_is_of_the_point_before_the_step_and_not_under_its_ratio(engine: str) -> None:
    """LAMB from 1 with lr = 0.1, λ = 0.5: 1 − 0.1 − 0.05.

    Decayed before the ratio, or after the step, it were 0.95·0.9 = 0.855; inside the ratio, it is 0.9.
    """
    make = functools.partial(optim.LAMB, lr=0.1, weight_decay=0.5, engine=engine)
    assert walk(functools.partial(make, decay="decoupled"), [1.0], [[1.0]])[-1] == approx([0.85])
    assert walk(make, [1.0], [[1.0]])[-1] == approx([0.9])


# -- Adan -------------------------------------------------------------------------------------------------


@rule
def adan_weighted_wrongly(g, previous, m, v, n, *, t, beta1=0.98, beta2=0.92, beta3=0.99, eps=1e-8):
    d = torch.where(t == 1, 0.0, g - previous)
    m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * d
    ahead = g + (1 - beta2) * d
    n = beta3 * n + (1 - beta3) * ahead * ahead
    update = m / (1 - beta1**t) + (1 - beta2) * v / (1 - beta2**t)
    return update / (torch.sqrt(n / (1 - beta3**t)) + eps), g, m, v, n


def adan_of_the_paper(lr: float, curvature: Tensor, steps: int) -> list[list[Tensor]]:
    """Adan on ½·h·w² from 1, written with the paper's own β, here b: small numbers, 1 − ours."""
    b1, b2, b3 = 0.02, 0.08, 0.01
    w = torch.ones_like(curvature)
    m, v, n, before = torch.zeros_like(w), torch.zeros_like(w), torch.zeros_like(w), curvature * w
    path = []
    for k in range(1, steps + 1):
        g = curvature * w
        m = (1 - b1) * m + b1 * g
        v = (1 - b2) * v + b2 * (g - before)
        n = (1 - b3) * n + b3 * (g + (1 - b2) * (g - before)) ** 2
        corrected = m / (1 - (1 - b1) ** k) + (1 - b2) * v / (1 - (1 - b2) ** k)
        w = w - lr * corrected / ((n / (1 - (1 - b3) ** k)).sqrt() + 1e-8)
        before = g
        path.append([w])
    return path


@each_engine
def test_adans_look_ahead_has_the_right_weight_though_a_wrong_one_reaches_the_minimum(
    engine: str,
) -> None:
    """1 − β₂ where the equation has β₂ ends in the minimum too; the way there is another."""
    curvature = torch.tensor([1.0, 10.0, 100.0], dtype=torch.float64)
    start = [torch.ones_like(curvature)]

    def path(make: Make, steps: int) -> list[list[Tensor]]:
        p = Parameter(start[0].clone())
        optimizer = make([p])
        points = []
        for _ in range(steps):
            p.grad = curvature * p.detach()
            optimizer.step()
            points.append([p.detach().clone()])
        return points

    wrong = path(functools.partial(Optimizer, rule=adan_weighted_wrongly, lr=0.1), 1000)
    assert wrong[-1][0].abs().max() < 1e-9
    expected = adan_of_the_paper(0.1, curvature, 50)
    with pytest.raises(AssertionError, match="step 2"):
        assert_same_path(wrong[:50], expected, start, EXACT)
    apart = max(float((a - b).abs().max()) for (a,), (b,) in zip(wrong, expected, strict=False))
    assert apart > 0.05
    ours = path(functools.partial(optim.Adan, lr=0.1, engine=engine), 50)
    assert_same_path(ours, expected, start, EXACT)


# -- low precision ----------------------------------------------------------------------------------------

# those that divide by 1 − β₂ᵗ or multiply by 1 − β₂, each with a β₂ or β₃ of 0.999
WITH_SCALES: dict[str, dict[str, Any]] = {
    **{name: {} for name in ("AdaBelief", "AdaBound", "AdEMAMix", "Adam", "AdamW", "LAMB")},
    **{name: {} for name in ("LaProp", "NAdam", "NAdamW", "ScheduleFreeAdamW")},
    "Adan": {"betas": (0.98, 0.92, 0.999)},
    "DAdaptAdam": {"lr": 1.0, "d0": 0.125},
    "MARS": {"betas": (0.95, 0.999)},
    "Prodigy": {"lr": 1.0, "d0": 0.125},
    "Yogi": {"bias_correction": True, "eps": 1e-8, "initial": 0.0},
}
BFLOAT16 = [[1.0, -0.5]] * 3


@each_engine
@pytest.mark.parametrize("name", WITH_SCALES)
def test_bias_corrections_in_bfloat16_do_not_vanish(name: str, engine: str) -> None:
    """β₂ = 0.999 rounds to 1 in bfloat16: 1 − β₂ᵗ is 0 there, the scale infinite, and nothing moves."""
    beta2 = torch.tensor(0.999, dtype=torch.bfloat16)
    assert (1 - beta2**3).item() == 0.0
    options = {"lr": 0.125, **WITH_SCALES[name], "engine": engine}
    make = functools.partial(getattr(optim, name), **options)
    start = [1.0, -1.0]
    narrow = walk(make, start, BFLOAT16, torch.bfloat16)
    wide = walk(make, start, BFLOAT16, torch.float64)
    for t, (near, exact) in enumerate(zip(narrow, wide, strict=True)):
        assert near == pytest.approx(exact, abs=(1 + 3 * t) * 2.0**-8)
    assert all(abs(a - b) > 0.02 for a, b in zip(narrow[-1], start, strict=True))


def test_bias_corrections_rounded_to_bfloat16_move_nothing() -> None:
    make = functools.partial(RoundsItsScalars, lr=0.125, weight_decay=0.0)
    assert walk(make, [1.0, -1.0], BFLOAT16, torch.bfloat16)[-1] == [1.0, -1.0]
