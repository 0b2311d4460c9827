"""`Optimizer` with chains of rules, beside what torch makes of the same mathematics."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.optim import Optimizer

import thalweg
from tests.exact import RESUMED, same
from thalweg import rules

from . import reference
from .cases import each_engine
from .oracle import TOLERANCE
from .problem import Problem, assert_same_path, follow, give_gradients, recorded, snapshot

EXACT = TOLERANCE[torch.float64]
# An odd number of steps, after which no sequence of steps ±lr can be back at the start.
PROBLEM = recorded([(5,), (3, 4), (), (1037,)], steps=21, seed=9)
Path = list[list[Tensor]]


@thalweg.rule
def signum(g: Tensor, m: Tensor, *, beta: float = 0.9) -> Any:
    """A user's rule: the sign of the momentum (Bernstein et al. 2018)."""
    m = beta * m + (1 - beta) * g
    return torch.sign(m), m


def adamw(params: Any) -> Optimizer:
    return torch.optim.AdamW(params, lr=0.01, betas=(0.9, 0.95), weight_decay=0.1)


def clipped_one_by_one(params: Any) -> Optimizer:
    optimizer = torch.optim.SGD(params, lr=0.1, momentum=0.9)
    optimizer.register_step_pre_hook(
        lambda *_: [torch.nn.utils.clip_grad_norm_(p, 1.5) for p in params] and None
    )
    return optimizer


def clipped_together(params: Any) -> Optimizer:
    optimizer = torch.optim.SGD(params, lr=0.1, momentum=0.9)
    optimizer.register_step_pre_hook(
        lambda *_: torch.nn.utils.clip_grad_norm_(params, 1.5) and None
    )
    return optimizer


# torch's clipping divides by norm + 1e-6, the definition by the norm.
CHAINS: dict[str, tuple[Callable[[], Any], float, Callable[[Any], Optimizer], float]] = {
    "adam and decay": (
        lambda: thalweg.chain(rules.adam(beta2=0.95), rules.decay(0.1)),
        0.01,
        adamw,
        EXACT,
    ),
    "clip each": (
        lambda: thalweg.chain(rules.clip_by_norm(1.5), rules.momentum(0.9)),
        0.1,
        clipped_one_by_one,
        3e-6,
    ),
    "clip all": (
        lambda: thalweg.chain(rules.clip_by_global_norm(1.5), rules.momentum(0.9)),
        0.1,
        clipped_together,
        3e-6,
    ),
}


@pytest.mark.parametrize("name", CHAINS)
@each_engine
def test_chains_beside_torch(name: str, engine: str) -> None:
    make, lr, theirs, tolerance = CHAINS[name]
    parameters = PROBLEM.parameters()
    expected = follow(PROBLEM, parameters, theirs(parameters))
    parameters = PROBLEM.parameters()
    optimizer = thalweg.Optimizer(parameters, make(), lr=lr, engine=engine)
    actual = follow(PROBLEM, parameters, optimizer)
    assert_same_path(actual, expected, PROBLEM.starts, tolerance)
    if name.startswith("clip"):
        plain = PROBLEM.parameters()
        unclipped = follow(PROBLEM, plain, torch.optim.SGD(plain, lr=0.1, momentum=0.9))
        assert not torch.allclose(unclipped[-1][-1], expected[-1][-1], rtol=1e-3)


def signum_in_numpy(problem: Problem, lr: float, beta: float) -> Path:
    points = [start.numpy() for start in problem.starts]
    momenta = [0.0 * w for w in points]
    path = []
    for step in range(problem.steps):
        for k, g in enumerate(problem.gradient(step, [])):
            momenta[k] = beta * momenta[k] + (1 - beta) * g.numpy()
            points[k] = points[k] - lr * reference.np.sign(momenta[k])
        path.append([torch.as_tensor(w) for w in points])
    return path


@each_engine
def test_a_users_rule(engine: str) -> None:
    parameters = PROBLEM.parameters()
    optimizer = thalweg.Optimizer(parameters, signum(beta=0.8), lr=0.01, engine=engine)
    actual = follow(PROBLEM, parameters, optimizer)
    assert_same_path(actual, signum_in_numpy(PROBLEM, 0.01, 0.8), PROBLEM.starts, EXACT)


@each_engine
def test_lamb_keeps_its_ratios_apart(engine: str) -> None:
    """Each tensor's step has the length lr·‖p‖, whatever tensors stand beside it."""
    problem = recorded([(3,), (5, 4), (1037,)])
    parameters = problem.parameters()
    lamb = thalweg.chain(rules.adam(), rules.trust_ratio())
    optimizer = thalweg.Optimizer(parameters, lamb, lr=0.05, engine=engine)
    before = list(problem.starts)
    for after in follow(problem, parameters, optimizer, steps=5):
        for a, b in zip(after, before, strict=True):
            assert (a - b).norm() == pytest.approx(0.05 * b.norm().item(), rel=1e-10)
        before = after


@each_engine
def test_hyperparameters_are_entries_of_groups(engine: str) -> None:
    """They may differ between groups, and change between steps."""
    parameters = PROBLEM.parameters()
    groups = [{"params": parameters[:2], "beta": 0.5}, {"params": parameters[2:], "lr": 0.002}]
    optimizer = thalweg.Optimizer(groups, signum, lr=0.01, engine=engine)
    actual = follow(PROBLEM, parameters, optimizer)
    first = signum_in_numpy(PROBLEM, 0.01, 0.5)
    second = signum_in_numpy(PROBLEM, 0.002, 0.9)
    expected = [a[:2] + b[2:] for a, b in zip(first, second, strict=True)]
    assert_same_path(actual, expected, PROBLEM.starts, EXACT)


@each_engine
def test_a_global_norm_is_of_all_groups_and_dtypes(engine: str) -> None:
    """A clip over all tensors counts those of another group, dtype or layout."""
    kinds = [
        torch.tensor([3.0]),
        torch.tensor([4.0], dtype=torch.float64),
        torch.full((2, 6), 1.0).t(),
    ]
    parameters = [torch.nn.Parameter(torch.zeros_like(k)) for k in kinds]
    for p, g in zip(parameters, kinds, strict=True):
        p.grad = g.clone()
    groups = [{"params": parameters[:1]}, {"params": parameters[1:]}]
    clip = thalweg.chain(rules.clip_by_global_norm(1.0))
    thalweg.Optimizer(groups, clip, lr=1.0, engine=engine).step()
    total = (9.0 + 16.0 + 12.0) ** 0.5
    for p, g in zip(parameters, kinds, strict=True):
        torch.testing.assert_close(p.detach(), -g / total, rtol=1e-6, atol=0.0)


@each_engine
def test_the_functional_face_gives_the_same_numbers(engine: str) -> None:
    chain = thalweg.chain(rules.clip_by_norm(1.0), rules.adam(beta2=0.95), rules.decay(0.1))
    parameters = PROBLEM.parameters()
    actual = follow(
        PROBLEM, parameters, thalweg.Optimizer(parameters, chain, lr=0.01, engine=engine)
    )
    points, states = list(PROBLEM.starts), [chain.init(w) for w in PROBLEM.starts]
    expected = []
    for step in range(PROBLEM.steps):
        for k, g in enumerate(PROBLEM.gradient(step, points)):
            points[k], states[k] = chain.step(points[k], g, states[k], lr=0.01)
        expected.append(list(points))
    assert_same_path(actual, expected, PROBLEM.starts, EXACT)


@each_engine
def test_resuming_a_chain_is_exact(engine: str) -> None:
    def make(params: Any) -> Optimizer:
        return thalweg.Optimizer(
            params, thalweg.chain(signum(0.7), rules.decay(0.1)), lr=0.01, engine=engine
        )

    parameters = PROBLEM.parameters()
    optimizer = make(parameters)
    follow(PROBLEM, parameters, optimizer, steps=6)
    copies = [torch.nn.Parameter(p.detach().clone()) for p in parameters]
    resumed = make(copies)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for step in range(6, 12):
        for params, one in ((parameters, optimizer), (copies, resumed)):
            give_gradients(PROBLEM, step, params)
            one.step()
        same(snapshot(parameters), snapshot(copies), because=RESUMED)
