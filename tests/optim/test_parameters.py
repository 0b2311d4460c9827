"""What a step writes: parameters of any dtype and layout, swapped, frozen, mixed."""

from __future__ import annotations

import functools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

from tests.exact import RERUN, same
from thalweg import RuleError

from .cases import Case, each_alone, each_engine, each_program
from .oracle import FEW, GENTLE, TOLERANCE, reference_path, torch_path
from .problem import (
    assert_moved,
    assert_same_path,
    default_dtype,
    follow,
    give_gradients,
    recorded,
    snapshot,
)

pytestmark = pytest.mark.sampled(6)

EXACT = TOLERANCE[torch.float64]
MIXED = recorded([(5,), (3, 4), (11,)])
LOW_PRECISION = {torch.bfloat16: 2.0**-8, torch.float16: 2.0**-11}


@pytest.mark.parametrize("dtype", LOW_PRECISION, ids=str)
@each_engine
@each_program
def test_low_precision(case: Case, engine: str, dtype: torch.dtype) -> None:
    """Each step adds about one rounding to the float64 path, in parameters and states."""
    steps = 10
    loud = louder(case)
    if loud.has_twin:
        expected = torch_path(loud, GENTLE, torch.float64)[:steps]
    else:
        expected = reference_path(loud, GENTLE, dtype)[:steps]
    parameters = GENTLE.parameters(dtype)
    optimizer = loud.ours(parameters, engine=engine)
    actual = follow(GENTLE, parameters, optimizer, steps=steps)
    assert all(p.dtype == dtype for p in parameters)
    strays = 0.02 if case.jumps or case.decays_cautiously else 0.0
    assert_same_path(actual, expected, GENTLE.starts, 2 * steps * LOW_PRECISION[dtype], strays)


@functools.cache
def louder(case: Case) -> Case:
    """Return the case with steps that are large against a unit in the last place of bfloat16."""
    lr = 10.0 if case.optimizer == "Adadelta" else max(0.05, case.lr)
    return case.having(lr=lr)


@each_engine
@pytest.mark.parametrize("name", ["Adam", "AdamW", "NAdam", "RAdam", "Adamax"])
def test_bias_corrections_survive_bfloat16(name: str, engine: str) -> None:
    """1 − β₂ᵗ in bfloat16 is 1 − 1 = 0; in float64 the first step is −lr·sign(g), or near it."""
    from thalweg import optim

    p = Parameter(torch.tensor([1.0, -1.0, 0.0], dtype=torch.bfloat16))
    p.grad = torch.tensor([1.0, -1.0, 1.0], dtype=torch.bfloat16)
    getattr(optim, name)([p], lr=0.125, engine=engine).step()
    wide = Parameter(torch.tensor([1.0, -1.0, 0.0], dtype=torch.float64))
    wide.grad = torch.tensor([1.0, -1.0, 1.0], dtype=torch.float64)
    getattr(torch.optim, name)([wide], lr=0.125).step()
    assert_moved([p.detach()], [torch.tensor([1.0, -1.0, 0.0])])
    torch.testing.assert_close(p.detach().double(), wide.detach(), rtol=2.0**-8, atol=2.0**-8)


@each_engine
@each_program
def test_complex_parameters(case: Case, engine: str) -> None:
    generator = torch.Generator().manual_seed(3)
    start = torch.randn(7, 3, generator=generator, dtype=torch.complex128)
    gradients = torch.randn(10, 7, 3, generator=generator, dtype=torch.complex128)

    def run(make: Callable[..., torch.optim.Optimizer]) -> list[list[Tensor]]:
        p = Parameter(start.clone())
        optimizer = make([p])
        path = []
        for g in gradients:
            p.grad = g.clone()
            optimizer.step()
            path.append([torch.view_as_real(p.detach().clone())])
        return path

    if case.is_of_matrices:
        with pytest.raises((RuleError, RuntimeError), match="complex"):
            run(functools.partial(case.ours, engine=engine))
        return
    with default_dtype(torch.float64):
        expected = run(case.oracle)
    actual = run(functools.partial(case.ours, engine=engine))
    assert_same_path(actual, expected, [torch.view_as_real(start)], EXACT)


def channels_last(start: Tensor) -> Tensor:
    return start.contiguous(memory_format=torch.channels_last)


def transposed(start: Tensor) -> Tensor:
    return start.transpose(0, -1).contiguous().transpose(0, -1)


def with_gaps(start: Tensor) -> Tensor:
    wide = torch.full((*start.shape[:-1], 2 * start.shape[-1]), 7.0, dtype=start.dtype)
    wide[..., ::2] = start
    return wide[..., ::2]


@pytest.mark.parametrize("layout", [channels_last, transposed, with_gaps])
@each_engine
@each_program
def test_layouts(case: Case, engine: str, layout: Callable[[Tensor], Tensor]) -> None:
    """The layout of a parameter changes no number, no stride and nothing beside the parameter."""
    problem = recorded([(4, 3, 2, 5)])
    plain = problem.parameters()
    if case.draws_noise:  # in the order of memory
        plain = [Parameter(layout(problem.starts[0].clone()))]
        expected = follow(problem, plain, case.transcribed(plain), steps=4)
    else:
        expected = follow(problem, plain, case.ours(plain, engine=engine), steps=4)
    for layout_of_gradient in (torch.clone, layout):
        p = Parameter(layout(problem.starts[0].clone()))
        strides = p.stride()
        assert not p.is_contiguous()
        optimizer = case.ours([p], engine=engine)
        actual = []
        for step in range(4):
            p.grad = layout_of_gradient(problem.gradient(step, [p])[0])
            optimizer.step()
            actual.append(snapshot([p]))
        assert_same_path(actual, expected, problem.starts, EXACT)
        assert p.stride() == strides
        if layout is with_gaps:
            whole = p.detach().as_strided((2 * p.numel(),), (1,))
            assert (whole[1::2] == 7.0).all()


@each_engine
@each_program
def test_mixed_dtypes_in_one_optimizer(case: Case, engine: str) -> None:
    dtypes = [torch.float32, torch.float64, torch.float32]
    parameters = [Parameter(w.to(d, copy=True)) for w, d in zip(MIXED.starts, dtypes, strict=True)]
    actual = follow(MIXED, parameters, case.ours(parameters, engine=engine), steps=8)
    known = torch_path if case.has_twin else reference_path
    expected64 = known(case, MIXED, torch.float64)
    assert [p.dtype for p in parameters] == dtypes
    of_float64 = 2e-6 if case.is_coupled else EXACT  # its sums are of float32 too
    for index, tolerance in [(0, 2e-6), (1, of_float64), (2, 2e-6)]:
        assert_same_path(
            [[point[index]] for point in actual],
            [[point[index]] for point in expected64[:8]],
            [MIXED.starts[index]],
            tolerance,
        )


@each_engine
@each_program
def test_swapped_data_and_replaced_states_are_seen(case: Case, engine: str) -> None:
    """Storage that the user replaces between steps is the storage that the next step uses."""
    parameters = FEW.parameters()
    expected = follow(FEW, parameters, case.ours(parameters, engine=engine), steps=7)
    parameters = FEW.parameters()
    optimizer = case.ours(parameters, engine=engine)
    kept = []

    def replace(step: int) -> None:
        for p in parameters:
            kept.append((p.data, p.detach().clone()))
            p.data = p.data.clone()
            state = optimizer.state[p]
            for key, value in list(state.items()):
                state[key] = value.clone()

    actual = follow(FEW, parameters, optimizer, steps=7, before_step=replace)
    same(actual, expected, because=RERUN)
    for old, copy in kept:
        same(old, copy, because="no step writes to abandoned storage")
    assert_moved(actual[-1], FEW.starts)


@each_engine
@each_alone
def test_a_frozen_parameter_rests(case: Case, engine: str) -> None:
    problem = recorded([(5,), (3, 4)])

    def run(make: Callable[..., torch.optim.Optimizer]) -> list[list[Tensor]]:
        parameters = problem.parameters()
        optimizer = make(parameters)
        path = []
        for step in range(9):
            parameters[1].requires_grad_(not 3 <= step < 6)
            give_gradients(problem, step, parameters)
            if not parameters[1].requires_grad:
                parameters[1].grad = None
            optimizer.step()
            path.append(snapshot(parameters))
        return path

    with default_dtype(torch.float64):
        expected = run(case.oracle)
    actual = run(functools.partial(case.ours, engine=engine))
    same(actual[2][1], actual[5][1], because="nothing wrote to it")
    assert_same_path(actual, expected, problem.starts, EXACT)


@each_engine
@each_program
def test_autograd_sees_the_change(case: Case, engine: str) -> None:
    """A raw write must bump the version counter, or a stale backward would be silently wrong."""
    p = Parameter(torch.tensor([1.0, 2.0, 3.0]))
    optimizer = case.ours([p], engine=engine)
    stale = (p * p).sum()
    p.grad = torch.ones(3)
    optimizer.step()
    written = [p, *(x for x in optimizer.state[p].values() if x.ndim)]
    before = [x._version for x in written]
    optimizer.step()
    assert all(x._version > version for x, version in zip(written, before, strict=True))
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        stale.backward()


@each_engine
@each_program
def test_parameters_stay_leaves_that_require_gradients(case: Case, engine: str) -> None:
    parameters = FEW.parameters()
    optimizer = case.ours(parameters, engine=engine)
    identities = [id(p) for p in parameters]
    follow(FEW, parameters, optimizer, steps=2)
    assert [id(p) for group in optimizer.param_groups for p in group["params"]] == identities
    for p in parameters:
        assert p.is_leaf
        assert p.requires_grad
        states = [s for s in optimizer.state[p].values() if isinstance(s, Tensor)]
        assert states
        assert not any(s.requires_grad for s in states)
