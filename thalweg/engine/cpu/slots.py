"""The slots of a kernel: how an element of each is read, computed with, and written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llvmlite import ir

from thalweg.engine.cpu.functions.coded import BlockScale, emit_decoded, emit_scale
from thalweg.engine.program.formats import BLOCK as CODED

I8, I16, I32, I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))
F32, F64, POINTER = ir.FloatType(), ir.DoubleType(), ir.PointerType()
ELEMENTS: Mapping[str, ir.Type] = {
    "float32": F32,
    "float64": F64,
    "bfloat16": I16,
    "int16": I16,
    "int8": I8,
}
"""What lies in memory for each dtype."""


class Slots:
    """The slots of the tensor whose chunk a kernel is at.

    Args:
        module: of the kernel.
        dtypes: of each slot: gradient, parameter, states, then the scales of states of 8 bits.
        real: what elements are computed in.
        vectors: how many slots come behind these whose addresses stand in no table of pointers; the kernel
            puts them into `vectors`.
        buffers: how many of `dtypes` are slots of matrix values, which stand behind the scales.
    """

    def __init__(
        self,
        module: ir.Module,
        dtypes: Sequence[str],
        real: ir.Type,
        vectors: int = 0,
        buffers: int = 0,
    ) -> None:
        wide = "float64" if real == F64 else "float32"
        self.dtypes, self.real, self._pointers = (*dtypes, *[wide] * vectors), real, len(dtypes)
        self.vectors: list[Any] = []
        coded = [k for k, dtype in enumerate(dtypes) if dtype == "int8"]
        first = len(dtypes) - buffers - len(coded)
        self.scale_of = {slot: first + k for k, slot in enumerate(coded)}
        """For each slot of 8 bits, the one that holds its scales."""
        self._scopes = _alias_scopes(module, len(self.dtypes) + len(coded))
        self._at: list[Any] = []
        self._scales: dict[int, BlockScale] = {}
        self.buffers: dict[int, Any] = {}

    def reserve(self, b: ir.IRBuilder) -> None:
        """Make room for a block of new numbers of each state of 8 bits."""
        self.buffers = {
            slot: b.alloca(F32, I64(CODED), name=f"new {slot}") for slot in self.scale_of
        }

    def open(self, b: ir.IRBuilder, pointers: Any, tensor: Any, offset: Any) -> None:
        """Read the address of every slot and move it to the start of the chunk."""
        base = b.mul(tensor, I64(self._pointers))
        scales = self.scale_of.values()
        block = b.udiv(offset, I64(CODED)) if scales else None
        self._at = []
        for slot, dtype in enumerate(self.dtypes[: self._pointers]):
            at = b.gep(pointers, [b.add(base, I64(slot))], source_etype=I64)
            start = b.inttoptr(b.load(at, typ=I64), POINTER)
            moved = block if slot in scales else offset
            self._at.append(b.gep(start, [moved], source_etype=ELEMENTS[dtype]))
        self._at += self.vectors

    def open_block(self, b: ir.IRBuilder, index: Any) -> None:
        """Read the scales of the block that begins at an element of the chunk."""
        for slot, scale in self.scale_of.items():
            at = b.udiv(index, I64(CODED))
            kept = b.load(b.gep(self._at[scale], [at], source_etype=F32), typ=F32)
            self._tag(kept, scale)
            self._scales[slot] = emit_scale(b, kept)

    def write_scale(self, b: ir.IRBuilder, value: Any, slot: int, index: Any) -> None:
        """Write the scale of the block that begins at an element of the chunk."""
        scale = self.scale_of[slot]
        at = b.gep(self._at[scale], [b.udiv(index, I64(CODED))], source_etype=F32)
        self._tag(b.store(value, at), scale)

    def load(self, b: ir.IRBuilder, slot: int, index: Any) -> ir.Value:
        """Read an element as a number."""
        dtype = self.dtypes[slot]
        loaded = b.load(self._address(b, slot, index), typ=ELEMENTS[dtype])
        self._tag(loaded, slot)
        if dtype == "bfloat16":  # the upper half of a float32
            loaded = b.bitcast(b.shl(b.zext(loaded, I32), I32(16)), F32)
        elif dtype == "int16":
            loaded = b.sitofp(loaded, F32)
        elif dtype == "int8":
            loaded = emit_decoded(b, loaded, self._scales[slot])
        return loaded if loaded.type == self.real else b.fpext(loaded, self.real)

    def store(
        self, b: ir.IRBuilder, value: ir.Value, slot: int, index: Any, is_rounded: bool = False
    ) -> None:
        """Write a number as an element; one of 8 bits is written as its code.

        `is_rounded` says that the number is a bfloat16 already.
        """
        dtype = self.dtypes[slot]
        if dtype == "bfloat16" and is_rounded:
            value = b.trunc(b.lshr(b.bitcast(self.single(b, value), I32), I32(16)), I16)
        elif dtype == "bfloat16":
            value = _rounded_to_bfloat16(b, self.single(b, value))
        elif dtype == "int16":
            value = b.fptosi(self.single(b, value), I16)
        elif dtype == "float32":
            value = self.single(b, value)
        self._tag(b.store(value, self._address(b, slot, index)), slot)

    def put(self, b: ir.IRBuilder, value: ir.Value, slot: int, place: Any) -> None:
        """Keep a new number of a state of 8 bits until its block is whole."""
        at = b.gep(self.buffers[slot], [place], source_etype=F32)
        self._tag(b.store(self.single(b, value), at), self._of_buffer(slot))

    def taken(self, b: ir.IRBuilder, slot: int, place: Any) -> ir.Value:
        """Return what was put there."""
        at = b.gep(self.buffers[slot], [place], source_etype=F32)
        loaded = b.load(at, typ=F32)
        self._tag(loaded, self._of_buffer(slot))
        return loaded

    def single(self, b: ir.IRBuilder, value: ir.Value) -> ir.Value:
        """Return a number as a float32."""
        return b.fptrunc(value, F32) if value.type == F64 else value

    def _of_buffer(self, slot: int) -> int:
        return len(self.dtypes) + list(self.scale_of).index(slot)

    def _address(self, b: ir.IRBuilder, slot: int, index: Any) -> Any:
        return b.gep(self._at[slot], [index], source_etype=ELEMENTS[self.dtypes[slot]])

    def _tag(self, instruction: Any, slot: int) -> None:
        scope, others = self._scopes[slot]
        instruction.set_metadata("alias.scope", scope)
        instruction.set_metadata("noalias", others)


def _alias_scopes(module: ir.Module, count: int) -> list[tuple[Any, Any]]:
    """Tell LLVM that the slots of a tensor do not overlap, or it gives up vectorizing five of them."""
    domain = module.add_metadata(["slots"])
    scopes = [module.add_metadata([f"slot {k}", domain]) for k in range(count)]
    return [
        (
            module.add_metadata([scope]),
            module.add_metadata([other for other in scopes if other is not scope]),
        )
        for scope in scopes
    ]


def _rounded_to_bfloat16(b: ir.IRBuilder, value: ir.Value) -> ir.Value:
    """Round to nearest, ties to even; a NaN stays one."""
    bits = b.bitcast(value, I32)
    odd = b.and_(b.lshr(bits, I32(16)), I32(1))
    rounded = b.lshr(b.add(bits, b.add(odd, I32(0x7FFF))), I32(16))
    nan = b.fcmp_unordered("uno", value, value)
    return b.trunc(b.select(nan, I32(0x7FC0), rounded), I16)
