"""The functions that a kernel calls: of LLVM, of a vector of numbers, or of the C library.

A function of a vector is called by LLVM's loop vectoriser in the place of one of a number, whose attribute
names it. That one calls it, too, on a vector full of its number: so an element has the same bits wherever
it stands, in the vectors of a loop or among those left over.
"""

from __future__ import annotations

from llvmlite import ir

from thalweg.engine.cpu.processor import processor
from thalweg.engine.cpu.vector_functions import VectorFunction, vector_function
from thalweg.engine.program.ops import TRANSCENDENTAL

INSTRUCTIONS = {
    "sqrt": "llvm.sqrt",
    "abs": "llvm.fabs",
    "floor": "llvm.floor",
    "ceil": "llvm.ceil",
    "trunc": "llvm.trunc",
    "round": "llvm.rint",
    "copysign": "llvm.copysign",
    "maximum": "llvm.maximum",
    "minimum": "llvm.minimum",
}
"""Intrinsics of LLVM that are instructions, or a few of them."""
CALLED = (*TRANSCENDENTAL, "pow", "atan2", "hypot")
"""Functions of a vector, or of the C library where there is none."""
REMAINDER = ("fmod", "mod", "floordiv")
"""Operations with LLVM's `frem`, which becomes a call of the C library's fmod."""

F32, F64, I32 = ir.FloatType(), ir.DoubleType(), ir.IntType(32)
DTYPES = {"float32": F32, "float64": F64}
PURE = ("nounwind", "willreturn", "memory(none)")


def library_symbols(used: set[str], dtype: str) -> list[str]:
    """Return the C functions that kernels with these operations call."""
    names = [
        op for op in CALLED if op in used and vector_function(op, dtype, processor()) is None
    ]
    if used.intersection(REMAINDER):
        names.append("fmod")
    return [_library_name(op, dtype) for op in names]


def _library_name(op: str, dtype: str) -> str:
    return op if dtype == "float64" else f"{op}f"


def function_of(module: ir.Module, op: str, dtype: str, arity: int) -> ir.Function:
    """Return a function of numbers, declared in the module once."""
    real = DTYPES[dtype]
    signature = ir.FunctionType(real, [real] * arity)
    if op in INSTRUCTIONS:
        return module.declare_intrinsic(INSTRUCTIONS[op], [real], signature)
    vector = vector_function(op, dtype, processor())
    if vector is None:
        return _declared(module, _library_name(op, dtype), signature)
    name = f"one_{op}"
    return module.globals.get(name) or _one(module, name, signature, vector)


def _declared(module: ir.Module, name: str, signature: ir.FunctionType) -> ir.Function:
    known = module.globals.get(name)
    if known is None:
        known = ir.Function(module, signature, name)
        _mark(known, *PURE)
    return known


def _defined(module: ir.Module, name: str, signature: ir.FunctionType) -> ir.Function:
    """Begin a function of the module alone; the vectoriser must see its calls, so none is inlined."""
    made = ir.Function(module, signature, name)
    made.linkage = "internal"
    _mark(made, "noinline", *PURE)
    return made


def _mark(function: ir.Function, *attributes: str) -> None:
    for attribute in attributes:
        set.add(function.attributes, attribute)  # llvmlite knows a few attributes only


def _one(
    module: ir.Module, name: str, signature: ir.FunctionType, vector: VectorFunction
) -> ir.Function:
    """Define a function of numbers by one of vectors."""
    real, arity = signature.return_type, len(signature.args)
    own = real == DTYPES[vector.dtype]
    width = vector.width if own else 2 * vector.width
    kind = ir.VectorType(real, width)
    whole = ir.FunctionType(kind, [kind] * arity)
    called = _declared(module, vector.symbol, whole) if own else _wide(module, whole, vector)
    one = _defined(module, name, signature)
    _mark(
        one,
        f'"vector-function-abi-variant"="_ZGV_LLVM_N{width}{"v" * arity}_{name}({called.name})"',
    )
    b = ir.IRBuilder(one.append_basic_block())
    undefined = ir.Constant(kind, ir.Undefined)
    everywhere = ir.Constant(ir.VectorType(I32, width), [0] * width)
    vectors = [
        b.shuffle_vector(b.insert_element(undefined, x, I32(0)), undefined, everywhere)
        for x in one.args
    ]
    b.ret(b.extract_element(b.call(called, vectors), I32(0)))
    return one


def _wide(module: ir.Module, signature: ir.FunctionType, vector: VectorFunction) -> ir.Function:
    """Define a function of float32 vectors by one of float64, half a vector at a time."""
    half, arity = vector.width, len(signature.args)
    kind = ir.VectorType(F64, half)
    called = _declared(module, vector.symbol, ir.FunctionType(kind, [kind] * arity))
    wide = _defined(module, f"wide_{vector.symbol}", signature)
    b = ir.IRBuilder(wide.append_basic_block())
    given = [b.fpext(x, ir.VectorType(F64, 2 * half)) for x in wide.args]
    halves = []
    for start in (0, half):
        lanes = ir.Constant(ir.VectorType(I32, half), list(range(start, start + half)))
        halves.append(b.call(called, [b.shuffle_vector(x, x, lanes) for x in given]))
    lanes = ir.Constant(ir.VectorType(I32, 2 * half), list(range(2 * half)))
    b.ret(b.fptrunc(b.shuffle_vector(*halves, lanes), signature.return_type))
    return wide
