"""Errors around update rules: noise, averages, ratios of norms, and the gradient at another point."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

from tests.exact import is_same, same
from thalweg import Optimizer, chain, noise, norm, optim, rule, rules
from thalweg.meta import ASAM, SAM

from .subjects import EXACT, Make, each_engine

# -- noise and averages -----------------------------------------------------------------------------------

COUNT = 4096


@rule
def rademacher(g, *, t, seed=0):
    """Noise of ±1 with equal chances."""
    return g + torch.sign(noise(g, seed, t))


NOISY = {
    "gradient noise": (rules.gradient_noise(eta=1.0, gamma=0.0), 1.0),
    "langevin": (chain(rules.descend, rules.langevin(temperature=0.5)), 1.0),
    "rademacher": (rademacher, 1.0),
}


@each_engine
@pytest.mark.parametrize("kind", NOISY)
def test_noise_is_not_constant(kind: str, engine: str) -> None:
    """Signs, mean and variance of what noise alone does, at each step, and from one to the next."""
    constant = 2 * torch.randint(0, 1, (COUNT,)) - 1  # its upper end is excluded
    assert (constant == -1).all()
    rules_of, variance = NOISY[kind]
    params = [Parameter(torch.zeros(COUNT, dtype=torch.float64)) for _ in range(2)]
    optimizer = Optimizer(params, rules_of, lr=1.0, engine=engine)
    draws = []
    for _ in range(3):
        before = [p.detach().clone() for p in params]
        for p in params:
            p.grad = torch.zeros_like(p)
        optimizer.step()
        draws += [p.detach() - b for p, b in zip(params, before, strict=True)]
    deviation = 1 / math.sqrt(COUNT)  # of the mean of COUNT independent numbers of variance 1
    for z in draws:
        assert abs((z > 0).double().mean() - 0.5) < 4 * 0.5 * deviation
        assert abs(z.mean()) < 4 * math.sqrt(variance) * deviation
        assert abs(z.square().mean() / variance - 1) < 4 * math.sqrt(2.0) * deviation
    together = torch.corrcoef(torch.stack(draws)) - torch.eye(len(draws))
    assert together.abs().max() < 5 * deviation


@each_engine
@pytest.mark.parametrize(
    ("link", "averages"),
    [
        (rules.ema(0.5), [1.0, 1.5, 2.25, 3.125]),
        (rules.polyak(), [1.0, 1.5, 2.0, 2.5]),
        (rules.swa(every=2), [1.0, 2.0, 2.0, 3.0]),
    ],
    ids=["ema", "polyak", "swa"],
)
def test_an_average_follows_its_points(link: Any, averages: list[float], engine: str) -> None:
    """The points are 1, 2, 3, 4; an average whose product is thrown away stays at the first."""
    p = Parameter(torch.zeros(1, dtype=torch.float64))
    optimizer = optim.SGD([p], lr=1.0, after=link, engine=engine)
    stuck = torch.zeros(1, dtype=torch.float64)
    found = []
    for t in range(1, 5):
        p.grad = -torch.ones_like(p)
        optimizer.step()
        assert p.item() == t
        stuck.mul(0.5).add_(0.5 * p.detach())
        with optimizer.evaluating():
            found.append(p.item())
    assert found == averages
    assert stuck.item() == 0.0


# -- trust ratios -----------------------------------------------------------------------------------------


@rule
def trust_of_all(u, p):
    return u * (norm(p, scope="all") / norm(u, scope="all"))


TRUSTING: dict[str, Make] = {
    "LAMB": functools.partial(optim.LAMB, lr=0.1),
    "LARS": functools.partial(optim.LARS, lr=1.0, trust_coefficient=0.1, momentum=0.0),
}


def three_steps(make: Make) -> tuple[list[float], str]:
    """Return where tensors of one element, 1 and 10, come by three gradients of 1, and the plan."""
    params = [Parameter(torch.tensor([x], dtype=torch.float64)) for x in (1.0, 10.0)]
    optimizer = make(params)
    for _ in range(3):
        for p in params:
            p.grad = torch.ones_like(p)
        optimizer.step()
    described = optimizer.plan() if hasattr(optimizer, "plan") else ""
    return [p.item() for p in params], described


@each_engine
@pytest.mark.parametrize("name", TRUSTING)
def test_trust_ratios_stay_per_tensor_in_a_batch_of_several(name: str, engine: str) -> None:
    """A tenth of each tensor's own norm a step: (0.9³, 10·0.9³); of the joint norm: (−0.979, 8.02)."""
    wrong, _ = three_steps(functools.partial(Optimizer, rule=trust_of_all, lr=0.1))
    assert wrong == [pytest.approx(-0.979, abs=1e-3), pytest.approx(8.02, abs=2e-3)]
    ours, plan = three_steps(functools.partial(TRUSTING[name], engine=engine))
    assert ours == pytest.approx([0.729, 7.29], rel=EXACT)
    assert plan.startswith("fused  2 tensors") == (engine == "fused")


# -- sharpness-aware minimization -------------------------------------------------------------------------


@pytest.mark.parametrize("inner", [optim.SGD, torch.optim.SGD], ids=["ours", "torch"])
@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_sam_divides_by_the_norm_of_the_gradient(scale: float, inner: Make) -> None:
    """At (3, 4) of c·½‖w‖² the point is ρ·(0.6, 0.8) away, whatever c; undivided, 5·c·ρ away."""
    w = Parameter(torch.tensor([3.0, 4.0], dtype=torch.float64))
    optimizer = SAM(inner([w], lr=0.1 / scale), rho=0.5)
    seen = []

    def closure() -> Tensor:
        optimizer.zero_grad()
        seen.append(w.detach().tolist())
        loss = scale * 0.5 * w.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    assert seen == [[3.0, 4.0], pytest.approx([3.3, 4.4], rel=1e-7)]
    assert w.tolist() == pytest.approx([3.0 - 0.33, 4.0 - 0.44], rel=1e-7)


@pytest.mark.parametrize("inner", [optim.AdamW, torch.optim.AdamW], ids=["ours", "torch"])
@pytest.mark.parametrize("wrapper", [SAM, ASAM])
def test_sam_restores_a_parameter_that_has_no_second_gradient(
    wrapper: Callable[..., SAM], inner: Make
) -> None:
    """Left at w + e, and decayed there, it would climb a little at every step."""
    w, b = (Parameter(torch.tensor([x, 0.1], dtype=torch.float64)) for x in (3.0, 0.7))
    start = b.detach().clone()
    optimizer = wrapper(inner([w, b], lr=0.1, weight_decay=0.1), 0.5)
    away = []

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = w.square().sum()
        if not optimizer.second_pass:
            loss = loss + b.square().sum()
        away.append(not is_same(b.detach(), start, because="nothing wrote to it"))
        loss.backward()
        return loss

    for _ in range(3):
        optimizer.step(closure)
        assert b.grad is None
        same(b.detach(), start, because="a copy was put back")
    assert away == [False, True] * 3
    assert abs(w[0].item() - 3.0) > 0.1
