"""Errors in hyperparameters: a learning rate that acts late or is compiled in, and one that acts nowhere.

Whether each changes the path is asked of every optimizer and every rule, through their signatures.
"""

from __future__ import annotations

import functools
import inspect
import itertools
from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import Parameter
from torch.optim.lr_scheduler import LambdaLR

import thalweg
from tests.exact import RERUN, is_same, same
from tests.golden import problem
from tests.optim.problem import follow
from tests.testing import broken
from tests.testing.sound import Sound
from thalweg import Rule, optim, rule, rules
from thalweg.engine import compilations
from thalweg.optim import sides

from .subjects import PROBLEM, Make, each_name, make

# -- the learning rate ------------------------------------------------------------------------------------

FIRST_EFFECT = {
    "ASGD": 4,  # as PyTorch, which computes the rate of a step at the end of the one before
    "DeltaBarDelta": None,  # lr is where the rates of the coordinates start
    "Rprop": None,  # the same
}
"""The step, from 0, at which a learning rate set before step 3 shows, where that is not step 3."""


def first_effect(made: Make) -> int | None:
    """Return the step at which a learning rate that is doubled before step 3 changes the path."""
    paths = []
    for factor in (1.0, 2.0):
        params = PROBLEM.parameters()
        optimizer = made(params)
        path = follow(PROBLEM, params, optimizer, steps=3)
        kernels = compilations()
        optimizer.param_groups[0]["lr"] *= factor
        paths.append(path + follow(PROBLEM, params, optimizer, steps=4, start=3))
        assert compilations() == kernels, "a learning rate was compiled"
    why = "the same instructions on the same shapes, with the same rate"
    differ = [not is_same(*points, because=why) for points in zip(*paths, strict=True)]
    return differ.index(True) if any(differ) else None


@each_name
def test_a_learning_rate_set_by_hand_acts_at_once_and_compiles_nothing(name: str) -> None:
    assert first_effect(make(name)) == FIRST_EFFECT.get(name, 3)


@pytest.mark.parametrize(("error", "step"), [(broken.ReadsLrOnce, None), (broken.ReadsLrLate, 4)])
def test_a_learning_rate_read_once_or_late_is_seen(error: Make, step: int | None) -> None:
    assert first_effect(error) == step
    assert first_effect(Sound) == 3


@each_name
def test_a_scheduler_is_the_same_as_a_learning_rate_set_by_hand(name: str) -> None:
    factors = [1.0, 0.5, 0.0, 2.0, 1.5, 0.1, 3.0, 1.0]
    params = PROBLEM.parameters()
    optimizer = make(name)(params)
    first = optimizer.param_groups[0]["lr"]

    def by_hand(step: int) -> None:
        optimizer.param_groups[0]["lr"] = first * factors[step]

    expected = follow(PROBLEM, params, optimizer, before_step=by_hand)
    kernels = compilations()
    params = PROBLEM.parameters()
    optimizer = make(name)(params)
    scheduler = LambdaLR(optimizer, lambda step: factors[min(step, 7)])
    actual = []
    for step in range(8):
        actual += follow(PROBLEM, params, optimizer, steps=1, start=step)
        scheduler.step()
    assert compilations() == kernels
    for a, e in zip(actual, expected, strict=True):
        same(a, e, because=RERUN)


def test_the_step_of_descent_is_the_present_learning_rate_times_the_gradient() -> None:
    p = Parameter(torch.zeros(1, dtype=torch.float64))
    optimizer = optim.SGD([p], lr=1.0)
    for lr in (1.0, 0.25, 0.0, 8.0):
        before = p.item()
        optimizer.param_groups[0]["lr"] = lr
        p.grad = torch.full_like(p, -3.0)
        optimizer.step()
        assert p.item() - before == 3.0 * lr


def test_what_is_compiled_anew_is_counted() -> None:
    @rule
    def switching(g, *, sign=False):
        return -0.12345 * g if sign else 0.12345 * g

    p = Parameter(torch.ones(3))
    p.grad = torch.ones(3)
    optimizer = thalweg.Optimizer([p], switching, lr=0.1, engine="fused")
    counts = [compilations()]
    for sign in (False, False, True, True):
        optimizer.param_groups[0]["sign"] = sign
        optimizer.step()
        counts.append(compilations())
    assert [b - a for a, b in itertools.pairwise(counts)] == [1, 0, 1, 0]


# -- every hyperparameter matters -------------------------------------------------------------------------

NO_HYPERPARAMETERS = {
    "params": "what is stepped",
    "foreach": "chooses among PyTorch's implementations",
    "fused": "the same",
    "capturable": "the same",
    "differentiable": "lets autograd see the step, which stays as it is",
    "engine": "the engines compute the same",
    "dialect": "another equation; golden trajectories hold each",
    "decay": "the meaning of weight_decay; a closed form holds each",
    "before": "links, whose hyperparameters are asked of the rules",
    "after": "the same",
    "state_dtype": "how states are kept; bounds hold it",
    "rounding": "of bfloat16 parameters alone; a closed form holds it",
}

# what a hyperparameter needs beside it to have a meaning, or to act within twenty steps
NAMED_BESIDE: dict[str, dict[str, Any]] = {
    "ASGD": {"lr": 0.05, "lambd": 0.5, "t0": 5.0},
    "AdaBound": {"gamma": 0.1},
    "Adam": {"betas": (0.9, 0.9)},  # or v would not fall below its largest value
    "AdamW": {"betas": (0.9, 0.9)},
    "DAdaptAdam": {"d0": 0.01},
    "DeltaBarDelta": {"lr": 0.1},
    "DoG": {"relative": 0.1},
    "LDoG": {"relative": 0.1},
    "Lion": {"lr": 0.1},  # steps of 0.1 come to where signs change
    "Prodigy": {"d0": 0.01},
    "Rprop": {"lr": 0.1},
    "SGD": {"lr": 0.1, "momentum": 0.9},
    "ScheduleFreeSGD": {"lr": 0.1},
    "Shampoo": {"betas": (0.9, 0.9), "lr": 0.01},  # sums differ from means that forget
    "SignSGD": {"lr": 0.1},
    "Signum": {"lr": 0.1},
}
LIMITS = {"max_norm": 0.5, "max_value": 0.3, "weight_decay": 0.1}
"""Hyperparameters of rules that have no default."""
RULES_BESIDE: dict[str, dict[str, Any]] = {
    "adabound": {"gamma": 0.1},
    "adagrad": {"eps": 0.01},  # for its place
    "adamax": {"eps": 0.01},
    "asgd": {"lambd": 0.5, "t0": 5.0},
    "d_adapt_adam": {"d0": 0.01},
    "dog": {"relative": 0.1},
    "prodigy": {"d0": 0.01},
    "rmsprop": {"eps": 0.01},
    "rmsprop_centered": {"eps": 0.01},
    "adafactor": {"eps1": 0.3, "lr": 1.0},  # for its place; lr above 1/√t
    "adafactor_vector": {"eps1": 0.3, "lr": 1.0},
}
SAME = {
    "newton": "the same roots, by products alone",
    "space": "the same polynomial, by other products",
    "precision": "of products or of a dtype; errors and closed forms hold it",
    "blocks": "how many matrices lie one under the other; these have rows that no number divides",
    "Muon.eps": "a matrix of any norm is orthogonalized; the card says so",
    "shampoo_identity.eps": "there is no matrix; all forms of a rule have its hyperparameters",
    "shampoo_identity.every": "the same",
    "shampoo_identity.exponent": "the same",
    "shampoo_identity.grafting": "the same",
    "shampoo_identity.sums": "the same",
    "soap_identity.every": "the same",
    "soap_identity.shampoo_beta": "the same",
    "soap_skipping_identity.every": "the same",
    "soap_skipping_identity.shampoo_beta": "the same",
}
"""Hyperparameters that change no step, or none that is seen here, and why."""

# values that are far enough from the default to be seen, where a tenth less than it is not
OTHER: dict[str, Any] = {
    "d": 1.5,
    "eps": 0.02,
    "eps2": 2.0,
    "every": 3,
    "graft_eps": 0.02,
    "grafting": "sgd",
    "growth_rate": 1.1,
    "initial": 0.1,
    "iteration": "polar_express",
    "largest": 0.2,
    "matrices": "last",
    "max_dim": 2,
    "ns_steps": 3,
    "scope": "all",
    "shampoo_beta": 0.5,
    "block_size": "3",
    "seed": 1,
    "smallest": 0.05,
    "start": 4,
    "step_sizes": (0.05, 0.2),
    "warmup": 30.0,
}
OTHER_OF: dict[str, Any] = {
    "Adafactor.eps": (100.0, 2.0),  # of squares, where they are below it
    "adafactor.eps1": 100.0,
    "adafactor_vector.eps1": 100.0,
    "ADOPT.eps": 2.0,  # of roots of squares, where they are below it
    "adopt.eps": 2.0,
    "SOAP.block_size": 3,
    "Shampoo.block_size": 3,
    "clip_by_unit.eps": 5.0,
    "ema.warmup": True,
    "muon.adjust": "spectral",
    "muon_heavy_ball.adjust": "spectral",
    "muon_unbiased.adjust": "spectral",
    "normuon.adjust": "original",
}


def another(owner: str, name: str, value: Any) -> list[Any]:
    """Return other values of a hyperparameter: one, or one for each element of a tuple."""
    given = OTHER_OF.get(f"{owner}.{name}", OTHER.get(name))
    if isinstance(value, tuple):
        fresh = [0.9 * v for v in value] if given is None else given
        return [(*value[:k], fresh[k], *value[k + 1 :]) for k in range(len(value))]
    if given is not None:
        return [given]
    if isinstance(value, bool):
        return [not value]
    assert isinstance(value, Real), f"{owner} has a hyperparameter {name} = {value!r}"
    return [0.9 * value if value else 0.1]


def path(made: Make, base: float) -> np.ndarray[Any, Any]:
    """Return all points under a changing learning rate, and where the model is to be evaluated."""
    params = [Parameter(torch.from_numpy(w)) for w in problem.start()]
    optimizer = made(params, lr=base)
    points = []
    for t in range(1, problem.STEPS + 1):
        point = [p.detach().numpy() for p in params]
        for group in optimizer.param_groups:
            group["lr"] = problem.rate(t, base, "changing")
        for p, g in zip(params, problem.gradient(t, point), strict=True):
            p.grad = torch.from_numpy(g)
        optimizer.step()
        points += problem.flat([p.detach().numpy() for p in params])
    averages = [optimizer.state[p].get("ax", optimizer.state[p].get("average")) for p in params]
    points += problem.flat([w.numpy() for w in averages if w is not None])
    assert np.isfinite(points).all()
    return np.array(points)


def assert_each_matters(owner: str, made: Make, values: Mapping[str, Any], base: float) -> None:
    default = path(functools.partial(made, **values), base)
    for name, value in values.items():
        if name in SAME or f"{owner}.{name}" in SAME:
            continue
        for other in another(owner, name, value):
            changed = path(functools.partial(made, **{**values, name: other}), base)
            difference = np.abs(changed - default).max()
            assert difference > 1e-6, f"{name}={other} instead of {value} makes no difference"


@each_name
def test_every_hyperparameter_of_every_optimizer_matters(name: str) -> None:
    cls = getattr(optim, name)
    declared = inspect.signature(cls).parameters.values()
    values = {p.name: p.default for p in declared if p.name not in NO_HYPERPARAMETERS}
    if "weight_decay" in values:
        values["weight_decay"] = 0.05
    values |= NAMED_BESIDE.get(name, {})
    base = values.pop("lr")
    assert_each_matters(name, cls, values, base)
    made = functools.partial(cls, **values)
    assert np.abs(path(made, base) - path(made, 0.9 * base)).max() > 1e-6, "lr"


EQUATIONS = {
    each.name: each
    for home in (rules, sides)
    for each in vars(home).values()
    if isinstance(each, Rule) and each.signature.hyperparameters
}
"""The public rules, and the forms that a parameter's size chooses."""


@pytest.mark.parametrize("name", sorted(EQUATIONS))
def test_every_hyperparameter_of_every_rule_matters(name: str) -> None:
    equation = EQUATIONS[name]
    declared = equation.signature.hyperparameters
    values = {**declared, **{n: v for n, v in LIMITS.items() if n in declared}}
    values |= RULES_BESIDE.get(name, {})

    def made(params: Any, lr: float, **chosen: Any) -> torch.optim.Optimizer:
        return thalweg.Optimizer(params, equation(**chosen), lr=lr)

    base = values.pop("lr", 0.1)
    assert_each_matters(name, made, values, base)


def test_a_hyperparameter_that_acts_nowhere_is_seen() -> None:
    @rule
    def forgetful(g, m, *, beta=0.9, damping=0.1):
        m = beta * m + (1 - beta) * g
        return m + 0 * damping, m

    def made(params: Any, lr: float, **chosen: Any) -> torch.optim.Optimizer:
        return thalweg.Optimizer(params, forgetful(**chosen), lr=lr)

    with pytest.raises(AssertionError, match="damping"):
        assert_each_matters("forgetful", made, {"beta": 0.9, "damping": 0.1}, 0.1)
