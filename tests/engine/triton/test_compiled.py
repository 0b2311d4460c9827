"""The kernels as Triton's compiler takes them, for GPUs that need not be there.

What it makes cannot be run here; but what it refuses (a type, a function that libdevice lacks) is seen.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.optim.cases import PRINTED_PROGRAMS, PRINTED_RICHEST, Case
from thalweg.engine.program.program import Program

from .interpreter import compiled, program_of

pytestmark = compiled

TARGETS = {"sm_80": ("cuda", 80, 32), "sm_90": ("cuda", 90, 32), "gfx942": ("hip", "gfx942", 64)}
WIDE = ("float32", "float64", "bfloat16", "float16")
ADAM = next(case for case in PRINTED_RICHEST if case.optimizer == "Adam")
LAMB = next(case for case in PRINTED_RICHEST if case.optimizer == "LAMB")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))


def assembled(kernel: Any, target: str, block: int = 1024) -> dict[str, Any]:
    """Return what the compiler makes of a kernel for a GPU, with the options of a launch."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from thalweg.engine.triton.counting import WORDS
    from thalweg.engine.triton.device import LAUNCH

    integers = {"pointers", "chunks", "places", "segments", "lines", "groups", "table"}
    signature = {
        name: "constexpr"
        if name == "BLOCK"
        else "i32"
        if name in ("count", "stride")
        else "i64"
        if name in WORDS
        else "*i64"
        if name in integers
        else "*fp64"
        for name in kernel.arg_names
    }
    # tables begin at a multiple of 16 bytes, as PyTorch allocates them
    aligned = {
        (k,): [["tt.divisibility", 16]]
        for k, kind in enumerate(signature.values())
        if kind.startswith("*")
    }
    constants = {"BLOCK": block} if "BLOCK" in signature else {}
    source = ASTSource(kernel, signature, constexprs=constants, attrs=aligned)
    made = triton.compile(source, target=GPUTarget(*TARGETS[target]), options=LAUNCH)
    found: dict[str, Any] = made.asm
    return found


def counting_kernels(program: Program) -> list[Any]:
    """Return the kernels that a step launches besides where its numbers live on the device."""
    from thalweg.engine.triton.counting import WORDS, print_fill, print_keep, print_numbers
    from thalweg.engine.triton.source import jit

    return [
        jit(print_numbers(program), "numbers"),
        jit(print_keep(1 + len(program.scalar_outputs), 2), "keep"),
        jit(print_fill(), "fill", ("count", "stride", *WORDS)),
    ]


def kernels(program: Program, dtypes: tuple[str, ...], scaled: bool = False) -> list[Any]:
    """Return every kernel that a step of a program launches."""
    from thalweg.engine.triton.batch import passes
    from thalweg.engine.triton.scalars import all_reductions, print_fold, print_scalars
    from thalweg.engine.triton.source import jit

    made = passes(program, dtypes, scaled)
    found = [each.kernel for each in made]
    found += [jit(each.scalars.text, "scalars") for each in made if each.scalars]
    numbers = tuple(program.number_outputs.values())
    if numbers:
        found.append(jit(print_scalars(program, numbers, of_tensors=True).text, "scalars"))
    found += [jit(print_fold(op), "fold") for op in {v.op for v in all_reductions(program)}]
    return found


def assert_compiles(case: Case, dtype: str, target: str) -> None:
    program = program_of(case)
    for kernel in kernels(program, (dtype,) * len(program.tensors)):
        made = assembled(kernel, target)
        assert made["hsaco" if target == "gfx942" else "cubin"]


@pytest.mark.parametrize("target", ["sm_90", "gfx942"])
def test_a_few_compile(target: str) -> None:
    assert_compiles(LAMB, "float32", target)


@pytest.mark.parametrize(
    "target", ["sm_90", pytest.param("gfx942", marks=pytest.mark.full)], ids=str
)
def test_steps_that_count_on_the_device_compile(target: str) -> None:
    program = program_of(next(case for case in PRINTED_RICHEST if case.optimizer == "NAdam"))
    dtypes = ("float16",) * len(program.tensors)
    for kernel in [*counting_kernels(program), *kernels(program, dtypes, scaled=True)]:
        made = assembled(kernel, target)
        assert made["hsaco" if target == "gfx942" else "cubin"]


@pytest.mark.full
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", WIDE)
@pytest.mark.parametrize("case", PRINTED_RICHEST, ids=[case.name for case in PRINTED_RICHEST])
def test_every_optimizer_compiles(case: Case, dtype: str, target: str) -> None:
    if dtype in ("float32", "bfloat16") or target == "sm_90":
        assert_compiles(case, dtype, target)


@pytest.mark.full
@pytest.mark.parametrize("target", ["sm_90", "gfx942"])
@pytest.mark.parametrize("case", PRINTED_PROGRAMS, ids=[case.name for case in PRINTED_PROGRAMS])
def test_every_program_compiles(case: Case, target: str) -> None:
    assert_compiles(case, "float32", target)


def test_full_chunks_are_read_and_written_in_vectors() -> None:
    """Sixteen bytes at once: the memory of a GPU is as fast as its widest accesses."""
    program = program_of(ADAM)
    for dtype in ("float32", "bfloat16"):
        (kernel,) = kernels(program, (dtype,) * len(program.tensors))
        text = assembled(kernel, "sm_90")["ptx"]
        wide = [line for line in text.splitlines() if "global.v4.b32" in line]
        reads = [line for line in wide if "ld.global" in line]
        writes = [line for line in wide if "st.global" in line]
        per_slot = 2 if dtype == "float32" else 1  # eight numbers a thread
        slots = len(program.tensors)
        assert (len(reads), len(writes)) == (per_slot * slots, per_slot * (slots - 1))


def test_no_product_is_fused_with_a_sum_and_divisions_are_exact() -> None:
    """An eager step on the GPU rounds each operation by itself, and so do these."""
    (kernel,) = kernels(program_of(ADAM), ("float32",) * len(program_of(ADAM).tensors))
    text = assembled(kernel, "sm_90")["ptx"]
    assert "fma.rn.f32" not in text
    assert "div.full" not in text
    assert "div.approx" not in text
    assert "sqrt.approx" not in text
    assert "div.rn.f32" in text
    assert "sqrt.rn.f32" in text


def test_half_precision_and_float64_have_kernels_of_their_own() -> None:
    for dtype, bits in {"float64": "f64", "float16": "f32", "bfloat16": "f32"}.items():
        (kernel,) = kernels(program_of(ADAM), (dtype,) * len(program_of(ADAM).tensors))
        assert f"mul.{bits}" in assembled(kernel, "sm_90")["ptx"].replace(".rn", "")
