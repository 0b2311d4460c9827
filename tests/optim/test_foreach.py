"""Every optimizer over lists of tensors, beside the same tensor by tensor."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer

from thalweg.engine.foreach import slices

from .cases import Case, each_optimizer, each_program
from .oracle import GENTLE, QUADRATIC, RECORDED, TOLERANCE, changing, set_rates
from .problem import Point, Problem, assert_same_path, follow

STEPS = 12
HALF = {torch.bfloat16: 2.0**-8, torch.float16: 2.0**-11}
each_dtype = pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)


def walked(
    make: Callable[..., Any], problem: Problem, dtype: torch.dtype
) -> tuple[list[Point], list[Any]]:
    """Return the points of an optimizer whose groups have other rates, and its last states."""
    parameters = problem.parameters(dtype)
    groups = [{"params": parameters[::2]}, {"params": parameters[1::2]}]
    optimizer: Optimizer = make(groups)
    optimizer.param_groups[1]["lr"] *= 0.5
    points = follow(
        problem,
        parameters,
        optimizer,
        steps=min(STEPS, problem.steps),
        before_step=set_rates(optimizer, changing),
    )
    states = [[s for s in optimizer.state[p].values() if isinstance(s, Tensor)] for p in parameters]
    return points, states


def compare(case: Case, problem: Problem, dtype: torch.dtype, strays: float = 0.0) -> None:
    plans: list[str] = []

    def make(params: Any, engine: str) -> Optimizer:
        optimizer = case.ours(params, engine=engine)
        optimizer.register_step_post_hook(lambda o, *_: plans.append(o.plan()))
        return optimizer

    expected, states = walked(functools.partial(make, engine="eager"), problem, dtype)
    plans.clear()
    actual, listed = walked(functools.partial(make, engine="foreach"), problem, dtype)
    assert all("foreach" in plan and "eager" not in plan for plan in plans)
    tolerance = HALF.get(dtype, 0.0) * 2 * STEPS or TOLERANCE[dtype]
    assert_same_path(actual, expected, problem.starts, tolerance, strays)
    if strays:
        return
    for ours, theirs in zip(listed, states, strict=True):
        for a, e in zip(ours, theirs, strict=True):
            size = float(e.abs().max()) if e.numel() else 0.0
            # a state may sum up what has cancelled: its errors are those of its largest element's history
            torch.testing.assert_close(
                a, e, rtol=10 * tolerance, atol=10 * tolerance * max(size, 1.0), equal_nan=True
            )


@pytest.mark.sampled(8)
@each_dtype
@each_program
def test_every_program_agrees(case: Case, dtype: torch.dtype) -> None:
    compare(case, RECORDED, dtype, 0.005 if case.decays_cautiously else 0.0)


@pytest.mark.sampled(12)
@pytest.mark.parametrize("dtype", HALF, ids=str)
@each_program
def test_half_precision_is_rounded_once(case: Case, dtype: torch.dtype) -> None:
    compare(case, GENTLE, dtype, 0.02)


@pytest.mark.sampled(8)
@each_optimizer
def test_parts_and_pieces_agree(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of few elements: tensors are in other parts, or cut."""
    monkeypatch.setattr(slices, "CACHED", 100)
    compare(case, RECORDED, torch.float64)
    compare(case, QUADRATIC, torch.float64)


@pytest.mark.sampled(8)
@each_optimizer
def test_other_layouts(case: Case) -> None:
    """Tensors with gaps, and gradients in another order than their parameters."""
    paths, starts = [], []
    for engine in ("eager", "foreach"):
        wide = torch.linspace(-1.0, 1.0, 240, dtype=torch.float64).reshape(30, 8)
        turned = torch.linspace(-1.0, 1.0, 60, dtype=torch.float64).reshape(5, 12)
        parameters = [Parameter(wide[:, ::2]), Parameter(turned.t())]
        starts = [p.detach().clone() for p in parameters]
        optimizer = case.ours(parameters, engine=engine)
        path = []
        for step in range(4):
            for k, p in enumerate(parameters):
                draws = torch.Generator().manual_seed(10 * step + k)
                g = torch.randn(p.shape, generator=draws, dtype=torch.float64)
                p.grad = g if step % 2 else g.t().contiguous().t()
            optimizer.step()
            path.append([p.detach().clone() for p in parameters])
        paths.append(path)
    assert_same_path(paths[1], paths[0], starts, TOLERANCE[torch.float64])


@pytest.mark.sampled(4)
@each_program
def test_nothing_is_read_from_the_device(case: Case) -> None:
    """Tensors of the meta device have no numbers: to ask for one is an error."""
    if case.optimizer in ("SOAP", "Shampoo"):
        pytest.skip("bases and roots look at their matrices when they are computed again")
    parameters = [Parameter(torch.empty(s, device="meta")) for s in ((3, 4), (), (0, 2), (7,))]
    optimizer = case.ours(parameters, engine="foreach")
    group = optimizer.param_groups[0]
    composition = optimizer.composition(group)
    if composition.chain.program(composition.switches(group)).number_outputs:
        pytest.skip("its numbers from reductions are kept by the host")
    for _ in range(3):
        for p in parameters:
            p.grad = torch.empty_like(p)
        optimizer.step()
    lines = optimizer.plan().splitlines()  # of several programs where the size of a matrix matters
    assert all(re.fullmatch(r"foreach  \d tensors?, \d+ numbers?, float32 meta", x) for x in lines)
