"""Print a pass of a factored program: it goes through tiles row by row, and adds up rows and columns.

    void kernel(i64 *call)

As in `thalweg/engine/cpu/kernel.py`, with tiles instead of chunks, and one table more, "vectors": the
addresses of the sums of rows and of columns that the pass writes, and of the values that it reads. The value
of a row is read once; those of columns, and their sums, lie in slots whose first element is that of the
tile's first column.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llvmlite import ir

from thalweg.engine.cpu.factored.program import MEANS, SIDES, Factored, side_of, vectors_of
from thalweg.engine.cpu.factored.tiles import PLACES, TABLES, TILE_FIELDS
from thalweg.engine.cpu.kernel import REDUCTION_START, KernelPrinter
from thalweg.engine.cpu.slots import F64, I64, POINTER, Slots
from thalweg.engine.program.printing import Layout
from thalweg.engine.program.program import Level, Value


def print_tiles(made: Factored, stage: int, layout: Layout, name: str) -> str:
    """Return the LLVM text of the pass of a stage."""
    return str(_TilePrinter(made, stage, layout, name).module)


class _TilePrinter(KernelPrinter):
    tables = TABLES

    def __init__(self, made: Factored, stage: int, layout: Layout, name: str) -> None:
        sums, self._vectors = made.sums(stage), vectors_of(made, stage)
        self._sums = {side: [v for v in sums if _side_of_mean(v) == side] for side in SIDES}
        read = made.reads(stage)
        self._row_reads = [v for v in read if side_of(v.shape) != "columns"]
        self._column_reads = [v for v in read if side_of(v.shape) == "columns"]
        self._known_rows: dict[Value, ir.Value] = {}
        super().__init__(made.program, stage, layout, name)

    def _summed(self) -> list[tuple[str, Value]]:
        return [*super()._summed(), *[("sum", v.operands[0]) for v in self._sums["rows"]]]

    def _slots(self) -> Slots:
        count = len(self._column_reads) + len(self._sums["columns"])
        self._first = len(self.layout.dtypes)
        return Slots(self.module, self.layout.dtypes, self.real, count)

    def _emit_chunk(self, turn: Any, chunk: Any, after: Any) -> tuple[list[ir.Value], Any]:
        """Go through a tile, row by row; return its reductions, and where they are known."""
        b = self.b
        names = (*TILE_FIELDS, *PLACES)
        at = dict(zip(names, self._fields(turn, len(names)), strict=True))
        self._read_scalars(self.layout.rows, self.table["rows"], at["row of scalars"])
        self._read_scalars(self.layout.reduced, self.table["reduced"], at["entry"])
        self._open_columns(at)
        row, block, end = map(self.function.append_basic_block, ("row", "block", "row end"))
        size = b.mul(at["width"], at["height"])
        b.cbranch(b.icmp_signed(">", size, I64(0)), row, after)

        b.position_at_end(row)
        number = b.phi(I64)
        number.add_incoming(I64(0), chunk)
        whole = [REDUCTION_START[v.op] for v in self.reductions]
        begun = self._open_sums(F64, [F64(start) for start in whole], chunk)
        self.offset = b.add(at["offset"], b.mul(number, at["stride"]))
        self.slots.open(b, self.table["pointers"], at["tensor"], self.offset)
        for value in self._row_reads:
            place = b.add(at["row"], number)
            self._known_rows[value] = self._read(self._vector(value), place, self.real)
        b.branch(block)
        starts = [*begun, *[F64(0.0)] * len(self._sums["rows"])]
        ends, _ = self._emit_blocks(at["width"], (row, block, end), starts)

        b.position_at_end(end)
        place = b.add(at["row sum"], number)
        for value, x in zip(self._sums["rows"], ends[len(whole) :], strict=True):
            b.store(x, self._at(self._vector(value), place, F64))
        following = b.add(number, I64(1))
        number.add_incoming(following, end)
        self._close(begun, ends[: len(whole)], end)
        b.cbranch(b.icmp_signed("<", following, at["height"]), row, after)
        return ends[: len(whole)], end

    def _open_columns(self, at: Mapping[str, Any]) -> None:
        """Find the values of the columns of a tile, and let their sums begin at 0."""
        b = self.b
        reads = [self._at(self._vector(v), at["column"], self.real) for v in self._column_reads]
        sums = [self._vector(v) for v in self._sums["columns"]]
        sums = [self._at(x, at["column sum"], self.real) for x in sums]
        size = b.mul(at["width"], I64(8 if self.real == F64 else 4))
        kind = ir.FunctionType(ir.VoidType(), [POINTER, ir.IntType(8), I64, ir.IntType(1)])
        clear = self.module.declare_intrinsic("llvm.memset", [POINTER, I64], kind)
        for x in sums:
            b.call(clear, [x, ir.IntType(8)(0), size, ir.IntType(1)(0)])
        self.slots.vectors = [*reads, *sums]

    def _vector(self, value: Value) -> Any:
        at = self._read(self.table["vectors"], I64(self._vectors.index(value)), I64)
        return self.b.inttoptr(at, POINTER)

    def _emit_body(self, index: Any, partial: Sequence[Any]) -> list[ir.Value]:
        part = self.program.part(self.roots, Level.TENSOR)
        slots = {v: self._first + k for k, v in enumerate(self._column_reads)}
        for value in part.computes:
            if value.op == "elements":
                of = value.operands[0]
                known = self._known_rows.get(of)
                self.known[value] = (
                    self.slots.load(self.b, slots[of], index) if known is None else known
                )
        ends = super()._emit_body(index, partial)
        for slot, value in enumerate(self._sums["columns"], start=self._first + len(slots)):
            x = self._as_real(self._value(value.operands[0]))
            self.slots.store(
                self.b, self.b.fadd(self.slots.load(self.b, slot, index), x), slot, index
            )
        return ends


def _side_of_mean(value: Value) -> str:
    return MEANS[value.data.function]
