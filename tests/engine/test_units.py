"""Reductions over output units, and the number of dimensions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

import thalweg
from tests.exact import same
from thalweg import largest, mean, norm, rules, total
from thalweg.engine import dimensions
from thalweg.engine.cpu.batch import CHUNK
from thalweg.errors import RuleError

from .kinds import DOUBLE, assert_alike, draw, each_engine, mixed, numbers, step

Function = Callable[..., Any]


def of_units(x: Tensor, reduce: Callable[[Tensor], Tensor]) -> Tensor:
    """Return what is made of the real numbers of each unit, in the shape of the tensor."""
    real = numbers(x)
    if not x.numel():
        return real
    if x.ndim < 2:
        return reduce(real.flatten()).expand(real.shape)
    made = torch.stack([reduce(unit.flatten()) for unit in real])
    return made.reshape(-1, *(1 for _ in real.shape[1:])).expand(real.shape)


REDUCTIONS: dict[str, tuple[Function, Callable[[Tensor], Tensor]]] = {
    "norm": (norm, torch.linalg.vector_norm),
    "mean": (mean, torch.mean),
    "total": (total, torch.sum),
    "largest": (largest, torch.max),
}
SHAPES: dict[str, Callable[[], Tensor]] = {
    "a number": lambda: draw(1)[0],
    "a vector": lambda: draw(9),
    "one row": lambda: draw(1, 9),
    "one column": lambda: draw(9, 1),
    "a matrix": lambda: draw(4, 5),
    "filters": lambda: draw(6, 3, 2, 2),
    "channels last": lambda: draw(6, 3, 2, 2).to(memory_format=torch.channels_last),
    "inner dimensions in another order": lambda: draw(3, 5, 4).transpose(1, 2),
    "no rows": lambda: draw(0, 3),
    "empty rows": lambda: draw(3, 0),
    "empty": lambda: draw(0),
    "long units": lambda: draw(3, CHUNK + 5),
    "many chunks": lambda: draw(2, 3 * CHUNK),
    "many units": lambda: draw(700, 2),
    "transposed": lambda: draw(5, 4).t(),
    "one unit, transposed": lambda: draw(1, 3, 2).transpose(1, 2),
    "complex": lambda: torch.complex(draw(4, 3), draw(4, 3, seed=1)),
    "complex vector": lambda: torch.complex(draw(4), draw(4, seed=1)),
}


@pytest.mark.sampled(3)
@each_engine
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", REDUCTIONS)
def test_each_reduction_of_each_shape(name: str, shape: str, engine: str) -> None:
    function, reference = REDUCTIONS[name]

    @thalweg.rule
    def reduced(g, p, kept):
        return g + function(p, scope="unit"), function(g, scope="unit")

    g, start = SHAPES[shape](), SHAPES[shape]() / 2
    (after,), optimizer = step(reduced, [g], engine, [start], lr=0.5)
    expected = numbers(start) - 0.5 * (numbers(g) + of_units(start, reference))
    torch.testing.assert_close(numbers(after), expected, rtol=1e-12, atol=1e-13)
    (state,) = optimizer.state.values()
    torch.testing.assert_close(
        numbers(state["kept"]), of_units(g, reference), rtol=1e-12, atol=1e-13
    )
    # where its units are no pieces of memory, a tensor goes to the next engine
    by = engine if engine == "eager" else "foreach" if shape == "transposed" else "fused"
    assert not g.numel() or optimizer.plan().startswith(by)


@pytest.mark.parametrize("shape", [s for s in SHAPES if "complex" not in s and "emp" not in s])
@pytest.mark.parametrize("name", REDUCTIONS)
def test_on_plain_tensors(name: str, shape: str) -> None:
    """Outside an engine the units keep their dimensions, so that the result fits the tensor."""
    function, reference = REDUCTIONS[name]
    x = SHAPES[shape]()
    if x.numel():
        torch.testing.assert_close(
            function(x, scope="unit").expand(x.shape), of_units(x, reference)
        )
    assert dimensions(x) == x.ndim


@pytest.mark.parametrize("dtype", [DOUBLE, torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("shape", SHAPES)
def test_both_engines_agree_in_every_precision(shape: str, dtype: torch.dtype) -> None:
    @thalweg.rule
    def several(g, p, m):
        """Passes in a row, and scopes of every kind."""
        centred = g - mean(g, scope="unit")
        scaled = centred / (1 + norm(centred, scope="unit"))
        most = largest(torch.abs(scaled) * norm(p, scope="unit"))
        m = m + scaled / (1 + most) + total(scaled * scaled, scope="all")
        return m * (1 + dimensions(m)), m

    made = SHAPES[shape]()
    if made.is_complex():
        made = made.to(torch.complex64 if dtype != DOUBLE else torch.complex128)
    else:
        made = made.to(dtype)
    others = [draw(5, 7, seed=3, dtype=dtype), draw(11, seed=4)]
    seen = []
    for engine in ("eager", "auto"):
        params = [Parameter(x.clone()) for x in (made, *others)]
        optimizer = thalweg.Optimizer(params, several, lr=0.1, engine=engine)
        for k in range(3):
            for p in params:
                p.grad = (p * (k + 1)).detach().clone()
            optimizer.step()
        seen.append([*(p.detach() for p in params), *(optimizer.state[p]["m"] for p in params)])
    rtol = {DOUBLE: 1e-11, torch.float32: 2e-5, torch.bfloat16: 2.0**-5}[dtype]
    for a, b in zip(*seen, strict=True):
        torch.testing.assert_close(a, b, rtol=rtol, atol=rtol)


@each_engine
def test_a_reduction_of_what_units_made(engine: str) -> None:
    """What belongs to a unit stands for each of its elements, whichever scope reduces it next."""

    @thalweg.rule
    def nested(g, a, b, c, d):
        length = norm(g, scope="unit")
        return (
            g,
            g / largest(length),
            mean(length) + 0 * g,
            total(length, scope="all") + 0 * g,
            norm(length, scope="unit") + 0 * g,
        )

    gradients = [draw(4, 6), draw(5, seed=1), draw(2, 3, 2, seed=2), draw(CHUNK + 1, seed=3)]
    _, optimizer = step(nested, gradients, engine)
    lengths = [of_units(g, torch.linalg.vector_norm) for g in gradients]
    whole = sum(x.sum() for x in lengths)
    for g, x, state in zip(gradients, lengths, optimizer.state.values(), strict=True):
        expected = {"a": g / x.max(), "b": x.mean(), "c": whole, "d": of_units(x, torch.norm)}
        for name, value in expected.items():
            torch.testing.assert_close(state[name], value.expand(g.shape), rtol=1e-12, atol=1e-13)


@each_engine
def test_units_beside_other_scopes_and_tensors_of_every_kind(engine: str) -> None:
    @thalweg.rule
    def scoped(g):
        share = norm(g, scope="unit") / norm(g, scope="all")
        return g * share + mean(g) * dimensions(g)

    params, gradients = mixed()
    groups = [{"params": [p], "lr": 0.5 + k} for k, p in enumerate(params)]
    optimizer = thalweg.Optimizer(groups, scoped, lr=0.5, engine=engine)
    optimizer.step()
    whole = torch.cat([numbers(g).flatten() for g in gradients]).norm()
    for k, (p, g) in enumerate(zip(params, gradients, strict=True)):
        before = 0.5 * numbers(torch.ones_like(g))
        share = of_units(g, torch.linalg.vector_norm) / whole
        level = numbers(g).mean() if g.numel() else 0.0
        assert_alike(p.detach(), before - (0.5 + k) * (numbers(g) * share + level * g.ndim))
    plan = optimizer.plan()
    if engine == "eager":
        assert plan.count("eager") == len(params)
    else:  # float16, and in float64 and float32 what is not a piece of memory for each unit
        assert plan.count("foreach  1 tensor") == 3


@each_engine
def test_two_programs_with_and_without_units(engine: str) -> None:
    """A whole over both, though one cuts its tensors into units and the other does not."""

    @thalweg.rule
    def either(g, *, by_unit=False):
        length = norm(g, scope="all")
        return g / (length * norm(g, scope="unit")) if by_unit else g / length

    gradients = [draw(4, 5), draw(4, 5, seed=1), draw(3, seed=2)]
    params = [Parameter(torch.zeros_like(g)) for g in gradients]
    for p, g in zip(params, gradients, strict=True):
        p.grad = g.clone()
    groups = [{"params": params[:1]}, {"params": params[1:], "by_unit": True}]
    optimizer = thalweg.Optimizer(groups, either, lr=1.0, engine=engine)
    optimizer.step()
    whole = torch.cat([g.flatten() for g in gradients]).norm()
    for k, (p, g) in enumerate(zip(params, gradients, strict=True)):
        size = of_units(g, torch.linalg.vector_norm) if k else 1.0
        torch.testing.assert_close(p.detach(), -g / (whole * size), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("dtype", [DOUBLE, torch.float32, torch.bfloat16], ids=str)
def test_the_same_on_any_number_of_threads(dtype: torch.dtype) -> None:
    @thalweg.rule
    def unit_sums(g, s, all_):
        return 0 * g, total(g, scope="unit"), total(g * norm(g, scope="unit"), scope="all")

    # above the size at which a second thread is woken, in units shorter and longer than a chunk
    gradients = [draw(3, 2 * CHUNK + 11, dtype=dtype), draw(800, 300, seed=1, dtype=dtype)]
    seen = []
    for count in (1, 2, 4, 2):
        torch.set_num_threads(count)
        _, optimizer = step(unit_sums, gradients, "fused")
        seen.append([s[name] for s in optimizer.state.values() for name in ("s", "all_")])
    for one in seen[1:]:
        same(
            one,
            seen[0],
            because="sums are those of the chunks, in their order, whichever thread makes them",
        )
    tolerance = {DOUBLE: 1e-10, torch.float32: 1e-4, torch.bfloat16: 2.0**-7}[dtype]
    for g, s in zip(gradients, seen[0][::2], strict=True):
        expected = of_units(g, torch.sum)
        torch.testing.assert_close(s.double(), expected, rtol=tolerance, atol=tolerance)


@each_engine
@pytest.mark.parametrize("name", REDUCTIONS)
def test_a_nan_stays_in_its_unit(name: str, engine: str) -> None:
    function, _ = REDUCTIONS[name]
    g = torch.ones(3, 4, dtype=DOUBLE)
    g[1, 2] = float("nan")
    (after,), _ = step(thalweg.rule(lambda g: g - function(g, scope="unit")), [g], engine)
    assert after[1].isnan().all()
    assert after[[0, 2]].isfinite().all()


# -- dimensions -------------------------------------------------------------------------------------------


@each_engine
def test_dimensions_choose_and_count(engine: str) -> None:
    @thalweg.rule
    def shaped(g, kept, *, factor=1.0):
        matrix = dimensions(g) > 1
        kept = torch.where(matrix, g - mean(g, scope="unit"), 2 * g)
        return torch.where(dimensions(g) >= factor, g, -g), kept + dimensions(kept)

    gradients = [draw(1)[0], draw(3), draw(2, 3), draw(2, 3, 1, 1), draw(0, 3), draw(2, 3).t()]
    params = [Parameter(torch.zeros_like(g)) for g in gradients]
    groups = [{"params": params[:3]}, {"params": params[3:], "factor": 3.0}]
    for p, g in zip(params, gradients, strict=True):
        p.grad = g.clone()
    optimizer = thalweg.Optimizer(groups, shaped, lr=1.0, engine=engine)
    optimizer.step()
    for k, (p, g) in enumerate(zip(params, gradients, strict=True)):
        sign = -1 if g.ndim >= (1 if k < 3 else 3) else 1
        torch.testing.assert_close(p.detach(), sign * g)
        kept = g - of_units(g, torch.mean) if g.ndim > 1 else 2 * g
        torch.testing.assert_close(optimizer.state[p]["kept"], kept + g.ndim)


@each_engine
def test_dimensions_of_a_complex_tensor(engine: str) -> None:
    """A pair of real numbers is not a dimension."""
    g = torch.complex(draw(2, 3), draw(2, 3, seed=1))
    (after,), _ = step(thalweg.rule(lambda g: dimensions(g) * g), [g], engine)
    torch.testing.assert_close(after, -2 * g)


# -- changes ----------------------------------------------------------------------------------------------


@each_engine
@pytest.mark.parametrize("warm", [1, 2])
def test_a_parameter_that_takes_another_shape_in_its_memory(engine: str, warm: int) -> None:
    """Its address and size are what they were, its units are not."""
    w = Parameter(torch.zeros(12, dtype=DOUBLE))
    centred = thalweg.rule(lambda g: g - mean(g, scope="unit") + dimensions(g))
    optimizer = thalweg.Optimizer([w], centred, lr=1.0, engine=engine)
    for k, shape in enumerate([(12,), (3, 4), (4, 3), (2, 3, 2), (12,)] * warm):
        w.grad = None
        w.data = w.data.view(shape)
        before = w.detach().clone()
        w.grad = draw(*shape, seed=k)
        optimizer.step()
        expected = before - (w.grad - of_units(w.grad, torch.mean) + len(shape))
        torch.testing.assert_close(w.detach(), expected)


@each_engine
def test_other_dimensions_in_the_same_memory(engine: str) -> None:
    w = Parameter(torch.zeros(6, dtype=DOUBLE))
    optimizer = thalweg.Optimizer([w], counting, lr=1.0, engine=engine)
    for shape in ((6,), (2, 3), (1, 6, 1), (6,)):
        w.grad = None
        w.data = w.data.view(shape).zero_()
        w.grad = torch.zeros(shape, dtype=DOUBLE)
        optimizer.step()
        assert w.flatten().tolist() == [-float(len(shape))] * 6


counting = thalweg.rule(lambda g: g + dimensions(g))


@each_engine
def test_a_parameter_that_is_transposed_in_its_memory(engine: str) -> None:
    w = Parameter(torch.zeros(3, 3, dtype=DOUBLE))
    centred = thalweg.rule(lambda g: g - mean(g, scope="unit"))
    optimizer = thalweg.Optimizer([w], centred, lr=1.0, engine=engine)
    for k in range(4):
        w.grad = None
        w.data = w.data.t() if k else w.data
        before = w.detach().clone()
        w.grad = torch.empty_like(w).copy_(draw(3, 3, seed=k))
        optimizer.step()
        expected = before - (w.grad - w.grad.mean(1, keepdim=True))
        torch.testing.assert_close(w.detach(), expected)


@pytest.mark.parametrize("scope", ["units", "row", "", "Tensor", None])
@pytest.mark.parametrize("function", [norm, mean, total, largest])
def test_an_unknown_scope(function: Function, scope: Any) -> None:
    match = r"scope .*one of 'tensor', 'all', 'unit', got " + repr(scope)
    match += ".*Did you mean 'unit'" if scope == "units" else ""
    with pytest.raises(RuleError, match=match):
        thalweg.rule(lambda g: g * function(g, scope=scope))
    with pytest.raises(ValueError, match=match):
        function(torch.ones(3), scope=scope)


@each_engine
def test_a_scope_may_be_a_switch(engine: str) -> None:
    @thalweg.rule
    def scoped(g, *, scope="tensor"):
        return g / norm(g, scope=scope)

    g = draw(3, 4)
    for scope, length in (
        ("tensor", g.norm()),
        ("unit", g.norm(dim=1, keepdim=True)),
        ("all", torch.cat([g.flatten(), g.flatten()]).norm()),
    ):
        (after, _), _ = step(scoped(scope=scope), [g, g], engine)
        torch.testing.assert_close(after, -g / length)
    with pytest.raises(RuleError, match="got 'rows'"):
        scoped(scope="rows")


@each_engine
def test_centralized_clipped_by_unit(engine: str) -> None:
    """Two rules by units in one chain, beside PyTorch's own functions."""
    chain = thalweg.chain(rules.centralize, rules.clip_by_unit(clipping=0.25, eps=0.5))
    gradients, start = [draw(4, 3, 2), draw(5, seed=1)], [draw(4, 3, 2, seed=2), draw(5, seed=3)]
    after, _ = step(chain, gradients, engine, start, lr=0.5)
    for a, g, p in zip(after, gradients, start, strict=True):
        inner = tuple(range(1, g.ndim)) or (0,)
        u = g - g.mean(inner, keepdim=True) if g.ndim > 1 else g
        limit = 0.25 * p.norm(dim=inner, keepdim=True).clamp(min=0.5)
        u = u * (limit / u.norm(dim=inner, keepdim=True)).clamp(max=1.0)
        torch.testing.assert_close(a, p - 0.5 * u, rtol=1e-12, atol=1e-14)
