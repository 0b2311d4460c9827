"""The functions that kernels call: exact, the same for each place of an element, those of this processor."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

import thalweg
from tests.engine.cpu import function_errors
from tests.exact import same
from thalweg.engine.cpu.functions import vectors
from thalweg.engine.cpu.functions.called import CALLED
from thalweg.engine.cpu.functions.printed import PRINTED
from thalweg.engine.cpu.functions.vector_table import AVX2, SSE
from thalweg.engine.cpu.kernel import print_kernel
from thalweg.engine.cpu.processor import levels, processor
from thalweg.engine.language.compose import program_of
from thalweg.engine.language.places import name_places
from thalweg.engine.program.printing import Layout

Function = Callable[..., Tensor]
DTYPES = (torch.float32, torch.float64)

BEHIND = "libmvec and PyTorch's SLEEF, on Linux with x86-64"
HAVE_VECTORS = vectors.vector_function("pow", "float32", processor()) is not None


def function(op: str) -> Function:
    """Return a function of PyTorch that is lowered to an operation."""
    if op == "cbrt":
        return lambda x: x ** (1 / 3)
    torch_function: Function = getattr(torch, op)
    return torch_function


def rule(op: str) -> thalweg.Rule:
    f, two = function(op), function_errors.ARITY[op] == 2

    @thalweg.rule
    def alone(g, p, kept):
        return 0 * g, (f(g, p) if two else f(g))

    return alone


def moved(x: Tensor, start: int) -> Tensor:
    """Return a copy so many elements behind an aligned address."""
    room = torch.empty(len(x) + start, dtype=x.dtype)
    room[start:] = x
    return room[start:]


def values(op: str, columns: list[tuple[Tensor, Tensor]], engine: str = "fused") -> list[Tensor]:
    """Return a function of the elements of several pairs of tensors."""
    params = [torch.nn.Parameter(moved(p, p.storage_offset())) for _, p in columns]
    for (g, _), p in zip(columns, params, strict=True):
        p.grad = g
    optimizer = thalweg.Optimizer(params, rule(op), lr=0.0, engine=engine)
    optimizer.step()
    return [optimizer.state[p]["kept"] for p in params]


def hard(op: str, dtype: torch.dtype, count: int) -> tuple[Tensor, Tensor]:
    name = str(dtype).removeprefix("torch.")
    if function_errors.ARITY[op] == 2:
        x, y = function_errors.pairs(op, name, count)
    else:
        x = y = function_errors.points(name, count)
    return torch.from_numpy(x.copy()), torch.from_numpy(y.copy())


@pytest.mark.sampled(2)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("op", CALLED)
def test_an_element_has_the_same_bits_wherever_it_stands(op: str, dtype: torch.dtype) -> None:
    """At every offset from an aligned address, in vectors and among those left over."""
    x, y = (z[-64:].contiguous() for z in hard(op, dtype, 10))
    (whole,) = values(op, [(x, y)])
    spans = [slice(k, k + 16 + length) for k in range(16) for length in (0, k)]
    spans += [slice(3, 3 + length) for length in range(1, 16)]
    parts = values(op, [(moved(x[s], s.start), moved(y[s], s.start)) for s in spans])
    for span, part in zip(spans, parts, strict=True):
        same(part, whole[span], because="one function computes every element")


@pytest.mark.sampled(2)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("op", CALLED)
def test_no_element_is_far_from_the_truth(op: str, dtype: torch.dtype) -> None:
    """2 ulp, by whatever computes it here."""
    single = dtype == torch.float32
    x, y = hard(op, dtype, 2000 if single else 20)
    (actual,) = values(op, [(x, y)])
    if op == "cbrt":  # a power with a broken exponent, of which negative numbers have none
        x = torch.where(x == -torch.inf, torch.inf, torch.where(x < 0, torch.nan, abs(x)))
    operands = (x.numpy(), y.numpy())[: function_errors.ARITY[op]]
    if single:
        errors = function_errors.ulps_of_float32(
            actual.numpy(), function_errors.truth(op, operands)
        )
    else:
        errors = function_errors.ulps_of_float64(op, actual.numpy(), operands)
    worst = int(np.argmax(errors))
    assert errors[worst] <= 2.0, [float(v[worst]) for v in (*operands, actual)]


@pytest.mark.skipif(not HAVE_VECTORS, reason=f"needs {BEHIND}")
@pytest.mark.full
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("op", CALLED)
def test_functions_are_as_exact_as_the_table_says(op: str, dtype: torch.dtype) -> None:
    """Another release of a library may have other errors, within the bound all the same."""
    name = str(dtype).removeprefix("torch.")
    table = vectors.table(processor())
    for kind in (name, "wide") if name == "float32" else (name,):
        own = "float64" if kind == "wide" else kind
        known = {m.symbol for m in table.get((op, kind), ())}
        for candidate in function_errors.candidates(op, own):
            if candidate.symbol in known and vectors.find(candidate.symbol):
                count = 200_000 if name == "float32" else 500
                ulp, where = function_errors.measure(candidate, count, kind)
                assert ulp <= function_errors.MOST, f"{candidate.symbol}: {ulp} ulp at {where}"


@pytest.mark.skipif(not HAVE_VECTORS, reason=f"needs {BEHIND}")
@pytest.mark.parametrize("op", CALLED)
def test_no_vector_function_looks_at_its_neighbours(op: str) -> None:
    """Infinities, NaN, huge and subnormal numbers in the other places change no bit of an element."""
    table = vectors.table(processor())
    for (name, kind), found in table.items():
        own = "float64" if kind == "wide" else kind
        bounds = {m.symbol: m.bound for m in found}
        for candidate in function_errors.candidates(op, own) if name == op else ():
            symbol = candidate.symbol
            if symbol in bounds and vectors.find(symbol):
                at = function_errors.first_beside_others(candidate, bounds[symbol])
                assert at is None, f"{symbol}({at!r})"


def test_the_check_of_neighbours_finds_one() -> None:
    """SLEEF's sine computes a vector with one large number in another way."""
    for candidate in function_errors.candidates("sin", "float64"):
        if candidate.symbol.startswith("Sleef") and vectors.find(candidate.symbol):
            assert function_errors.first_beside_others(candidate, 0.0) is not None


@pytest.mark.parametrize("op", PRINTED)
def test_printed_functions_on_numbers_of_every_size(op: str) -> None:
    bits = torch.arange(-(2**31), 2**31, 4099).to(torch.int32)
    x = bits.view(torch.float32)
    (actual,) = values(op, [(x, x)])
    errors = function_errors.ulps_of_float32(
        actual.numpy(), function_errors.truth(op, (x.numpy(),))
    )
    worst = int(np.argmax(errors))
    assert errors[worst] <= 2.0, (float(x[worst]), float(actual[worst]))


def test_the_tables_hold_what_is_near_the_truth() -> None:
    for table in (AVX2, SSE):
        for (op, _), found in table.items():
            assert op in CALLED
            assert all(0 < m.ulp <= function_errors.MOST for m in found)


def text(op: str, dtype: str) -> str:
    """Return the kernel of a rule that calls a function."""
    made = rule(op)
    program = program_of(name_places([made]), {}, lambda: op)
    return print_kernel(program, 0, Layout((dtype,) * 3, program.host_reads, ()), "step")


@pytest.mark.skipif(not HAVE_VECTORS, reason=f"needs {BEHIND}")
@pytest.mark.parametrize("op", CALLED)
def test_no_processor_is_given_the_functions_of_another(
    op: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for level in levels():
        monkeypatch.setenv("THALWEG_CPU", level)
        for dtype in ("float32", "float64"):
            printed = text(op, dtype)
            below = level in ("x86-64", "x86-64-v2")
            assert not (below and ("avx2" in printed or "_ZGVd" in printed))
            assert not (not below and "_ZGVb" in printed)
            assert "avx512" not in printed
            assert "_ZGVe" not in printed


@pytest.mark.sampled(3)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("op", CALLED)
def test_without_libraries_kernels_call_the_c_library(
    op: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(vectors, "find", lambda symbol: False)
        x, y = (z[-60:] for z in hard(op, dtype, 10))
        (actual,) = values(op, [(x, y)])
        printed = text(op, str(dtype).removeprefix("torch."))
    assert "_ZGV_LLVM" not in printed or "printed_" in printed
    (expected,) = values(op, [(x, y)])
    rtol = 4 * torch.finfo(dtype).eps  # each is within 2 ulp of the truth
    smallest = torch.finfo(dtype).smallest_normal * torch.finfo(dtype).eps
    torch.testing.assert_close(actual, expected, rtol=rtol, atol=4 * smallest, equal_nan=True)


@pytest.mark.skipif(not HAVE_VECTORS, reason=f"needs {BEHIND}")
def test_a_kernel_beside_other_libraries_is_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The names of the functions are in its text, so it is never taken from the cache in their absence."""
    with_vectors = text("exp", "float32")
    known = vectors.find
    monkeypatch.setattr(vectors, "find", lambda s: s.startswith("_ZGV") and known(s))
    without_sleef = text("exp", "float32")
    assert "Sleef" not in without_sleef
    assert with_vectors != without_sleef or "Sleef" not in with_vectors
