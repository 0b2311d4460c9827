"""What a step reads: gradients of any layout, absent, sparse, accumulated; none is changed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer

from tests.exact import RERUN, differs, same
from thalweg import optim

from .cases import Case, each, each_alone, each_engine, each_program
from .oracle import FEW, TOLERANCE, beside_the_oracle
from .problem import (
    assert_same_path,
    follow,
    give_gradients,
    outcome,
    recorded,
    snapshot,
)

pytestmark = pytest.mark.sampled(6)

EXACT = TOLERANCE[torch.float64]
Make = Callable[..., Optimizer]


@each_engine
@each_program
def test_gradients_are_left_alone(case: Case, engine: str) -> None:
    parameters = FEW.parameters()
    optimizer = case.ours(parameters, engine=engine)
    for step in range(3):
        give_gradients(FEW, step, parameters)
        given = [p.grad for p in parameters]
        copies = [g.clone() for g in given if g is not None]
        optimizer.step()
        for p, g, copy in zip(parameters, given, copies, strict=True):
            assert p.grad is g
            same(copy, p.grad, because="nothing wrote to it")
            assert p.grad._version == g._version


@each_engine
@each_program
def test_none_is_no_gradient(case: Case, engine: str) -> None:
    """Without a gradient there is no decay, no momentum and no step; zero would be a gradient."""
    problem = recorded([(5,), (3, 4), (6,)])
    parameters = problem.parameters()
    optimizer = case.ours(parameters, engine=engine)
    give_gradients(problem, 0, parameters)
    parameters[2].grad = None
    optimizer.step()
    first = snapshot(parameters)
    same(first[2], problem.starts[2], because="nothing wrote to it")
    assert optimizer.state.get(parameters[2], {}).get("step", 0) == 0
    state = {k: v.clone() for k, v in optimizer.state[parameters[1]].items()}
    assert state
    for step in (1, 2):
        give_gradients(problem, step, parameters)
        parameters[1].grad = None
        optimizer.step()
    now = snapshot(parameters)
    same(now[1], first[1], because="nothing wrote to it")
    differs(now[0], first[0])
    for key, value in optimizer.state[parameters[1]].items():
        same(value, state[key], because="nothing wrote to it")
    assert optimizer.state[parameters[0]]["step"] == 3
    assert optimizer.state[parameters[1]]["step"] == 1
    assert optimizer.state[parameters[2]]["step"] == 2


@each_engine
@each_program
def test_a_step_without_any_gradient_does_nothing(case: Case, engine: str) -> None:
    parameters = FEW.parameters()
    case.ours(parameters, engine=engine).step()
    same(snapshot(parameters), FEW.starts, because="nothing wrote to it")


@each_engine
@each_alone
def test_parameters_join_and_pause(case: Case, engine: str) -> None:
    """One joins at step 4, one pauses from 3 to 7: their step counts differ."""
    problem = recorded([(5,), (3, 4), (9,)])

    def run(make: Make) -> list[list[Tensor]]:
        parameters = problem.parameters()
        optimizer = make(parameters)
        path = []
        for step in range(12):
            give_gradients(problem, step, parameters)
            if step < 4:
                parameters[0].grad = None
            if 3 <= step < 7:
                parameters[1].grad = None
            optimizer.step()
            path.append(snapshot(parameters))
        return path

    beside_the_oracle(case, engine, problem.starts, run)


@each_engine
@each_alone
def test_any_pattern_of_absence(case: Case, engine: str) -> None:
    """Gradients come and go at random, in more patterns than anyone keeps plans for."""
    problem = recorded([(5,), (3, 4), (9,), ()], steps=24)
    present = torch.rand(24, 4, generator=torch.Generator().manual_seed(8)) < 0.6
    assert len({tuple(row) for row in present.tolist()}) > 10

    def run(make: Make) -> list[list[Tensor]]:
        parameters = problem.parameters()
        optimizer = make(parameters)
        path = []
        for step in range(24):
            give_gradients(problem, step, parameters)
            for p, has in zip(parameters, present[step], strict=True):
                p.grad = p.grad if has else None
            optimizer.step()
            path.append(snapshot(parameters))
        return path

    beside_the_oracle(case, engine, problem.starts, run)


@each_engine
@each_program
def test_gradients_that_carry_a_graph(case: Case, engine: str) -> None:
    """After backward(create_graph=True) a step is still no part of any graph."""
    ends = []
    for create_graph in (False, True):
        p = Parameter(torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64))
        optimizer = case.ours([p], engine=engine)
        for _ in range(3):
            p.grad, *_ = torch.autograd.grad((p**4).sum(), p, create_graph=create_graph)
            assert p.grad.requires_grad == create_graph
            optimizer.step()
        assert p.is_leaf
        states = optimizer.state[p].values()
        assert not any(s.requires_grad for s in states if isinstance(s, Tensor))
        ends.append(p.detach().clone())
        p.grad = None
    same(*ends, because=RERUN)


@each_engine
@each_program
def test_strided_and_expanded_gradients(case: Case, engine: str) -> None:
    problem = recorded([(5, 4), (6, 3)])
    paths = []
    for changes in (False, True):
        parameters = problem.parameters()
        optimizer = case.ours(parameters, engine=engine)
        path = []
        for step in range(5):
            layout = changes and step != 2  # back to contiguous once in between
            give_gradients(problem, step, parameters)
            dense, wide = (p.grad for p in parameters)
            row = wide[:1].expand(6, 3)
            parameters[0].grad = dense.t().contiguous().t() if layout else dense
            parameters[1].grad = row if layout else row.contiguous()
            assert parameters[1].grad.is_contiguous() != layout
            optimizer.step()
            path.append(snapshot(parameters))
        paths.append(path)
    assert_same_path(paths[1], paths[0], problem.starts, EXACT)


def sparse(dense: Tensor) -> Tensor:
    """Return the rows 1 and 3 of a matrix as a sparse gradient, row 3 in two parts."""
    rows = torch.tensor([[3, 1, 3]])
    values = torch.stack([0.25 * dense[3], dense[1], 0.75 * dense[3]])
    return torch.sparse_coo_tensor(rows, values, dense.shape, check_invariants=True)


@each_engine
@each_program
def test_sparse_gradients(case: Case, engine: str) -> None:
    """What PyTorch's class refuses is refused in its words; all others give the dense numbers."""
    problem = recorded([(5, 4)])
    if case.optimizer == "SOAP":  # rows of zeros leave eigenvectors open
        case = case.having(max_dim=1)

    def run(make: Make, is_sparse: bool) -> list[list[Tensor]]:
        parameters = problem.parameters()
        optimizer = make(parameters)
        path = []
        for step in range(5):
            g = sparse(problem.gradient(step, parameters)[0])
            parameters[0].grad = g if is_sparse else g.to_dense()
            optimizer.step()
            path.append(snapshot(parameters))
        return path

    def ours(params: list[Parameter]) -> Optimizer:
        return case.ours(params, engine=engine)

    twin = case.of_torch()
    refusal = outcome(lambda: run(twin.theirs, True)) if twin else None
    if refusal is not None and "sparse gradients" in refusal[1]:
        assert outcome(lambda: run(ours, True)) == refusal
        return
    assert twin is None or case.optimizer in ("SGD", "Adagrad")
    assert_same_path_of_rows(run(ours, True), run(case.oracle, False))


def assert_same_path_of_rows(actual: list[list[Tensor]], expected: list[list[Tensor]]) -> None:
    for a, e in zip(actual, expected, strict=True):
        torch.testing.assert_close(a[0], e[0], rtol=EXACT, atol=EXACT)
    differs(actual[0][0], actual[-1][0])


@each_engine
@each_program
def test_accumulated_gradients_equal_the_large_batch(case: Case, engine: str) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(12, 3, generator=generator, dtype=torch.float64)
    y = torch.randn(12, 2, generator=generator, dtype=torch.float64)
    start = torch.randn(3, 2, generator=generator, dtype=torch.float64)

    def run(parts: int) -> tuple[list[list[Tensor]], Tensor]:
        w = Parameter(start.clone())
        optimizer = case.ours([w], engine=engine)
        path = []
        for _ in range(6):
            optimizer.zero_grad()
            for inputs, targets in zip(x.chunk(parts), y.chunk(parts), strict=True):
                (torch.nn.functional.mse_loss(inputs @ w, targets) / parts).backward()
            optimizer.step()
            path.append(snapshot([w]))
        return path, optimizer.state[w]["step"]

    whole, steps = run(1)
    parts, steps_of_parts = run(4)
    assert steps == steps_of_parts == 6
    assert_same_path(parts, whole, [start], 1e-10)  # the sums over the batch round differently


@each_engine
@each([Case("Adam"), Case("SGD", {"momentum": 0.9})])
def test_zero_grad(case: Case, engine: str) -> None:
    parameters = FEW.parameters()
    optimizer = case.ours(parameters, engine=engine)
    follow(FEW, parameters, optimizer, steps=1)
    optimizer.zero_grad(set_to_none=False)
    assert all(p.grad is not None and not p.grad.any() for p in parameters)
    optimizer.zero_grad()
    assert all(p.grad is None for p in parameters)


@each_engine
def test_a_conjugated_gradient_is_its_numbers(engine: str) -> None:
    """A gradient of complex numbers may be a view that is yet to be conjugated."""
    ends = []
    for resolved in (True, False):
        p = Parameter(torch.ones(3, dtype=torch.complex64))
        optimizer = optim.Adam([p], lr=0.1, engine=engine)
        for k in range(3):
            grad = torch.tensor([1 + 2j, 3 - 1j, 0.5j * k], dtype=torch.complex64).conj()
            p.grad = grad.resolve_conj() if resolved else grad
            optimizer.step()
        ends.append(p.detach())
    same(ends[1], ends[0], because=RERUN)
