"""Matrix values on stacks of any composition, between fused passes and over lists: the same as eagerly."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import Parameter

import thalweg
from tests.engine.kinds import DOUBLE, draw
from tests.exact import RERUN, same
from thalweg import EachRow, rule
from thalweg.engine import mean_of_rows
from thalweg.engine.cpu import stacks
from thalweg.engine.program.reductions import columns, rows

from .made import BY_NUMPY, factored, nearest, polar, roots

SIZES = st.lists(
    st.sampled_from([(2, 3), (3, 2), (2, 3, 2), (1, 5), (4,), (), (3, 3)]), min_size=1, max_size=6
)
BOUND: dict[torch.dtype, dict[str, Any]] = {
    # a stack is summed in another order than a matrix alone; roots of matrices magnify it
    DOUBLE: {"rtol": 1e-9, "atol": 1e-10},
    torch.float32: {"rtol": 2e-3, "atol": 2e-3},
}


def steps(
    made: Any, engine: Any, start: list[Tensor], lrs: list[float], count: int = 3
) -> tuple[list[Tensor], thalweg.Optimizer]:
    """Step parameters in groups of their own learning rate."""
    params = [Parameter(p.clone()) for p in start]
    groups = [
        {"params": [p for p, own in zip(params, lrs, strict=True) if own == lr], "lr": lr}
        for lr in dict.fromkeys(lrs)
    ]
    optimizer = thalweg.Optimizer(groups, made, lr=1.0, engine=engine)
    for step in range(count):
        for k, p in enumerate(params):
            p.grad = draw(*p.shape, seed=1000 + 10 * step + k, dtype=p.dtype)
        optimizer.step()
    return [p.detach() for p in params], optimizer


@settings(deadline=None, max_examples=10, suppress_health_check=[HealthCheck.too_slow])
@given(
    sizes=SIZES,
    made=st.sampled_from(list(BY_NUMPY)),
    dtype=st.sampled_from([DOUBLE, torch.float32]),
    seed=st.integers(0, 99),
)
def test_stacks_are_eager(
    sizes: list[tuple[int, ...]], made: Any, dtype: torch.dtype, seed: int
) -> None:
    start = [draw(*s, seed=seed + k, dtype=dtype) for k, s in enumerate(sizes)]
    lrs = [0.1 if k % 2 else 0.01 for k in range(len(sizes))]
    eager, _ = steps(made, "eager", start, lrs)
    for engine in ("fused", "foreach"):
        stacked, optimizer = steps(made, engine, start, lrs)
        assert optimizer.plan().startswith(engine)
        for a, b in zip(stacked, eager, strict=True):
            torch.testing.assert_close(a, b, **BOUND[dtype])


@pytest.mark.parametrize("engine", ["fused", "foreach"])
def test_half_precision_parameters_are_stacked(engine: Any) -> None:
    start = [draw(4, 3, dtype=torch.bfloat16), draw(4, 3, seed=1, dtype=torch.bfloat16)]
    fused, optimizer = steps(roots, engine, start, [0.1, 0.1])
    eager, _ = steps(roots, "eager", start, [0.1, 0.1])
    assert "bfloat16" in optimizer.plan()
    for a, b in zip(fused, eager, strict=True):  # a unit of bfloat16 at |p| < 4
        torch.testing.assert_close(a, b, rtol=0.0, atol=2.0**-6)


def test_a_stack_has_the_numbers_of_each_group() -> None:
    """Matrix functions read a hyperparameter that differs between groups: they are called once for each."""
    sizes: list[tuple[int, ...]] = []

    @thalweg.matrix_function
    def scaled(x: Any, factor: Any) -> Any:
        sizes.append(tuple(x.shape))
        return factor * x

    @rule
    def by(g: Any, *, factor: float = 1.0) -> Any:
        return scaled(g, factor)

    params = [Parameter(torch.zeros(2, 3)) for _ in range(4)]
    groups = [
        {"params": [p], "factor": f} for p, f in zip(params, (1.0, 2.0, 2.0, 3.0), strict=True)
    ]
    optimizer = thalweg.Optimizer(groups, by, lr=1.0, engine="fused")
    for p in params:
        p.grad = torch.ones(2, 3)
    optimizer.step()
    assert [float(p[0, 0].detach()) for p in params] == [-1.0, -2.0, -2.0, -3.0]
    assert sizes == [(1, 2, 3), (2, 2, 3), (1, 2, 3)]


def test_large_stacks_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    start = [draw(3, 2, seed=k) for k in range(5)]
    whole, _ = steps(roots, "fused", start, [0.1] * 5)
    monkeypatch.setattr(stacks, "MOST", 13)  # two matrices
    cut, _ = steps(roots, "fused", start, [0.1] * 5)
    for a, b in zip(cut, whole, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("engine", ["fused", "foreach"])
def test_a_function_may_return_what_it_was_given(engine: Any) -> None:
    """A result in the memory of a buffer is kept apart: the buffer is used again."""

    @thalweg.matrix_function(result="transposed")
    def turned(x: Any) -> Any:
        return x.mT

    @thalweg.matrix_function
    def itself(x: Any) -> Any:
        return x

    @rule
    def both(g: Any, p: Any) -> Any:
        first = itself(g)
        return 2.0 * itself(first + p) + first + turned(turned(g))

    start = [draw(3, 2, seed=k) for k in range(2)]
    fused, _ = steps(both, engine, start, [0.1, 0.1])
    eager, _ = steps(both, "eager", start, [0.1, 0.1])
    for a, b in zip(fused, eager, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("engine", ["eager", "fused", "foreach"])
def test_sizes_numbers_and_reductions_meet_matrix_values(engine: Any) -> None:
    """Rows, columns, reductions over tensors and units, and numbers of rows beside a matrix function."""

    @rule
    def mixed(g: Any, p: Any, r: EachRow, *, t: Any, beta: float = 0.5) -> Any:
        r = torch.where(t > 1, beta * r, 0.0) + thalweg.norm(g) * mean_of_rows(g)
        whole = polar(g) * (rows(g) / columns(g)) + thalweg.mean(g, scope="unit")
        return whole * r / (1.0 + thalweg.largest(r) ** 2), r

    start = [draw(3, 2, seed=k) for k in range(3)]
    got, _ = steps(mixed, engine, start, [0.1] * 3, count=2)
    for k, p in enumerate(start):
        r = torch.zeros(3, 1, dtype=DOUBLE)
        for step in range(2):
            g = draw(3, 2, seed=1000 + 10 * step + k)
            r = (0.5 * r if step else 0.0) + g.norm() * g.mean(1, keepdim=True)
            u, _, v = torch.linalg.svd(g, full_matrices=False)
            whole = (u @ v) * 1.5 + g.mean(1, keepdim=True)
            p = p - 0.1 * whole * r / (1 + r.max() ** 2)
        torch.testing.assert_close(got[k], p, rtol=1e-10, atol=1e-12)


def test_matrices_in_another_order_in_memory_are_not_fused() -> None:
    p = Parameter(draw(3, 4).t())
    p.grad = draw(4, 3)
    optimizer = thalweg.Optimizer([p], nearest, lr=0.1)
    optimizer.step()
    assert optimizer.plan().startswith("foreach")
    assert "not fused: a matrix in another order in memory" in optimizer.plan()


def test_an_engine_without_matrices_says_so() -> None:
    p = Parameter(draw(3, 4))
    p.grad = draw(3, 4)
    with pytest.raises(thalweg.EngineError, match=r"matrix functions|triton"):
        thalweg.Optimizer([p], nearest, lr=0.1, engine="triton").step()


def test_a_step_repeats_to_the_bit_and_keeps_its_buffers() -> None:
    start = [draw(3, 2, seed=k, dtype=torch.float32) for k in range(3)]
    once, _ = steps(factored, "fused", start, [0.1] * 3)
    again, _ = steps(factored, "fused", start, [0.1] * 3)
    same(once, again, because=RERUN)


def test_what_reduces_over_all_computes_no_matrix_twice() -> None:
    """A clip of the whole update after a matrix function: the function is called once for each stack."""
    sizes: list[tuple[int, ...]] = []

    @thalweg.matrix_function
    def doubled(x: Any) -> Any:
        sizes.append(tuple(x.shape))
        return 2.0 * x

    @rule
    def by(g: Any) -> Any:
        return doubled(doubled(g))

    made = thalweg.chain(by(), thalweg.rules.clip_by_global_norm(1.0))
    start = [draw(3, 2, seed=k) for k in range(2)]
    listed, _ = steps(made, "foreach", start, [0.1, 0.1], count=1)
    assert sizes == [(2, 3, 2)] * 2
    eager, _ = steps(made, "eager", start, [0.1, 0.1], count=1)
    for a, b in zip(listed, eager, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-14, atol=0.0)


def test_a_state_of_another_shape_may_be_replaced() -> None:
    """The next step takes the new one; one of another size is refused."""
    ends = []
    for engine in ("eager", "foreach"):
        p = Parameter(draw(3, 2))
        optimizer = thalweg.Optimizer([p], factored, lr=0.1, engine=engine)
        for step in range(3):
            p.grad = draw(3, 2, seed=step)
            optimizer.step()
            optimizer.state[p]["r"] = 2.0 * optimizer.state[p]["r"]
        ends.append(p.detach())
        optimizer.state[p]["r"] = torch.zeros(4, 1, dtype=DOUBLE)
        with pytest.raises(thalweg.EngineError, match=r"'r'.*shape \(4, 1\), not \(3, 1\)"):
            optimizer.step()
    torch.testing.assert_close(ends[1], ends[0], rtol=1e-12, atol=0.0)
