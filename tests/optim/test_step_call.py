"""The call of `step`: closures, hooks, the profiler, gradient scaling, and torch's flags."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)
from torch.profiler import ProfilerActivity, profile

from tests.exact import is_same, same

from .cases import (
    OPTIMIZERS,
    PROGRAMS,
    TORCH_OPTIMIZERS,
    Case,
    each,
    each_engine,
    each_optimizer,
    each_program,
)
from .oracle import RECORDED, TOLERANCE
from .problem import (
    assert_moved,
    assert_same_path,
    follow,
    give_gradients,
    recorded,
    snapshot,
)

pytestmark = pytest.mark.sampled(6)

EXACT = TOLERANCE[torch.float64]
FLAGS = ("foreach", "fused", "capturable")


@each_engine
@each_program
def test_closures(case: Case, engine: str) -> None:
    p = Parameter(torch.tensor([1.0, -2.0], dtype=torch.float64))
    optimizer = case.ours([p], engine=engine)
    grad_enabled = []

    def closure() -> Tensor:
        grad_enabled.append(torch.is_grad_enabled())
        optimizer.zero_grad()
        loss = p.square().sum()
        loss.backward()
        return loss

    with torch.no_grad():
        losses = [optimizer.step(closure) for _ in range(3)]
    assert grad_enabled == [True] * 3
    assert losses[0].item() == 5.0
    assert losses[2] != losses[0]
    assert torch.is_grad_enabled()
    assert optimizer.step() is None

    q = Parameter(torch.tensor([1.0, -2.0], dtype=torch.float64))
    plain = case.ours([q], engine=engine)
    for _ in range(3):
        q.grad = 2.0 * q.detach()
        plain.step()
    q.grad = p.grad.clone()
    plain.step()
    same(p, q, because="the gradient of p² is exactly 2p")


@each_engine
@each_optimizer
def test_hooks_run_in_order(case: Case, engine: str) -> None:
    parameters = RECORDED.parameters()
    optimizer = case.ours(parameters, engine=engine)
    calls: list[tuple[str, bool]] = []

    def noting(name: str) -> Any:
        def hook(given: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            assert given is optimizer
            here = parameters[-1].detach()
            moved = not is_same(here, RECORDED.starts[-1], because="nothing wrote to it")
            calls.append((name, moved))

        return hook

    handles = [
        register_optimizer_step_pre_hook(noting("global pre")),
        register_optimizer_step_post_hook(noting("global post")),
        optimizer.register_step_pre_hook(noting("pre")),
        optimizer.register_step_post_hook(noting("post")),
    ]
    try:
        follow(RECORDED, parameters, optimizer, steps=1)
    finally:
        for handle in handles:
            handle.remove()
    assert calls == [("global pre", False), ("pre", False), ("post", True), ("global post", True)]
    follow(RECORDED, parameters, optimizer, steps=1)
    assert len(calls) == 4


@each_engine
@each_optimizer
def test_a_pre_hook_may_change_the_arguments(case: Case, engine: str) -> None:
    p = Parameter(torch.ones(3))
    p.grad = torch.ones(3)
    optimizer = case.ours([p], engine=engine)
    optimizer.register_step_pre_hook(lambda o, args, kwargs: ((o, lambda: 7.0), {}))
    assert optimizer.step() == 7.0
    wrong = case.ours([Parameter(torch.ones(3))], engine=engine)
    wrong.register_step_pre_hook(lambda o, args, kwargs: 3)
    with pytest.raises(RuntimeError, match=r"must return None or a tuple"):
        wrong.step()


@each_engine
@each_optimizer
def test_a_pre_hook_may_change_gradients(case: Case, engine: str) -> None:
    problem = recorded([(5,), (3, 4)])
    parameters = problem.parameters()
    halved = case.ours(parameters, engine=engine)

    def halve(optimizer: Optimizer, args: object, kwargs: object) -> None:
        for p in parameters:
            p.grad = 0.5 * p.grad

    halved.register_step_pre_hook(halve)
    actual = follow(problem, parameters, halved, steps=3)
    copies = problem.parameters()
    plain = case.ours(copies, engine=engine)
    expected = []
    for step in range(3):
        give_gradients(problem, step, copies)
        for p in copies:
            p.grad = 0.5 * p.grad
        plain.step()
        expected.append(snapshot(copies))
    assert_same_path(actual, expected, problem.starts, EXACT)


@each_engine
@each_optimizer
def test_state_dict_hooks_run(case: Case, engine: str) -> None:
    parameters = RECORDED.parameters()
    optimizer = case.ours(parameters, engine=engine)
    calls = []
    optimizer.register_state_dict_pre_hook(lambda o: calls.append("save"))
    optimizer.register_state_dict_post_hook(lambda o, saved: {**saved, "note": 1})
    optimizer.register_load_state_dict_pre_hook(lambda o, saved: calls.append("load"))
    optimizer.register_load_state_dict_post_hook(lambda o: calls.append("loaded"))
    saved = optimizer.state_dict()
    assert saved["note"] == 1
    optimizer.load_state_dict(saved)
    assert calls == ["save", "load", "loaded"]


@each_engine
@each_optimizer
def test_the_profiler_sees_the_step(case: Case, engine: str) -> None:
    parameters = RECORDED.parameters()
    optimizer = case.ours(parameters, engine=engine)
    follow(RECORDED, parameters, optimizer, steps=1)
    with profile(activities=[ProfilerActivity.CPU]) as record:
        follow(RECORDED, parameters, optimizer, steps=1)
        optimizer.zero_grad()
    names = {event.name for event in record.events()}
    assert f"Optimizer.step#{case.optimizer}.step" in names
    assert f"Optimizer.zero_grad#{case.optimizer}.zero_grad" in names


@pytest.mark.parametrize("fused", [False, True])
@each_engine
@each_optimizer
def test_gradient_scaling(case: Case, engine: str, fused: bool) -> None:
    """A scaled loss gives the unscaled path; an overflow skips the step."""
    fused = fused and "fused" in case.parameters
    flags = {"fused": True} if fused else {}
    start = torch.tensor([0.5, -2.0, 3.0])

    def loss(p: Tensor) -> Tensor:
        return (p.square() * torch.tensor([1.0, 2.0, 0.5])).sum()

    plain = Parameter(start.clone())
    optimizer = case.ours([plain], engine=engine)
    expected = []
    for _ in range(4):
        optimizer.zero_grad()
        loss(plain).backward()
        optimizer.step()
        expected.append(snapshot([plain]))

    scaled = Parameter(start.clone())
    optimizer = case.ours([scaled], engine=engine, **flags)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    actual = []
    for step in range(5):
        optimizer.zero_grad()
        scaler.scale(loss(scaled)).backward()
        if step == 2:
            scaled.grad[1] = float("inf")
        scaler.step(optimizer)
        scaler.update()
        actual.append(snapshot([scaled]))
    assert scaler.get_scale() == 512.0
    same(
        actual[1][0], actual[2][0], because="nothing wrote to it"
    )  # an overflow must skip the step
    assert optimizer.state[scaled]["step"] == 4
    del actual[2]
    assert_same_path(actual, expected, [start.double()], TOLERANCE[torch.float32])


@pytest.mark.parametrize("flag", FLAGS)
@pytest.mark.parametrize("value", [True, False])
@each_optimizer
def test_flags_of_torchs_implementations_change_nothing(case: Case, flag: str, value: bool) -> None:
    if flag not in case.parameters:
        with pytest.raises(TypeError, match=flag):
            case.ours(RECORDED.parameters(), **{flag: value})
        return
    if flag == "capturable" and value and not hasattr(torch.optim, case.optimizer):
        with pytest.raises(ValueError, match="capturable=True needs engine='foreach'"):
            case.ours(RECORDED.parameters(), capturable=True)
        return
    parameters = RECORDED.parameters()
    expected = follow(RECORDED, parameters, case.ours(parameters), steps=4)
    parameters = RECORDED.parameters()
    actual = follow(RECORDED, parameters, case.ours(parameters, **{flag: value}), steps=4)
    assert_same_path(actual, expected, RECORDED.starts, EXACT)


@each([case for case in PROGRAMS if "differentiable" in case.parameters])
def test_differentiable_steps(case: Case) -> None:
    """Autograd passes through two steps, to the parameters before them and to both gradients."""
    generator = torch.Generator().manual_seed(7)
    inputs = [0.5 + torch.rand(3, generator=generator, dtype=torch.float64) for _ in range(3)]

    def steps(start: Tensor, *gradients: Tensor) -> Tensor:
        p = start.clone()
        optimizer = case.ours([p], differentiable=True)
        for g in gradients:
            p.grad = g
            optimizer.step()
        return p

    torch.autograd.gradcheck(steps, [x.requires_grad_() for x in inputs], atol=1e-6, rtol=1e-4)
    assert_moved([steps(*inputs).detach()], [inputs[0].detach()])


@each([Case(name) for name in TORCH_OPTIMIZERS])
def test_signatures_extend_torchs(case: Case) -> None:
    """Every argument of torch, in its place and with its default; ours come last, by keyword."""
    from thalweg import optim

    theirs = inspect.signature(getattr(torch.optim, case.optimizer)).parameters
    ours = inspect.signature(getattr(optim, case.optimizer)).parameters
    assert list(ours)[: len(theirs)] == list(theirs)
    for name, parameter in theirs.items():
        assert ours[name].default == parameter.default, name
        assert ours[name].kind == parameter.kind, name
    extra = set(ours) - set(theirs)
    own = getattr(optim, case.optimizer).extra
    added = {"dialect", "decay", "before", "after", "engine", "state_dtype", "rounding"}
    assert extra == {*added, *own}
    assert all(ours[name].kind is inspect.Parameter.KEYWORD_ONLY for name in extra)


@each([Case(name) for name in OPTIMIZERS])
def test_signatures_of_our_own(case: Case) -> None:
    """Where a number, then where it decays; what chooses is by keyword alone."""
    names = list(case.parameters)
    assert names[:2] == ["params", "lr"]
    assert case.parameters["lr"].default is not inspect.Parameter.empty
    assert "weight_decay" in names or case.optimizer == "Rprop"
    for name in ("maximize", "decay", "dialect", "before", "after", "engine"):
        if name in names and not hasattr(torch.optim, case.optimizer):
            assert case.parameters[name].kind is inspect.Parameter.KEYWORD_ONLY
    assert {"maximize", "decay", "before", "after", "engine"} <= set(names)


@each([Case("Adam"), Case("SGD"), Case("RMSprop")])
def test_a_misspelt_choice_is_refused(case: Case) -> None:
    p = [Parameter(torch.zeros(1))]
    with pytest.raises(Exception, match="papr") as caught:
        case.ours(p, dialect="papr")
    assert "paper" in str(caught.value)
    with pytest.raises(Exception, match="fast") as caught:
        case.ours(p, engine="fast")
    assert "fused" in str(caught.value)
