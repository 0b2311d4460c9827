"""Matrix rules against NumPy: states of other shapes, any rank, the functional face, checkpoints."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import Parameter

import thalweg
from tests.engine.kinds import DOUBLE, draw, each_engine
from tests.exact import RESUMED, same
from thalweg import EachRow, RuleError, chain, rule
from thalweg.engine import mean_of_rows

from .made import BY_NUMPY, factored, nearest, polar, roots

LR = 0.1
STEPS = 4
SHAPES: list[tuple[int, ...]] = [(4, 3), (3, 5), (4, 3), (3, 2, 2, 2), (6,), (), (1, 4), (4, 1)]
each_rule = pytest.mark.parametrize("made", BY_NUMPY, ids=lambda made: made.name)


def seen(shape: tuple[int, ...]) -> tuple[int, int]:
    return (shape[0] if shape else 1), math.prod(shape[1:])


def gradients_of(shape: tuple[int, ...], k: int) -> list[torch.Tensor]:
    return [draw(*shape, seed=100 * k + step) for step in range(1, STEPS + 1)]


def stepped(
    made: Any, engine: Any, shapes: list[tuple[int, ...]], dtype: torch.dtype = DOUBLE
) -> tuple[list[Parameter], thalweg.Optimizer]:
    params = [Parameter(draw(*s, seed=100 * k, dtype=dtype)) for k, s in enumerate(shapes)]
    optimizer = thalweg.Optimizer(params, made, lr=LR, engine=engine)
    for step in range(STEPS):
        for k, p in enumerate(params):
            p.grad = gradients_of(shapes[k], k)[step].to(dtype)
        optimizer.step()
    return params, optimizer


@each_engine
@each_rule
def test_trajectories_are_those_of_numpy(made: Any, engine: Any) -> None:
    """The bound is float64's rounding, through the roots of matrices with eigenvalues above 1e-3."""
    params, optimizer = stepped(made, engine, SHAPES)
    for k, (p, shape) in enumerate(zip(params, SHAPES, strict=True)):
        start = draw(*shape, seed=100 * k).numpy().reshape(seen(shape))
        given = [g.numpy().reshape(seen(shape)) for g in gradients_of(shape, k)]
        expected, states = BY_NUMPY[made](start, given, LR)
        np.testing.assert_allclose(p.detach().reshape(seen(shape)), expected, rtol=1e-9, atol=1e-10)
        kept = [v for n, v in optimizer.state[p].items() if n != "step"]
        for got, wanted in zip(kept, states, strict=True):
            np.testing.assert_allclose(got.reshape(wanted.shape), wanted, rtol=1e-9, atol=1e-11)


def test_states_have_the_declared_sizes() -> None:
    p = torch.zeros(3, 2, 2, dtype=torch.bfloat16)
    state = chain(roots, factored).init(p)
    sizes = {n: tuple(state[n].shape) for n in ("L", "R", "r", "c")}
    assert sizes == {"L": (3, 3), "R": (4, 4), "r": (3, 1), "c": (1, 4)}
    assert {state[n].dtype for n in sizes} == {torch.float32}


@each_rule
def test_the_functional_face_is_the_optimizer_and_vmaps(made: Any) -> None:
    link = chain(made)
    points = torch.stack([draw(4, 3, seed=k) for k in range(3)])
    given = torch.stack([draw(4, 3, seed=10 + k) for k in range(3)])

    def twice(p: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
        state = link.init(p)
        for factor in (1.0, -0.5):
            p, state = link.step(p, factor * g, state, lr=LR)
        return p

    together = torch.vmap(twice)(points, given)
    for k in range(3):
        p = Parameter(points[k].clone())
        optimizer = thalweg.Optimizer([p], made, lr=LR, engine="eager")
        for factor in (1.0, -0.5):
            p.grad = factor * given[k]
            optimizer.step()
        # a batched product may sum in another order
        torch.testing.assert_close(together[k], p.detach(), rtol=1e-9, atol=1e-10)
        torch.testing.assert_close(twice(points[k], given[k]), p.detach(), rtol=1e-9, atol=1e-10)


def test_a_functional_step_is_differentiable() -> None:
    link, p, g = chain(roots), draw(3, 2), draw(3, 2, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda g: link.step(p, g, link.init(p), lr=LR)[0], g)


@each_engine
@each_rule
def test_a_resumed_run_goes_on(made: Any, engine: Any) -> None:
    params, optimizer = stepped(made, engine, SHAPES[:4])
    others = [Parameter(p.detach().clone()) for p in params]
    other = thalweg.Optimizer(others, made, lr=LR, engine=engine)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for k, (p, q) in enumerate(zip(params, others, strict=True)):
        p.grad = q.grad = draw(*p.shape, seed=k)
    optimizer.step()
    other.step()
    same([p.detach() for p in others], [p.detach() for p in params], because=RESUMED)


def test_the_last_two_dimensions_are_a_batch_of_matrices() -> None:
    @rule(matrices="last")
    def each(g: Any, r: EachRow) -> Any:
        r = r + mean_of_rows(g * g)
        return polar(g) * r, r

    p, g = draw(2, 3, 4, 5), draw(2, 3, 4, 5, seed=1)
    link = chain(each)
    state = link.init(p)
    assert state["r"].shape == (2, 3, 4, 1)
    moved, state = link.step(p, g, state, lr=1.0)
    alone = [
        chain(each).step(p[i, j], g[i, j], link.init(p[i, j]), lr=1.0)[0]
        for i in (0, 1)
        for j in range(3)
    ]
    torch.testing.assert_close(moved, torch.stack(alone).reshape(p.shape), rtol=1e-12, atol=1e-12)


def test_half_precision_is_computed_in_float32() -> None:
    params, optimizer = stepped(nearest, "eager", [(4, 3)], torch.bfloat16)
    wide, _ = stepped(nearest, "eager", [(4, 3)])
    assert optimizer.state[params[0]]["m"].dtype == torch.bfloat16
    # four steps round the parameter to 8 bits each: |p| < 4, a half unit of it is 2⁻⁸·2
    np.testing.assert_allclose(
        params[0].detach().double(), wide[0].detach(), atol=4 * 2.0**-7 + 0.02
    )


def test_products_and_transposes_read_like_the_paper() -> None:
    @rule
    def conjugated(g: Any, L: thalweg.RowsByRows, *, beta: float = 0.5) -> Any:
        L = beta * L + thalweg.gram(g)
        return (L.T @ g) @ (polar(g).mT @ polar(g)), L

    p, g = torch.zeros(3, 2, dtype=DOUBLE), draw(3, 2)
    link = chain(conjugated)
    moved, _ = link.step(p, g, link.init(p), lr=1.0)
    # polar(g)ᵀ·polar(g) is the unit matrix of a tall g with independent columns
    torch.testing.assert_close(moved, -(g @ g.T @ g), rtol=1e-12, atol=1e-12)


WRONG: dict[str, tuple[Any, str]] = {
    "a matrix of another shape": (
        lambda g, L: (thalweg.gram(g), L),
        r"matrix of m × m where one of m × n",
    ),
    "shapes that do not go together": (
        lambda g, L: (g, L + thalweg.gram_of_columns(g)),
        r"combines values of m × m and n × n element by element",
    ),
    "no product": (lambda g, L: (g @ L, L), r"multiplies a matrix of m × n by one of m × m"),
    "a state by elements": (lambda g, L: (g, L + g), "where one of m × n is expected"),
    "an elementwise state": (lambda g, L: (g, g), "is computed element by element"),
    "a state of another shape": (
        lambda g, L: (g, thalweg.gram_of_columns(g)),
        "is computed as n × n",
    ),
    "PyTorch on a matrix": (
        lambda g, L: (g, torch.linalg.inv(L)),
        "decorated by thalweg.matrix_function",
    ),
    "a number": (lambda g, L: (polar(thalweg.norm(g)) * g, L), "on numbers"),
    "a unit": (lambda g, L: (g, L * thalweg.norm(g, scope="unit")), "with scope='unit'"),
}


@pytest.mark.parametrize(("function", "message"), WRONG.values(), ids=WRONG)
def test_what_does_not_go_together_is_refused(function: Any, message: str) -> None:
    def wrong(g: Any, L: thalweg.RowsByRows) -> Any:
        return function(g, L)

    with pytest.raises(RuleError, match=message):
        rule(wrong)


def test_rules_of_one_chain_see_a_tensor_alike() -> None:
    @rule(matrices="last")
    def other(g: Any) -> Any:
        return polar(g)

    with pytest.raises(RuleError, match=r"nearest and other see a tensor as different matrices"):
        chain(nearest, other).program({"momentum": 0.9})


def test_a_matrix_function_that_returns_another_size_is_named() -> None:
    @thalweg.matrix_function(result="row")
    def sums(x: Any) -> Any:
        return x.sum(-1)

    @rule
    def wrong(g: Any) -> Any:
        return g * sums(g)

    p = torch.zeros(3, 2)
    with pytest.raises(RuleError, match=r"'sums' returned \(1, 3\) where .* \(1, 3, 1\)"):
        chain(wrong).step(p, p, chain(wrong).init(p), lr=1.0)


def test_a_state_of_another_size_is_refused() -> None:
    params, optimizer = stepped(roots, "eager", [(4, 3)])
    optimizer.state[params[0]]["L"] = torch.zeros(3, 3)
    with pytest.raises(thalweg.EngineError, match=r"state 'L' .* has shape \(3, 3\), not \(4, 4\)"):
        thalweg.Optimizer.step(_fresh(optimizer, params))


def _fresh(optimizer: thalweg.Optimizer, params: list[Parameter]) -> thalweg.Optimizer:
    """The optimizer with a state dict of another model."""
    other = thalweg.Optimizer(params, roots, lr=LR, engine="eager")
    other.load_state_dict(optimizer.state_dict())
    return other


def test_complex_parameters_are_refused() -> None:
    p = Parameter(torch.zeros(2, 2, dtype=torch.complex64))
    p.grad = torch.ones_like(p)
    with pytest.raises(RuleError, match="complex"):
        thalweg.Optimizer([p], nearest, lr=LR).step()
