"""The functions that a kernel calls: of LLVM, of a vector of numbers, or of the C library.

A function of a vector is called by LLVM's loop vectorizer instead of one of a number, whose attribute
names it. That one calls it, too, on a vector full of its number: so an element has the same bits wherever
it stands, in the vectors of a loop or among those left over.
"""

from __future__ import annotations

from llvmlite import ir

from thalweg.engine.cpu.functions.known import CALLED, INSTRUCTIONS, REMAINDER
from thalweg.engine.cpu.functions.printed import Printer
from thalweg.engine.cpu.functions.vectors import PRINTED_SYMBOL, VectorFunction, vector_function
from thalweg.engine.cpu.processor import processor

F32, F64, I32 = ir.FloatType(), ir.DoubleType(), ir.IntType(32)
DTYPES = {"float32": F32, "float64": F64}
PURE = ("nounwind", "willreturn", "memory(none)")


def library_symbols(used: set[str], dtype: str) -> list[str]:
    """Return the C functions that kernels with these operations call."""
    names = []
    for op in (op for op in CALLED if op in used):
        vector = vector_function(op, dtype, processor())
        if vector is None or vector.bound:
            names.append(op)
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
    return module.globals.get(f"one_{op}") or _one(module, op, signature, vector)


def _declared(module: ir.Module, name: str, signature: ir.FunctionType) -> ir.Function:
    known = module.globals.get(name)
    if known is None:
        known = ir.Function(module, signature, name)
        _mark(known, *PURE)
    return known


def _called(module: ir.Module, vector: VectorFunction, arity: int) -> ir.Function:
    """Declare a function of a library."""
    kind = ir.VectorType(DTYPES[vector.dtype], vector.width)
    return _declared(module, vector.symbol, ir.FunctionType(kind, [kind] * arity))


def _defined(module: ir.Module, name: str, signature: ir.FunctionType) -> ir.Function:
    """Begin a function of the module alone; the vectorizer must see its calls, so none is inlined."""
    made = ir.Function(module, signature, name)
    made.linkage = "internal"
    _mark(made, "noinline", *PURE)
    return made


def _mark(function: ir.Function, *attributes: str) -> None:
    for attribute in attributes:
        set.add(function.attributes, attribute)  # llvmlite knows a few attributes only


def _one(
    module: ir.Module, op: str, signature: ir.FunctionType, vector: VectorFunction
) -> ir.Function:
    """Define a function of numbers by one of vectors."""
    name = f"one_{op}"
    real, arity = signature.return_type, len(signature.args)
    own = real == DTYPES[vector.dtype]
    width = vector.width if own else 2 * vector.width
    kind = ir.VectorType(real, width)
    whole = ir.FunctionType(kind, [kind] * arity)
    printed = vector.symbol == PRINTED_SYMBOL
    called = _printed(module, op, vector) if printed else _called(module, vector, arity)
    if vector.bound:
        called = _bounded(module, op, vector, called)
    if not own:
        called = _wide(module, whole, called)
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


def _wide(module: ir.Module, signature: ir.FunctionType, called: ir.Function) -> ir.Function:
    """Define a function of float32 vectors by one of float64, half a vector at a time."""
    half = called.function_type.return_type.count
    wide = _defined(module, f"wide_{called.name}", signature)
    b = ir.IRBuilder(wide.append_basic_block())
    given = [b.fpext(x, ir.VectorType(F64, 2 * half)) for x in wide.args]
    halves = []
    for start in (0, half):
        lanes = ir.Constant(ir.VectorType(I32, half), list(range(start, start + half)))
        halves.append(b.call(called, [b.shuffle_vector(x, x, lanes) for x in given]))
    lanes = ir.Constant(ir.VectorType(I32, 2 * half), list(range(2 * half)))
    b.ret(b.fptrunc(b.shuffle_vector(*halves, lanes), signature.return_type))
    return wide


def _printed(module: ir.Module, op: str, vector: VectorFunction) -> ir.Function:
    """Define a function of a vector by what is printed."""
    kind = ir.VectorType(F32, vector.width)
    name = f"llvm.fmuladd.v{vector.width}f32"
    muladd = _declared(module, name, ir.FunctionType(kind, [kind] * 3))
    made = _defined(module, f"printed_{op}", ir.FunctionType(kind, [kind]))
    b = ir.IRBuilder(made.append_basic_block())
    b.ret(Printer(b, vector.width, muladd).emit(op, made.args[0]))
    return made


def _bounded(
    module: ir.Module, op: str, vector: VectorFunction, called: ir.Function
) -> ir.Function:
    """Define a function of vectors that calls another one for numbers up to its bound.

    One number beyond the bound, and that function computes its whole vector in another way, with other last
    bits: it gets a 0 instead of such numbers, which then go to the C library, one by one.
    """
    real, bound = DTYPES[vector.dtype], vector.bound
    kind = ir.VectorType(real, vector.width)
    single = _declared(module, _library_name(op, vector.dtype), ir.FunctionType(real, [real]))
    element = "f64" if real == F64 else "f32"
    size = _declared(module, f"llvm.fabs.v{vector.width}{element}", ir.FunctionType(kind, [kind]))
    made = _defined(module, f"bounded_{called.name}", ir.FunctionType(kind, [kind]))
    x = made.args[0]
    b = ir.IRBuilder(made.append_basic_block())
    near = b.fcmp_ordered("<", b.call(size, [x]), ir.Constant(kind, [bound] * vector.width))
    zeros = ir.Constant(kind, [0.0] * vector.width)
    fast = b.call(called, [b.select(near, x, zeros)])
    beyond, end = made.append_basic_block(), made.append_basic_block()
    lanes = ir.IntType(vector.width)
    everywhere = b.icmp_unsigned("==", b.bitcast(near, lanes), lanes(2**vector.width - 1))
    start = b.block
    b.cbranch(everywhere, end, beyond)
    b.position_at_end(beyond)
    mixed = fast
    for lane in map(I32, range(vector.width)):
        exact = b.call(single, [b.extract_element(x, lane)])
        number = b.select(b.extract_element(near, lane), b.extract_element(fast, lane), exact)
        mixed = b.insert_element(mixed, number, lane)
    b.branch(end)
    b.position_at_end(end)
    result = b.phi(kind)
    result.add_incoming(fast, start)
    result.add_incoming(mixed, beyond)
    b.ret(result)
    return made
