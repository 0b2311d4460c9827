"""The compiled kernels on a GPU, beside the eager engine on the CPU; `benchmarks/gpu.py` runs these there.

Where there is no GPU they are skipped; the interpreter can run those that ask nothing of CUDA itself.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

import thalweg
from tests.exact import RERUN, same
from tests.optim.cases import PRINTED_RICHEST, Case
from tests.optim.cases import each as each_of
from tests.optim.problem import Problem, assert_same_path, recorded
from thalweg import optim, rules
from thalweg.errors import EngineError

from .interpreter import HAS_TRITON, IS_ASKED, assert_triton

HAS_GPU = torch.cuda.is_available() and HAS_TRITON
pytestmark = pytest.mark.skipif(
    not (HAS_GPU or (HAS_TRITON and IS_ASKED)),
    reason="needs a GPU with Triton, or Triton's interpreter",
)
on_cuda = pytest.mark.skipif(not HAS_GPU, reason="needs a GPU")
DEVICE = "cuda" if HAS_GPU and not IS_ASKED else "cpu"

# Functions of a GPU and of a processor differ by an ulp or two, sums by their order.
TOLERANCE = {torch.float64: 4e-12, torch.float32: 4e-6}
RECORDED = recorded(((), (7,), (5, 3), (2600,), (0,), (33, 64)), steps=7, seed=12)
FEW = [case for case in PRINTED_RICHEST if case.optimizer in ("Adam", "LAMB", "Prodigy")]


def path(
    case: Case, problem: Problem, dtype: torch.dtype, device: str, engine: str
) -> list[list[Tensor]]:
    params = [Parameter(x.to(device, dtype, copy=True)) for x in problem.starts]
    optimizer = case.ours(params, engine=engine)
    found = []
    for step in range(problem.steps):
        for p, g in zip(params, problem.gradient(step, params), strict=True):
            p.grad = g.to(device, dtype, copy=True)
        optimizer.step()
        found.append([p.detach().cpu().double() for p in params])
    if engine == "triton":
        assert_triton(optimizer)
    return found


def compare(case: Case, dtype: torch.dtype) -> None:
    actual = path(case, RECORDED, dtype, DEVICE, "triton")
    expected = path(case, RECORDED, dtype, "cpu", "eager")
    strays = 0.005 if case.jumps or case.decays_cautiously else 0.0
    assert_same_path(actual, expected, RECORDED.starts, TOLERANCE[dtype], strays)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@each_of(FEW)
def test_a_few(case: Case, dtype: torch.dtype) -> None:
    compare(case, dtype)


@pytest.mark.full
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@each_of(PRINTED_RICHEST)
def test_every_optimizer(case: Case, dtype: torch.dtype) -> None:
    compare(case, dtype)


@on_cuda
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half_precision_is_rounded_as_by_the_eager_engine_on_the_gpu(dtype: torch.dtype) -> None:
    ends = []
    for engine in ("triton", "eager"):
        draws = torch.Generator("cuda").manual_seed(0)
        p = Parameter(torch.randn(5000, generator=draws, device="cuda", dtype=dtype))
        optimizer = optim.SGD([p], lr=0.1, momentum=0.9, engine=engine)
        for _ in range(3):
            p.grad = torch.randn(5000, generator=draws, device="cuda", dtype=dtype)
            optimizer.step()
        ends.append(p.detach())
    same(*ends, because="both round each operation by itself, and the result once")


def stepped(optimizer: torch.optim.Optimizer, params: Sequence[Parameter], steps: int) -> None:
    draws = torch.Generator(DEVICE).manual_seed(0)
    for _ in range(steps):
        for p in params:
            p.grad = torch.randn(p.shape, generator=draws, device=DEVICE, dtype=p.dtype)
        optimizer.step()


SHAPES = ((300, 70), (70,), (), (20_000,))


def test_a_few_steps_repeated_are_the_same_to_the_bit() -> None:
    ends = []
    for _ in range(3):
        params = [Parameter(torch.ones(s, device=DEVICE)) for s in SHAPES[:2]]
        chain = thalweg.chain(rules.clip_by_global_norm(1.0), rules.adam())
        stepped(thalweg.Optimizer(params, chain, lr=0.1, engine="triton"), params, 3)
        ends.append([p.detach().cpu() for p in params])
    same(ends[1:], ends[:1] * 2, because=RERUN)


@on_cuda
@pytest.mark.parametrize("name", ["Adam", "LAMB", "Lion", "SGLD"])
def test_the_host_never_waits(name: str) -> None:
    params = [Parameter(torch.ones(s, device="cuda")) for s in SHAPES]
    optimizer = getattr(optim, name)(params, engine="triton")
    stepped(optimizer, params, 2)
    torch.cuda.set_sync_debug_mode("error")
    try:
        stepped(optimizer, params, 3)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@on_cuda
def test_a_norm_over_tensors_on_the_gpu_and_on_the_cpu() -> None:
    params = [Parameter(torch.ones(1000, device="cuda")), Parameter(torch.ones(24))]
    chain = thalweg.chain(rules.clip_by_global_norm(1.0))
    optimizer = thalweg.Optimizer(params, chain, lr=1.0)
    for p in params:
        p.grad = torch.ones_like(p)
    optimizer.step()
    plan = optimizer.plan()
    assert "foreach  1 tensor" in plan  # "auto" leaves GPUs to it
    for p in params:
        torch.testing.assert_close(p.detach().cpu(), torch.full(p.shape, 1 - 1 / 32))


@on_cuda
def test_a_step_within_the_capture_of_a_graph_is_refused() -> None:
    p = Parameter(torch.ones(8, device="cuda"))
    optimizer = optim.Adam([p], engine="triton")
    p.grad = torch.ones_like(p)
    optimizer.step()
    with pytest.raises(EngineError, match="captured"), torch.cuda.graph(torch.cuda.CUDAGraph()):
        optimizer.step()


@on_cuda
@pytest.mark.parametrize("name", ["Adam", "NAdam"])
def test_a_captured_step_counts_at_each_replay(name: str) -> None:
    """Gradients lie where the capture put them; the learning rate is read at each replay."""
    ends = []
    for captured in (True, False):
        rate = torch.tensor(0.1, dtype=torch.float64, device="cuda")
        params = [Parameter(torch.ones(s, device="cuda")) for s in SHAPES]
        optimizer = getattr(optim, name)(params, lr=rate, capturable=True, engine="triton")
        inputs = [torch.ones_like(p) for p in params]

        def whole(params: Sequence[Parameter] = params, inputs: Sequence[Tensor] = inputs) -> None:
            for p in params:
                p.grad = None
            sum((p * p * x).sum() for p, x in zip(params, inputs, strict=True)).backward()

        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            whole()
            optimizer.step()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        if captured:
            with torch.cuda.graph(graph):
                whole()
                optimizer.step()
        for k in range(4):
            rate.fill_(0.1 / (k + 1))
            for x in inputs:
                x.fill_(k - 1.5)
            if captured:
                graph.replay()
            else:
                whole()
                optimizer.step()
        assert [float(optimizer.state[p]["step"]) for p in params] == [5.0] * len(params)
        ends.append([p.detach().cpu() for p in params])
    same(*ends, because="the same kernels on the same numbers")


@on_cuda
def test_a_loss_scaler_on_the_gpu_waits_for_nothing() -> None:
    params = [Parameter(torch.ones(s, device="cuda")) for s in SHAPES]
    optimizer = optim.Adam(params, lr=0.1, capturable=True, engine="triton")
    scaler = torch.amp.GradScaler("cuda", init_scale=1024.0)
    for k in range(4):
        scaler.scale(sum((p * p).sum() for p in params)).backward()
        if k == 1:
            assert params[0].grad is not None
            params[0].grad[0, 0] = float("inf")
        torch.cuda.set_sync_debug_mode("error" if k > 1 else "default")
        try:
            scaler.step(optimizer)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        scaler.update()
        optimizer.zero_grad()
    assert [float(optimizer.state[p]["step"]) for p in params] == [3.0] * len(params)
    assert scaler.get_scale() == 512.0


@on_cuda
def test_memory_of_a_step_is_that_of_its_states() -> None:
    """Tables and partial results are made with the plan, and are small."""
    params = [Parameter(torch.ones(4_000_000, device="cuda"))]
    params[0].grad = torch.ones_like(params[0])
    optimizer = optim.Adam(params, engine="triton")
    before = torch.cuda.memory_allocated()
    optimizer.step()
    after = torch.cuda.memory_allocated()
    assert after - before <= 1.02 * 2 * params[0].nbytes
    torch.cuda.reset_peak_memory_stats()
    optimizer.step()
    assert torch.cuda.max_memory_allocated() <= after + 4096
