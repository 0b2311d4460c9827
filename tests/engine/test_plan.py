"""Plans are reused while nothing changes, keep nothing alive, and never read memory that is not theirs."""

from __future__ import annotations

import gc
import itertools
import weakref
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

import thalweg
from tests.exact import same
from thalweg import rules
from thalweg.engine import compilations
from thalweg.optim.stepping.stepper import KEPT_PLANS

each_engine = pytest.mark.parametrize("engine", ["eager", "auto"])


def ones(*sizes: int) -> list[Parameter]:
    return [Parameter(torch.ones(n)) for n in sizes]


def heavy(params: Any, engine: str, lr: float = 0.5) -> thalweg.Optimizer:
    return thalweg.Optimizer(params, rules.momentum(0.5), lr=lr, engine=engine)


@each_engine
def test_plans_of_alternating_gradients_are_reused(engine: str) -> None:
    """Two patterns of gradients take two plans, however often they alternate."""
    params = ones(3, 4)
    optimizer = thalweg.Optimizer(params, rules.descend, lr=1.0, engine=engine)
    plans: list[Any] = []
    for turn in range(12):
        for p, present in zip(params, (True, turn % 2 == 0), strict=True):
            p.grad = torch.ones_like(p) if present else None
        optimizer.step()
        plans.append(optimizer._current)
        if turn == 1:
            compiled = compilations()
    assert compilations() == compiled
    assert len(set(map(id, plans))) <= 3  # the first step makes states, and so a plan of its own
    assert len(optimizer._plans) <= 3
    torch.testing.assert_close(params[0].detach(), torch.full((3,), -11.0))
    torch.testing.assert_close(params[1].detach(), torch.full((4,), -5.0))


@each_engine
def test_the_number_of_plans_is_bounded(engine: str) -> None:
    """Every pattern of five gradients, twice: the numbers stay right, plans do not pile up."""
    params = ones(1, 2, 3, 4, 5)
    optimizer = heavy(params, engine)
    expected = [(1.0, 0.0)] * 5
    for pattern in [*itertools.product((True, False), repeat=5)] * 2:
        for k, (p, present) in enumerate(zip(params, pattern, strict=True)):
            p.grad = torch.full_like(p, k + 1.0) if present else None
            if present:
                w, b = expected[k]
                # the first step of each parameter starts its velocity
                b = 0.5 * b + k + 1.0
                expected[k] = (w - 0.5 * b, b)
        optimizer.step()
        assert len(optimizer._plans) <= KEPT_PLANS
    for p, (w, b) in zip(params, expected, strict=True):
        torch.testing.assert_close(p.detach(), torch.full_like(p, w))
        torch.testing.assert_close(optimizer.state[p]["b"], torch.full_like(p, b))
        assert optimizer.state[p]["step"] == 32


def test_what_a_plan_says_of_itself() -> None:
    params = [
        Parameter(torch.ones(1000)),
        Parameter(torch.ones(20, 12)),
        Parameter(torch.ones(2, dtype=torch.float64)),
        Parameter(torch.ones(4, 4, dtype=torch.float16)),
    ]
    optimizer = thalweg.Optimizer(params, rules.clip_by_norm(1.0), lr=0.1)
    assert optimizer.plan() == "no step yet"
    for p in params:
        p.grad = torch.ones_like(p)
    optimizer.step()
    assert optimizer.plan().splitlines() == [
        "fused  2 tensors, 1,240 numbers, float32, 2 passes",
        "fused  1 tensor, 2 numbers, float64, 2 passes",
        "foreach  1 tensor, 16 numbers, float16 cpu; not fused: float16",
    ]
    params[0].grad = params[2].grad = params[3].grad = None
    optimizer.step()
    assert optimizer.plan() == "fused  1 tensor, 240 numbers, float32, 2 passes"


@each_engine
@pytest.mark.parametrize(
    "rule",
    [rules.adam(), pytest.param(rules.clip_by_global_norm(1.0), marks=pytest.mark.full)],
    ids=repr,
)
def test_gradients_are_not_kept_alive(rule: Any, engine: str) -> None:
    params = [*ones(5, 300), Parameter(torch.ones(4, 6)[:, ::2])]
    optimizer = thalweg.Optimizer(params, rule, lr=0.1, engine=engine)
    for _ in range(3):
        for p in params:
            p.grad = torch.ones(p.shape[::-1]).t() if p.ndim == 2 else torch.ones_like(p)
        alive = [weakref.ref(p.grad) for p in params]
        memory = [weakref.ref(p.grad.untyped_storage()) for p in params]
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        gc.collect()
        assert [ref() for ref in (*alive, *memory)] == [None] * 6


@each_engine
def test_an_optimizer_is_not_kept_alive(engine: str) -> None:
    (w,) = ones(5)
    optimizer = heavy([w], engine)
    w.grad = torch.ones(5)
    optimizer.step()
    gone = [weakref.ref(optimizer), weakref.ref(optimizer.state[w]["b"]), weakref.ref(w)]
    del optimizer, w
    gc.collect()
    assert [ref() for ref in gone] == [None] * 3


@each_engine
def test_states_are_replaced_and_cleared(engine: str) -> None:
    (w,) = ones(3)
    optimizer = heavy([w], engine)

    def step() -> Tensor:
        w.grad = torch.ones(3)
        before = w.detach().clone()
        optimizer.step()
        return (before - w.detach()) / 0.5

    assert step().tolist() == [1.0] * 3
    assert step().tolist() == [1.5] * 3
    optimizer.state[w]["b"] = torch.full((3,), 10.0)
    assert step().tolist() == [6.0] * 3
    optimizer.state[w]["b"].fill_(2.0)
    assert step().tolist() == [2.0] * 3
    del optimizer.state[w]["b"]
    assert step().tolist() == [1.0] * 3  # 0.5·0 + 1
    optimizer.state.clear()
    assert step().tolist() == [1.0] * 3
    assert optimizer.state[w]["step"] == 1
    optimizer.state[w] = {"step": torch.tensor(5.0), "b": torch.full((3,), 4.0)}
    assert step().tolist() == [3.0] * 3
    assert optimizer.state[w]["step"] == 6


@each_engine
def test_the_memory_of_a_state_may_be_swapped(engine: str) -> None:
    """A state that is moved to other memory is written there, not where it was."""
    (w,) = ones(3)
    optimizer = heavy([w], engine)
    w.grad = torch.ones(3)
    optimizer.step()
    old = optimizer.state[w]["b"].data
    optimizer.state[w]["b"].data = torch.full((3,), 10.0)
    optimizer.step()
    assert old.tolist() == [1.0] * 3
    assert optimizer.state[w]["b"].tolist() == [6.0] * 3
    torch.testing.assert_close(w.detach(), torch.full((3,), 1.0 - 0.5 * 7.0))


@each_engine
def test_a_state_of_another_dtype_is_used_as_it_is(engine: str) -> None:
    (w,) = ones(3)
    optimizer = heavy([w], engine)
    w.grad = torch.ones(3)
    optimizer.step()
    optimizer.state[w]["b"] = torch.full((3,), 0.1, dtype=torch.float64)
    optimizer.step()
    assert optimizer.state[w]["b"].dtype == torch.float64
    torch.testing.assert_close(optimizer.state[w]["b"], torch.full((3,), 1.05).double())


@each_engine
@pytest.mark.parametrize("rule", [rules.descend, rules.momentum(0.5)], ids=repr)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16], ids=str)
def test_the_data_of_a_parameter_may_change_its_dtype(
    rule: Any, dtype: torch.dtype, engine: str
) -> None:
    """The gradient and the states stay float32 for this step; the next gradient is of the new dtype."""
    (w,) = ones(6)
    optimizer = thalweg.Optimizer([w], rule, lr=0.5, engine=engine)
    w.grad = torch.arange(6.0)
    optimizer.step()
    w.data = torch.zeros(6, dtype=dtype)
    optimizer.step()
    second = 1.0 if rule is rules.descend else 1.5
    assert w.dtype == dtype
    assert w.tolist() == [-0.5 * second * k for k in range(6)]
    w.grad = torch.ones(6, dtype=dtype)
    optimizer.step()
    assert w.isfinite().all()


@each_engine
@pytest.mark.parametrize("rule", [rules.descend, rules.momentum(0.5)], ids=repr)
@pytest.mark.parametrize("shape", [(2, 3), (3,), (12,), (6, 1), (), (0,)], ids=str)
def test_the_data_of_a_parameter_changes_its_shape(
    rule: Any, shape: tuple[int, ...], engine: str
) -> None:
    """With a gradient of the old shape this is PyTorch's error, and nothing has been written."""
    (w,) = ones(6)
    optimizer = thalweg.Optimizer([w], rule, lr=0.5, engine=engine)
    w.grad = torch.arange(6.0)
    optimizer.step()
    around = torch.zeros(64)
    w.data = around[16 : 16 + max(torch.Size(shape).numel(), 1)][: torch.Size(shape).numel()].view(
        shape
    )
    with pytest.raises(RuntimeError, match=r"size|shape"):
        optimizer.step()
    assert not around.any()


@each_engine
@pytest.mark.parametrize("rule", [rules.descend, rules.clip_by_norm(100.0)], ids=repr)
def test_a_parameter_of_another_shape_with_its_gradient(rule: Any, engine: str) -> None:
    """A rule without states steps it; PyTorch's own optimizers do, too."""
    (w,) = ones(6)
    optimizer = thalweg.Optimizer([w], rule, lr=0.5, engine=engine)
    for shape in ((6,), (2, 3), (4, 5), (), (0,), (2, 2, 3)):
        w.grad = None
        w.data = torch.ones(shape)
        w.grad = torch.ones(shape)
        optimizer.step()
        same(w.detach(), torch.full(shape, 0.5), because="1 - 0.5 · 1 is exact")


@each_engine
def test_a_parameter_may_move_to_other_memory_and_layout(engine: str) -> None:
    (w,) = ones(12)
    w.data = torch.ones(3, 4)
    optimizer = heavy([w], engine)
    layouts = [torch.ones(3, 4), torch.ones(4, 3).t(), torch.ones(3, 8)[:, ::2], torch.ones(3, 4)]
    b = torch.zeros(3, 4)
    for k, data in enumerate(layouts):
        w.grad = None
        w.data = data
        w.grad = torch.arange(12.0).view(3, 4) + k
        b = 0.5 * b + w.grad
        optimizer.step()
        torch.testing.assert_close(w.detach(), 1 - 0.5 * b)
        torch.testing.assert_close(optimizer.state[w]["b"], b)


@each_engine
def test_a_gradient_of_another_dtype(engine: str) -> None:
    """Also one whose numbers take as many bytes."""
    w = Parameter(torch.ones(5, dtype=torch.bfloat16))
    if not hasattr(w, "grad_dtype"):
        pytest.skip("this PyTorch binds the dtype of a gradient to its parameter's")
    optimizer = thalweg.Optimizer([w], rules.descend, lr=1.0, engine=engine)
    w.grad_dtype = None
    for k, dtype in enumerate([torch.bfloat16, torch.float16, torch.float32, torch.float16]):
        w.grad = torch.ones(5, dtype=dtype)
        optimizer.step()
        assert w.tolist() == [-float(k)] * 5


@each_engine
def test_states_that_are_the_old_parameter_or_each_other(engine: str) -> None:
    """New values are all computed from the old ones, whatever is written first."""

    @thalweg.rule
    def shifting(g, p, last, before_last):
        return g, p, last

    @thalweg.rule
    def swapping(g, a, b, *, t):
        return g, torch.where(t == 1, 1.0, b), torch.where(t == 1, 2.0, a)

    (w,) = ones(2)
    optimizer = thalweg.Optimizer([w], thalweg.chain(shifting, swapping), lr=1.0, engine=engine)
    for count in range(1, 5):
        w.grad = torch.ones(2)
        optimizer.step()
        state = optimizer.state[w]
        assert w.tolist() == [1.0 - count] * 2
        assert state["last"].tolist() == [2.0 - count] * 2
        assert state["before_last"].tolist() == [3.0 - count if count > 1 else 0.0] * 2
        assert state["a"].tolist() == [1.0 if count % 2 else 2.0] * 2
        assert state["b"].tolist() == [2.0 if count % 2 else 1.0] * 2
