"""Kernels go by raw addresses: memory that is gone, moved, shared or laid out anew is seen before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

import thalweg
from tests.exact import close, same
from thalweg import optim, rules
from thalweg.engine.cpu.calls import layouts as compiled
from thalweg.engine.cpu.calls.layouts import Layouts
from thalweg.engine.storage import overlapping
from thalweg.errors import EngineError

each_engine = pytest.mark.parametrize("engine", ["eager", "auto"])


@pytest.fixture(params=["compiled", "in Python"])
def reading(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Read layouts by the compiled loop, or as where PyTorch does not export its function."""
    if request.param == "in Python":
        monkeypatch.setattr(compiled, "_compiled_reader", lambda: None)
    elif compiled._compiled_reader() is None:
        pytest.skip("this PyTorch does not export DLPack's functions")
    return str(request.param)


def empty(x: Tensor) -> None:
    x.untyped_storage().resize_(0)


def shrink(x: Tensor) -> None:
    x.untyped_storage().resize_(4)


def problem(engine: str, names: bool = False) -> tuple[list[Parameter], torch.optim.Optimizer]:
    params = [Parameter(torch.ones(5)), Parameter(torch.ones(3, 4))]
    given: Any = zip(("first", "second"), params, strict=True) if names else params
    optimizer = thalweg.Optimizer(given, rules.momentum(0.5), lr=0.5, engine=engine)
    give(params)
    optimizer.step()
    give(params)
    return params, optimizer


def give(params: list[Parameter]) -> None:
    for p in params:
        p.grad = torch.ones_like(p)


@each_engine
@pytest.mark.parametrize("harm", [empty, shrink], ids=lambda f: f.__name__)
@pytest.mark.parametrize(
    ("pick", "called"),
    [
        (lambda p, o: p.data, r"parameter 1 \(second\)"),
        (lambda p, o: p.grad, r"gradient of parameter 1 \(second\)"),
        (lambda p, o: o.state[p]["b"], r"state 'b' of parameter 1 \(second\)"),
    ],
    ids=["parameter", "gradient", "state"],
)
def test_memory_that_is_gone_is_an_error_that_names_the_tensor(
    reading: str, engine: str, harm: Callable[[Tensor], None], pick: Any, called: str
) -> None:
    params, optimizer = problem(engine, names=True)
    harm(pick(params[1], optimizer))
    before = params[0].detach().clone()
    with pytest.raises(EngineError, match=f"{called}.*storage"):
        optimizer.step()
    same(params[0].detach(), before, because="a step that is refused changes nothing")


@each_engine
def test_memory_that_is_gone_before_the_first_step(engine: str) -> None:
    p = Parameter(torch.ones(7))
    p.grad = torch.ones(7)
    empty(p.data)
    with pytest.raises(EngineError, match="parameter 0 has 7 numbers"):
        optim.Adam([p], engine=engine).step()


@each_engine
def test_memory_that_a_closure_takes_away(reading: str, engine: str) -> None:
    params, optimizer = problem(engine)

    def closure() -> Tensor:
        give(params)
        empty(params[0].data)
        return torch.zeros(())

    with pytest.raises(EngineError, match="parameter 0"):
        optimizer.step(closure)


@each_engine
def test_memory_that_comes_back_is_stepped(reading: str, engine: str) -> None:
    """Offloaded and brought back: other memory, the same numbers."""
    params, optimizer = problem(engine)
    for x in (params[1].data, optimizer.state[params[1]]["b"]):
        numbers = x.clone()
        size = x.untyped_storage().nbytes()
        x.untyped_storage().resize_(0)
        x.untyped_storage().resize_(size)
        x.copy_(numbers)
    optimizer.step()
    close(
        params[1].detach(), torch.full((3, 4), 1 - 0.5 - 0.75), ulps=2, because="one product more"
    )


@each_engine
def test_a_parameter_that_is_transposed_in_its_own_memory(reading: str, engine: str) -> None:
    torch.manual_seed(0)
    x = torch.randn(5, 4, dtype=torch.float64)
    start = torch.randn(4, 4, dtype=torch.float64)
    ends = []
    for make in (torch.optim.SGD, lambda *a, **k: optim.SGD(*a, **k, engine=engine)):
        w = Parameter(start.clone())
        optimizer = make([w], lr=0.1, momentum=0.9)
        for k in range(6):
            if k == 3:
                w.data = w.data.t()
            optimizer.zero_grad()
            (x @ w).square().sum().backward()
            optimizer.step()
        ends.append(w.detach())
    close(ends[1], ends[0], ulps=64, because="kernels round other products than PyTorch's calls")


@each_engine
def test_a_state_that_is_transposed_in_its_own_memory(reading: str, engine: str) -> None:
    w = Parameter(torch.zeros(2, 2))
    optimizer = thalweg.Optimizer([w], rules.momentum(0.5), lr=1.0, engine=engine)
    for _ in range(2):
        w.grad = torch.tensor([[0.0, 4.0], [8.0, 0.0]])
        optimizer.step()
    optimizer.state[w]["b"].t_()
    before = w.detach().clone()
    w.grad = torch.zeros(2, 2)
    optimizer.step()
    same(before - w.detach(), torch.tensor([[0.0, 6.0], [3.0, 0.0]]), because="small whole numbers")


@each_engine
def test_parameters_on_one_memory_step_one_after_the_other(engine: str) -> None:
    memory = torch.zeros(65536)
    tied = [Parameter(memory) for _ in range(8)]
    apart = Parameter(torch.zeros(3))
    optimizer = optim.SGD([*tied, apart], lr=1.0, engine=engine)
    for _ in range(10):
        for p in (*tied, apart):
            p.grad = torch.ones_like(p)
        optimizer.step()
    same(memory, torch.full((65536,), -80.0), because="small whole numbers")
    same(apart.detach(), torch.full((3,), -10.0), because="small whole numbers")


@each_engine
@pytest.mark.parametrize(
    ("theirs", "ours"),
    [(torch.optim.Adam, optim.Adam), (torch.optim.Adafactor, optim.Adafactor)],
    ids=["one pass", "several passes"],
)
def test_a_parameter_that_is_listed_twice_takes_two_steps(
    engine: str, theirs: Any, ours: Any
) -> None:
    """And each is counted, as PyTorch's loop does it, which warns: shared layers are listed so."""
    ends = []
    for make in (theirs, lambda *a, **k: ours(*a, **k, engine=engine)):
        once, twice, thrice = (Parameter(torch.zeros(3, dtype=torch.float64)) for _ in range(3))
        with pytest.warns(UserWarning, match="duplicate parameters"):
            optimizer = make([twice, once, thrice, twice, thrice, thrice], lr=0.5)
        for k in range(5):
            for p in (once, twice, thrice):
                p.grad = torch.arange(3, dtype=torch.float64) - k
            optimizer.step()
        ends.append(
            [x for p in (once, twice, thrice) for x in (p.detach(), *_counted(optimizer, p))]
        )
    close(ends[1], ends[0], ulps=200, because="thirty steps of a few roundings, and two programs")


def _counted(optimizer: torch.optim.Optimizer, p: Tensor) -> list[Tensor]:
    return [optimizer.state[p]["step"].double()]


@each_engine
def test_parameters_that_come_to_share_memory_later(engine: str) -> None:
    a, b = Parameter(torch.zeros(40000)), Parameter(torch.zeros(40000))
    optimizer = optim.SGD([a, b], lr=1.0, momentum=0.5, engine=engine)
    theirs = [Parameter(torch.zeros(40000)) for _ in range(2)]
    expected = torch.optim.SGD(theirs, lr=1.0, momentum=0.5)
    for k in range(6):
        if k == 3:
            b.data, theirs[1].data = a.data, theirs[0].data
        for p in (a, b, *theirs):
            p.grad = torch.full_like(p, float(k))
        optimizer.step()
        expected.step()
    same(a.detach(), theirs[0].detach(), because="dyadic numbers of few digits")


@each_engine
def test_parameters_that_overlap_in_part(engine: str) -> None:
    """And those that only lie side by side in one memory are fused as any others."""
    memory = torch.zeros(12)
    parts = [Parameter(memory[:6]), Parameter(memory[6:]), Parameter(memory[4:8])]
    optimizer = optim.SGD(parts, lr=1.0, engine=engine)
    for p in parts:
        p.grad = torch.ones_like(p)
    optimizer.step()
    assert memory.tolist() == [-1.0] * 4 + [-2.0] * 4 + [-1.0] * 4
    optimizer = optim.SGD(parts[:2], lr=1.0, engine=engine)
    optimizer.step()
    assert engine == "eager" or optimizer.plan().startswith("fused  2 tensors")


@each_engine
def test_states_of_two_parameters_that_are_one_tensor(engine: str) -> None:
    ends = []
    for make in (torch.optim.SGD, lambda *a, **k: optim.SGD(*a, **k, engine=engine)):
        pair = [Parameter(torch.zeros(50000)) for _ in range(2)]
        optimizer = make(pair, lr=1.0, momentum=0.5)
        for k in range(4):
            for p in pair:
                p.grad = torch.ones_like(p)
            optimizer.step()
            if k == 0:
                shared = optimizer.state[pair[0]]["momentum_buffer"]
                optimizer.state[pair[1]]["momentum_buffer"] = shared
        ends.append([p.detach() for p in pair])
    same(ends[1], ends[0], because="dyadic numbers of few digits")


@each_engine
@pytest.mark.parametrize("dtype", [torch.int32, torch.float16, torch.float64], ids=str)
def test_a_gradient_of_another_dtype_is_never_read_as_bits(
    reading: str, engine: str, dtype: torch.dtype
) -> None:
    w = Parameter(torch.zeros(6))
    if not hasattr(w, "grad_dtype"):
        pytest.skip("this PyTorch binds the dtype of a gradient to its parameter's")
    w.grad_dtype = None
    optimizer = optim.SGD([w], lr=1.0, engine=engine)
    for kind in (torch.float32, dtype, torch.float32, dtype):
        w.grad = torch.arange(6).to(kind)
        optimizer.step()
    assert w.tolist() == [-4.0 * k for k in range(6)]


def test_a_gradient_of_zeros_without_memory(reading: str) -> None:
    w, plain = Parameter(torch.ones(6)), Parameter(torch.ones(6))
    optimizers = [optim.SGD([w], lr=0.5), torch.optim.SGD([plain], lr=0.5)]
    for zeros in (False, True, False, False, True):
        for p, optimizer in zip((w, plain), optimizers, strict=True):
            p.grad = torch._efficientzerotensor(6) if zeros else torch.ones(6)
            optimizer.step()
    assert w.tolist() == [-0.5] * 6
    assert plain.tolist() == [-0.5] * 6


@pytest.mark.parametrize(
    "made", [torch._efficientzerotensor, lambda n: torch._neg_view(torch.ones(n))]
)
def test_a_parameter_that_becomes_what_no_kernel_can_write(reading: str, made: Any) -> None:
    w = Parameter(torch.ones(6))
    optimizer = optim.SGD([w], lr=1.0)
    for _ in range(4):
        w.grad = torch.ones(6)
        optimizer.step()
    w.data = made(6)
    if w.data.is_neg():
        optimizer.step()
        assert w.tolist() == [-2.0] * 6
    else:
        with pytest.raises(RuntimeError, match="immutable"):  # PyTorch's own words
            optimizer.step()


@each_engine
@pytest.mark.parametrize("shape", [(0, 3), (3, 0)])
def test_strides_of_no_elements_say_nothing(
    reading: str, engine: str, shape: tuple[int, int]
) -> None:
    around = torch.zeros(shape[0], 2 * shape[1])[:, ::2]
    for like in (torch.zeros(shape), around):
        w, beside = Parameter(like), Parameter(torch.zeros(2))
        optimizer = optim.SGD([w, beside], lr=1.0, momentum=0.5, engine=engine)
        for grad in (torch.zeros(shape), around, torch.zeros(shape[::-1]).t(), around):
            w.grad, beside.grad = grad, torch.ones(2)
            optimizer.step()
        assert beside.tolist() == [-6.125] * 2


def test_a_gradient_that_is_a_subclass(reading: str) -> None:
    class Own(Tensor):
        pass

    w = Parameter(torch.zeros(4))
    optimizer = optim.SGD([w], lr=1.0)
    for kind in (Tensor, Own, Tensor):
        w.grad = torch.ones(4).as_subclass(kind)
        optimizer.step()
    assert w.tolist() == [-3.0] * 4


@pytest.mark.parametrize(
    "other",
    [
        None,
        3.0,
        torch.zeros(2, 3).t().contiguous().t(),
        torch.zeros(2, 3, dtype=torch.int32),
        torch.zeros(2, 3, dtype=torch.bfloat16),
        torch.zeros(3, 2),
        torch.zeros(6),
        torch.zeros(2, 3, device="meta"),
        torch.zeros(2, 3).to_sparse(),
    ],
    ids=lambda x: type(x).__name__ if not isinstance(x, Tensor) else f"{x.dtype} {x.layout}",
)
def test_what_is_not_as_expected(reading: str, other: Any) -> None:
    tensors: list[Any] = [torch.zeros(2, 3), torch.zeros(()), torch.zeros(0, 2), torch.ones(4, 1)]
    layouts = Layouts(tensors, [x.dtype for x in tensors])
    assert layouts.read(tensors)
    assert layouts.found.tolist() == [x.data_ptr() for x in tensors]
    assert layouts.read([*tensors[:3], torch.ones(1, 4).t()])  # strides of one element say nothing
    assert not layouts.read([other, *tensors[1:]])
    assert not layouts.read(tensors[:3])


def test_who_shares_memory_with_whom() -> None:
    memory = torch.zeros(100)
    spans = [(0, 50), (10, 20), (60, 70), (69, 80), (80, 90), (20, 30), (90, 90)]
    tensors = [memory[a:b] for a, b in spans]
    assert overlapping(tensors, range(len(tensors))) == {0, 1, 2, 3, 5}
    assert overlapping([tensors[1], tensors[5]], [7, 8]) == set()
    assert overlapping([memory, memory], [3, 3]) == {3}
