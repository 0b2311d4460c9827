"""Steps whose numbers live on the device: counted there, repeated by a graph, skipped by a loss scaler."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

import thalweg
from tests.engine.capturing import assert_alike, captured, composed, give, tensors_of
from tests.exact import RERUN, same
from tests.optim.cases import PRINTED_PROGRAMS, Case
from thalweg import optim
from thalweg.errors import EngineError

from .interpreter import assert_triton, interpreted
from .recorder import recording

pytestmark = interpreted

SHAPES = ((), (7,), (5, 3), (1037,), (0,))
NOTHING_IS_WRITTEN = "a step that is skipped writes nothing"

Build = Callable[..., torch.optim.Optimizer]


BUILDS: dict[str, Build] = {
    "Adam": optim.Adam,
    "NAdam": optim.NAdam,  # a scalar state
    "clipped Prodigy": composed,
    "Lion": optim.Lion,
}

EACH = [
    "Adam",
    *(pytest.param(name, marks=pytest.mark.full) for name in BUILDS if name != "Adam"),
]


def started(dtype: torch.dtype = torch.float64) -> list[Parameter]:
    return [Parameter(x) for x in drawn(0, dtype)]


def drawn(seed: int, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(s, generator=generator, dtype=torch.float64).to(dtype) for s in SHAPES]


def overwrite(params: Sequence[Parameter], grads: Sequence[Tensor]) -> None:
    for p, g in zip(params, grads, strict=True):
        assert p.grad is not None
        p.grad.copy_(g)


@pytest.mark.parametrize("name", EACH)
def test_steps_are_those_of_the_eager_engine(name: str) -> None:
    ends = []
    for options in ({"engine": "triton", "capturable": True}, {"engine": "eager"}):
        params = started()
        optimizer = BUILDS[name](params, **options)
        for k in range(4):
            give(params, drawn(k + 1))
            if k == 2:  # one is left out, and counts one step less
                params[2].grad = None
            optimizer.step()
        ends.append(optimizer)
    assert_triton(ends[0])
    assert_alike(*ends)
    steps = [float(ends[0].state[p]["step"]) for p in ends[0].param_groups[0]["params"]]
    same(steps, [4.0, 4.0, 3.0, 4.0, 4.0], because="they count steps")


@pytest.mark.parametrize("name", EACH)
def test_a_graph_repeats_a_step_that_counts(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """New gradients in the same memory, another learning rate, and steps of other gradients in between."""
    rate = torch.tensor(0.1, dtype=torch.float64)
    params = started()
    ours: Any = BUILDS[name](params, engine="triton", capturable=True)
    ours.param_groups[0]["lr"] = rate
    others = started()
    theirs = BUILDS[name](others, engine="eager")

    def expect(grads: list[Tensor]) -> None:
        theirs.param_groups[0]["lr"] = float(rate)
        give(others, grads)
        theirs.step()
        assert_alike(ours, theirs)

    give(params, drawn(1))
    ours.step()
    expect(drawn(1))
    give(params, drawn(2))
    graph = captured(ours, recording(monkeypatch))
    held = [p.grad for p in params]
    for k in range(3):
        for p, g in zip(params, held, strict=True):
            p.grad = g
        overwrite(params, drawn(10 + k))
        rate.fill_(0.1 / (k + 1))
        graph.replay()
        expect(drawn(10 + k))
        give(params, drawn(20 + k))
        ours.step()
        expect(drawn(20 + k))


@pytest.mark.full
def test_a_plain_number_in_a_graph_is_that_of_the_capture(monkeypatch: pytest.MonkeyPatch) -> None:
    @thalweg.rule
    def plain(g: Any) -> Any:
        return g

    params = started()
    optimizer = thalweg.Optimizer(params, plain, lr=1.0, engine="triton", capturable=True)
    give(params, drawn(1))
    optimizer.step()
    with recording(monkeypatch) as graph:
        optimizer.step()
    optimizer.param_groups[0]["lr"] = 100.0
    optimizer.step()
    before = [p.detach().clone() for p in params]
    graph.replay()
    for p, was in zip(params, before, strict=True):
        assert p.grad is not None
        same(p.detach(), was - p.grad, because="x − 1·g is rounded once, by both")


@pytest.mark.full
def test_a_step_waits_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    params = started()
    optimizer = composed(params, engine="triton", capturable=True)
    optimizer.param_groups[0]["lr"] = torch.tensor(1.0)
    for k in range(2):
        give(params, drawn(k))
        with recording(monkeypatch, captures=False) if k else torch.no_grad():
            optimizer.step()


@pytest.mark.parametrize("unscaled_before", [False, pytest.param(True, marks=pytest.mark.full)])
@pytest.mark.parametrize(
    "dtype", [torch.float32, pytest.param(torch.float64, marks=pytest.mark.full)], ids=str
)
@pytest.mark.parametrize("name", EACH)
def test_a_loss_scaler_leaves_its_scale_to_the_kernels(
    name: str, dtype: torch.dtype, unscaled_before: bool
) -> None:
    """An infinite gradient changes no number, and the steps are those of unscaled gradients."""
    params, others = started(dtype), started(dtype)
    ours = BUILDS[name](params, engine="triton", capturable=True)
    theirs = BUILDS[name](others, engine="eager")
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=2)
    scales = []
    for k in range(5):
        grads = drawn(k + 1, dtype)
        scale = scaler.scale(torch.ones(()))
        give(params, [g * scale for g in grads])
        if k in (0, 2):
            assert params[3].grad is not None
            params[3].grad[1000] = float("inf")
        else:
            give(others, grads)
            theirs.step()
        before = [x.clone() for x in tensors_of(ours)]
        if unscaled_before:
            scaler.unscale_(ours)
        scaler.step(ours)
        if k == 2:
            same(tensors_of(ours), before, because=NOTHING_IS_WRITTEN)
        scaler.update()
        scales.append(scaler.get_scale())
        if k:
            assert_alike(ours, theirs, 1e-12 if dtype == torch.float64 else 2e-6)
    assert scales == [512.0, 512.0, 256.0, 256.0, 512.0]
    assert_triton(ours)


@pytest.mark.full
def test_many_tensors_and_groups_take_several_launches(monkeypatch: pytest.MonkeyPatch) -> None:
    """More than a kernel has arguments for, and than one instance counts."""
    ends = []
    for engine in ("triton", "eager"):
        params = [Parameter(torch.full((2,), float(k), dtype=torch.float64)) for k in range(300)]
        groups = [{"params": params[k::30], "lr": 0.01 * (k + 1)} for k in range(30)]
        options: Any = {"capturable": True} if engine == "triton" else {}
        optimizer = optim.Adam(groups, engine=engine, **options)
        for k in range(2):
            give(params, [torch.full_like(p, 0.1 * n - k) for n, p in enumerate(params)])
            captures = engine == "triton" and k == 1
            with recording(monkeypatch) if captures else torch.no_grad():
                optimizer.step()
        ends.append(optimizer)
    assert_alike(*ends)


def test_a_scale_and_what_it_found_are_read_at_each_replay(monkeypatch: pytest.MonkeyPatch) -> None:
    params, others = started(), started()
    ours: Any = optim.Adam(params, engine="triton", capturable=True)
    theirs = optim.Adam(others, engine="eager")
    for p, o in ((params, ours), (others, theirs)):
        give(p, drawn(1))
        o.step()
    before = [x.clone() for x in tensors_of(ours)]
    ours.grad_scale, ours.found_inf = torch.tensor(8.0), torch.zeros(())
    with recording(monkeypatch) as graph:
        ours.step()
    for x, was in zip(tensors_of(ours), before, strict=True):
        x.copy_(was)
    for k, (scale, found) in enumerate([(4.0, 0.0), (2.0, 1.0), (16.0, 0.0)]):
        ours.grad_scale.fill_(scale)
        ours.found_inf.fill_(found)
        overwrite(params, [g * scale for g in drawn(k + 5)])
        graph.replay()
        if not found:
            give(others, drawn(k + 5))
            theirs.step()
        assert_alike(ours, theirs)


@pytest.mark.full
def test_a_copied_and_a_resumed_run_go_on_to_the_bit() -> None:
    params = started()
    optimizer = composed(params, engine="triton", capturable=True)
    for k in range(2):
        give(params, drawn(k))
        optimizer.step()
    saved = copy.deepcopy(optimizer.state_dict())
    again = [Parameter(p.detach().clone()) for p in params]
    resumed = composed(again, engine="triton", capturable=True)
    resumed.load_state_dict(saved)
    copied = pickle.loads(pickle.dumps(optimizer))
    runs = [optimizer, resumed, copied]
    for run in runs:
        give(run.param_groups[0]["params"], drawn(9))
        run.step()
    for run in runs[1:]:
        same(tensors_of(run), tensors_of(optimizer), because=RERUN)


def test_what_cannot_be_captured_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    params = started()
    give(params, drawn(1))
    unready = optim.Adam(params, engine="triton", capturable=True)
    with recording(monkeypatch), pytest.raises(EngineError, match="Step once before the capture"):
        unready.step()
    scheduled = optim.Adam(params, lr=lambda k: 0.1, engine="triton", capturable=True)
    scheduled.step()
    with recording(monkeypatch), pytest.raises(EngineError, match="is a schedule"):
        scheduled.step()
    on_host = optim.Adam(params, engine="triton")
    on_host.step()
    with recording(monkeypatch), pytest.raises(EngineError, match="capturable=True"):
        on_host.step()
    unready.step()
    params[1].data = params[1].detach().clone()
    with recording(monkeypatch), pytest.raises(EngineError, match="have moved"):
        unready.step()


def test_a_parameter_that_no_kernel_can_step_is_named() -> None:
    whole = torch.zeros(8)
    params = [Parameter(torch.zeros(3)), Parameter(whole[:6]), Parameter(whole[2:])]
    give(params, [torch.ones_like(p) for p in params])
    optimizer = optim.Adam(params, engine="triton", capturable=True)
    with pytest.raises(EngineError, match="parameter 1: memory that is shared"):
        optimizer.step()


@pytest.mark.full
@pytest.mark.parametrize("case", PRINTED_PROGRAMS, ids=[case.name for case in PRINTED_PROGRAMS])
def test_every_program_counts_on_the_device(case: Case) -> None:
    ends = []
    for engine in ("triton", "eager"):
        params = started()
        optimizer = case.ours(params, engine=engine)
        if engine == "triton":
            optimizer.defaults["capturable"] = True
        for k in range(3):
            give(params, drawn(k + 1))
            optimizer.step()
        ends.append(optimizer)
    assert_alike(*ends, 1e-10)
