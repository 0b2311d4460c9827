"""Batches in Triton's interpreter: mixtures of tensors, reductions over all, noise, states, memory."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

import thalweg
from tests.exact import RERUN, same
from thalweg import optim, rules
from thalweg.errors import EngineError

from .interpreter import assert_triton, interpreted

pytestmark = interpreted

SHAPES = ((), (7,), (5, 3), (1037,), (0,), (2, 1024))
CLOSE = {torch.float64: 1e-12, torch.float32: 2e-6, torch.bfloat16: 2.0**-6, torch.float16: 2.0**-9}


def drawn(shapes: Sequence[tuple[int, ...]], seed: int, dtype: torch.dtype) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(s, generator=generator, dtype=torch.float64).to(dtype) for s in shapes]


def walked(
    engine: str, chain: Any, params: list[Parameter], steps: int = 3, **options: Any
) -> torch.optim.Optimizer:
    optimizer = thalweg.Optimizer(params, chain, lr=0.1, engine=engine, **options)
    for k in range(steps):
        for n, p in enumerate(params):
            (p.grad,) = drawn([tuple(p.shape)], 100 * k + n, p.dtype)
        optimizer.step()
    return optimizer


def both(
    chain: Any, dtypes: Sequence[torch.dtype], shapes: Sequence[tuple[int, ...]] = SHAPES
) -> torch.optim.Optimizer:
    """Compare the engines after some steps; parameters take turns with the dtypes."""
    ends = []
    for engine in ("triton", "eager"):
        params = [
            Parameter(drawn([shape], k, dtypes[k % len(dtypes)])[0])
            for k, shape in enumerate(shapes)
        ]
        optimizer = walked(engine, chain, params)
        ends.append((params, optimizer))
    (ours, printed), (theirs, eager) = ends
    assert_triton(printed)
    for p, q in zip(ours, theirs, strict=True):
        # a sum over all tensors is as rough as the roughest of them, which are summed in float32
        tolerance = max(CLOSE[q.dtype], *(min(CLOSE[d], 2e-6) for d in dtypes))
        torch.testing.assert_close(p, q, rtol=tolerance, atol=tolerance)
        for name, value in eager.state[q].items():
            mine = printed.state[p][name]
            torch.testing.assert_close(mine, value, rtol=tolerance, atol=tolerance)
    return printed


def test_a_norm_over_all_tensors_of_every_dtype() -> None:
    chain = thalweg.chain(rules.clip_by_global_norm(0.5), rules.adam())
    plan = both(chain, [torch.float64, torch.float32, torch.bfloat16, torch.float16])
    assert len(plan.plan().splitlines()) == 4


def test_reductions_of_tensors_units_and_all_together() -> None:
    @thalweg.rule
    def scaled(g, p, *, eps=1e-8):
        own, unit = thalweg.norm(p), thalweg.norm(g, scope="unit")
        most = thalweg.largest(torch.abs(g), scope="all")
        return g * (own / (unit + eps)) / most + thalweg.mean(g) * thalweg.dimensions(p)

    both(thalweg.chain(scaled), [torch.float64, torch.float32])


def test_the_largest_of_numbers_with_a_nan_is_a_nan() -> None:
    @thalweg.rule
    def most(g, kept, of_all):
        return 0 * g, thalweg.largest(g), thalweg.largest(g, scope="all")

    params = [Parameter(torch.zeros(shape)) for shape in ((5,), (1500,), ())]
    for p in params:
        p.grad = -torch.ones_like(p)
    params[1].grad[1400] = float("nan")  # type: ignore[index]
    optimizer = thalweg.Optimizer(params, most, lr=0.0, engine="triton")
    optimizer.step()
    kept = [optimizer.state[p]["kept"].flatten()[0] for p in params]
    same([x.isnan() for x in kept], [torch.tensor(k == 1) for k in range(3)], because=RERUN)
    assert all(optimizer.state[p]["of_all"].isnan().all() for p in params)


@pytest.mark.parametrize("seed", [3, -7, 2**40])
def test_noise_is_that_of_the_other_engines(seed: int) -> None:
    @thalweg.rule
    def noisy(g, z, w, *, t, seed=0):
        return g, thalweg.engine.noise(g, seed, t), thalweg.engine.noise(g, seed, t)

    both(thalweg.chain(noisy(seed=seed)), [torch.float64, torch.float32])


def test_a_constant_of_minus_zero_keeps_its_sign() -> None:
    @thalweg.rule
    def signed(g: Any, kept: Any) -> Any:
        return g, torch.where(kept > 5.0, g, -0.0)

    p = Parameter(torch.ones(3))
    optimizer = walked("triton", signed(), [p], steps=1)
    assert torch.signbit(optimizer.state[p]["kept"]).all()


def test_numbers_that_reductions_feed_are_kept() -> None:
    optimizer = both(thalweg.chain(rules.prodigy()), [torch.float64])
    d = {float(optimizer.state[p]["d"]) for g in optimizer.param_groups for p in g["params"]}
    assert len(d) == 1


def test_groups_have_rows_of_their_own() -> None:
    ends = []
    for engine in ("triton", "eager"):
        params = [Parameter(x) for x in drawn(((4,), (1030,), (3, 2)), 0, torch.float64)]
        groups = [{"params": [p], "lr": 0.1 * (k + 1)} for k, p in enumerate(params)]
        optimizer = optim.Adam(groups, engine=engine)
        for step in range(4):
            for k, p in enumerate(params):
                p.grad = None if (step, k) == (1, 2) else torch.full_like(p, step - k + 0.5)
            optimizer.step()
        ends.append([p.detach() for p in params])
    torch.testing.assert_close(*ends, rtol=1e-12, atol=1e-12)


def test_other_orders_of_memory_and_kinds_of_gradients() -> None:
    ends = []
    for engine in ("triton", "eager"):
        filters = drawn([(4, 3, 2, 2)], 0, torch.float32)[0].to(memory_format=torch.channels_last)
        turned = drawn([(6, 5)], 1, torch.float32)[0].t()
        spoken = torch.complex(*drawn([(33,), (33,)], 2, torch.float32))
        params = [Parameter(x) for x in (filters, turned, spoken, torch.ones(40, 3))]
        optimizer = optim.Adam(params[:3], engine=engine)
        sparse = optim.SGD(params[3:], lr=0.1, engine=engine)
        for k in range(3):
            params[0].grad = drawn([(4, 3, 2, 2)], k, torch.float32)[0]
            params[1].grad = drawn([(5, 6)], k, torch.float32)[0]
            params[2].grad = torch.complex(*drawn([(33,), (33,)], k + 7, torch.float32)).conj()
            places = torch.tensor([[1, 5, 39]])
            rows = drawn([(3, 3)], k, torch.float32)[0]
            params[3].grad = torch.sparse_coo_tensor(places, rows, (40, 3), check_invariants=True)
            optimizer.step()
            sparse.step()
        ends.append([p.detach() for p in params])
        if engine == "triton":
            assert_triton(optimizer)
            assert_triton(sparse)
    torch.testing.assert_close(*ends, rtol=2e-6, atol=2e-6)


def test_a_copied_run_goes_on_to_the_bit() -> None:
    chain = thalweg.chain(rules.clip_by_norm(1.0), rules.adam())
    params = [Parameter(x) for x in drawn(SHAPES, 0, torch.float32)]
    optimizer = walked("triton", chain, params, steps=2)
    saved = copy.deepcopy(optimizer.state_dict())
    others = [Parameter(p.detach().clone()) for p in params]
    resumed = thalweg.Optimizer(others, chain, lr=0.1, engine="triton")
    resumed.load_state_dict(saved)
    for k, (p, q) in enumerate(zip(params, others, strict=True)):
        p.grad = drawn([tuple(p.shape)], k, torch.float32)[0]
        q.grad = p.grad.clone()
    optimizer.step()
    resumed.step()
    same([p.detach() for p in others], [p.detach() for p in params], because=RERUN)


def test_memory_that_is_gone_is_named_before_anything_is_written() -> None:
    params = [Parameter(torch.ones(4)), Parameter(torch.ones(1200))]
    optimizer = walked("triton", rules.adam(), params, steps=1)
    before = params[0].detach().clone()
    assert params[1].grad is not None
    params[1].grad.untyped_storage().resize_(8)
    with pytest.raises(EngineError, match="the gradient of parameter 1"):
        optimizer.step()
    params[1].grad = torch.ones(1200)
    optimizer.state[params[1]]["m"].untyped_storage().resize_(8)
    with pytest.raises(EngineError, match="the state 'm' of parameter 1"):
        optimizer.step()
    same(params[0].detach(), before, because="nothing was written")


def test_a_step_counts_versions_and_moves_with_its_tensors() -> None:
    p = Parameter(torch.ones(1030))
    optimizer = walked("triton", rules.adam(), [p], steps=1)
    version = p._version
    loss = (p * p).sum()
    optimizer.step()
    assert p._version > version
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()
    elsewhere = torch.full((1030,), 2.0)
    p.data = elsewhere
    optimizer.state[p]["m"] = optimizer.state[p]["m"].clone()
    p.grad = torch.ones(1030)
    optimizer.step()
    assert elsewhere.data_ptr() == p.data_ptr()
    assert (p != 2.0).all()


def test_no_buffer_is_made_after_the_first_step() -> None:
    """Tables and partial results belong to the plan; a step makes tensors of one number at the most."""
    chain = thalweg.chain(rules.clip_by_norm(1.0), rules.adam())
    params = [Parameter(x) for x in drawn(SHAPES, 0, torch.float32)]
    optimizer: Any = walked("triton", chain, params, steps=1)
    (planned,) = optimizer._current.plan._planned
    batch = planned.batch
    before = {k: v.data_ptr() for k, v in vars(batch).items() if isinstance(v, Tensor)}
    assert len(before) >= 5
    for p in params:
        p.grad = torch.ones_like(p)
    optimizer.step()
    assert before == {k: v.data_ptr() for k, v in vars(batch).items() if isinstance(v, Tensor)}
    assert batch._pointers[:, 0].tolist() == [p.grad.data_ptr() for p in params]
