"""Print what is computed between passes of a factored program: numbers of rows and of columns.

    void kernel(i64 *call)

The chunks of this kernel are matrices. For each it puts together the sums that its tiles have found, then
computes the values of its rows and of its columns that passes read or that become states. A sum over such
values, as that of the mean of r, ends a turn: what depends on it comes in the next one, and is computed from
the states and sums again, which are there until the step is over.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir

from thalweg.engine.cpu.factored.program import (
    MEANS,
    ONE_OF,
    SIDES,
    Entry,
    Factored,
    entries_of,
    is_mean,
    reads_of,
    side_of,
)
from thalweg.engine.cpu.factored.tiles import MATRIX_FIELDS, PLACES, TABLES
from thalweg.engine.cpu.kernel import REDUCTION_START, KernelPrinter
from thalweg.engine.cpu.slots import F32, F64, I64, POINTER
from thalweg.engine.program.printing import Layout
from thalweg.engine.program.program import Level, Value

REDUCTION_OF = {"matrix sum": "sum", "matrix max": "max"}


def print_vectors(made: Factored, stage: int, layout: Layout, name: str) -> str:
    """Return the LLVM text of what is computed before the pass of a stage."""
    return str(_VectorPrinter(made, stage, layout, name).module)


def print_writing(made: Factored, dtype: str, name: str) -> str:
    """Return the LLVM text of a kernel that writes the new states."""
    layout = Layout((dtype,), (), ())
    return str(_WritingPrinter(made, made.program.stages, layout, name).module)


Body = Callable[[Any, Sequence[Any]], Sequence[Any]]


class _MatrixPrinter(KernelPrinter):
    """Prints a kernel whose chunks are matrices."""

    tables = TABLES
    entries: tuple[Entry, ...]

    def __init__(self, made: Factored, stage: int, layout: Layout, name: str) -> None:
        self._made = made
        self._states = list(made.program.matrix_states)
        super().__init__(made.program, stage, layout, name)

    def _emit_chunk(self, turn: Any, chunk: Any, after: Any) -> tuple[list[ir.Value], Any]:
        names = (*MATRIX_FIELDS, *PLACES)
        self._matrix = dict(zip(names, self._fields(turn, len(names)), strict=True))
        first = self.b.mul(turn, I64(len(self._states)))
        self._state = {
            name: self._pointer("pointers", self.b.add(first, I64(k)))
            for k, name in enumerate(self._states)
        }
        self._at_entry = {
            entry: self._pointer("vectors", I64(k)) for k, entry in enumerate(self.entries)
        }
        self._emit_matrix()
        self.b.branch(after)
        return [], self.b.block

    def _emit_matrix(self) -> None:
        raise NotImplementedError

    def _emit_partials(self, turn: Any, ends: Sequence[ir.Value], chunk: Any, end: Any) -> None:
        """Nothing: what is summed stays within a matrix."""

    def _pointer(self, table: str, index: Any) -> Any:
        return self.b.inttoptr(self._read(self.table[table], index, I64), POINTER)

    def _loop(self, count: Any, body: Body, starts: Sequence[ir.Value] = ()) -> list[Any]:
        """Run a body for numbers below `count`, with variables; return their last values."""
        b, before = self.b, self.b.block
        head, inside, behind = map(self.function.append_basic_block, ("head", "inside", "behind"))
        b.branch(head)
        b.position_at_end(head)
        number = b.phi(I64)
        number.add_incoming(I64(0), before)
        variables = [b.phi(start.type) for start in starts]
        for variable, start in zip(variables, starts, strict=True):
            variable.add_incoming(start, before)
        b.cbranch(b.icmp_signed("<", number, count), inside, behind)
        b.position_at_end(inside)
        ends = body(number, variables)
        number.add_incoming(b.add(number, I64(1)), b.block)
        self._close(variables, ends, b.block)
        b.branch(head)
        b.position_at_end(behind)
        return variables


class _VectorPrinter(_MatrixPrinter):
    def __init__(self, made: Factored, stage: int, layout: Layout, name: str) -> None:
        self._work = made.work(stage)
        self.entries = entries_of(self._work)
        needed = set(reads_of(self._work))
        self._needed = [v for v in made.program.matrices if v in needed]
        self._turns = _turns(self._needed)
        super().__init__(made, stage, layout, name)

    def _emit_matrix(self) -> None:
        """Compute the values of a matrix, turn by turn."""
        matrix = self._matrix
        self._read_scalars(self.layout.rows, self.table["rows"], matrix["row of scalars"])
        self._read_scalars(self.layout.reduced, self.table["reduced"], matrix["tensor"])
        for value in self._work.means:
            self._emit_total(value)
        for turn in range(1 + max(self._turns.values(), default=0)):
            for value in self._needed:
                if _is_number(value) and self._turns[value] == turn:
                    self.known.setdefault(value, self._emit_number(value))
            for side in SIDES:
                self._emit_side(side, turn)

    def _emit_total(self, value: Value) -> None:
        """Put together the sums that tiles have found of rows, or of columns."""
        side = MEANS[value.data.function]
        count = self._matrix[side]
        strips = self._matrix["across" if side == "rows" else "down"]
        sums = self._at_entry["sums", value, side]
        totals = self._at_entry["totals", value, side]
        first, place = self._matrix[f"{ONE_OF[side]} sum"], self._matrix[ONE_OF[side]]
        element = F64 if side == "rows" else self.real

        def add(strip: Any, _: Sequence[Any]) -> Sequence[Any]:
            begin = self.b.add(first, self.b.mul(strip, count))

            def one(index: Any, _: Sequence[Any]) -> Sequence[Any]:
                x = self._read(sums, self.b.add(begin, index), element)
                at = self._at(totals, self.b.add(place, index), F64)
                is_first = self.b.icmp_signed("==", strip, I64(0))
                before = self.b.select(is_first, F64(0.0), self.b.load(at, typ=F64))
                self.b.store(self.b.fadd(before, self._double(x)), at)
                return []

            self._loop(count, one)
            return []

        self._loop(strips, add)

    def _emit_side(self, side: str, turn: int) -> None:
        """Compute the values of all rows, or of all columns, that are due; and the sums over them."""
        kept = [v for v, of in self._work.kept if of == side and self._turns[v] == turn]
        folded = [
            v
            for v in self._needed
            if v.op in REDUCTION_OF and self._turns[v] == turn + 1 and _folds(v) == side
        ]
        if not kept and not folded:
            return
        roots = [*kept, *(v.operands[0] for v in folded)]
        before = self.known

        def one(index: Any, sums: Sequence[Any]) -> Sequence[Any]:
            self.known = dict(before)
            place = self.b.add(self._matrix[ONE_OF[side]], index)
            for value in self._behind(roots):
                self.known[value] = self._emit_one(value, index, place)
            for value in kept:
                at = self._at(self._at_entry["kept", value, side], place, self.real)
                self.b.store(self._as_real(self._value(value)), at)
            return [
                self._accumulate(
                    REDUCTION_OF[v.op], start, self._double(self._value(v.operands[0]))
                )
                for v, start in zip(folded, sums, strict=True)
            ]

        starts = [F64(REDUCTION_START[REDUCTION_OF[v.op]]) for v in folded]
        ends = self._loop(self._matrix[side], one, starts)
        self.known = before
        for value, end in zip(folded, ends, strict=True):
            self.known[value] = self._real_of(end)

    def _behind(self, roots: Sequence[Value]) -> list[Value]:
        """Return the values of rows or of columns that roots are made of, in order."""
        found: set[Value] = set()
        pending = list(roots)
        while pending:
            value = pending.pop()
            if value not in found and value.level == Level.MATRIX and not _is_number(value):
                found.add(value)
                pending += () if is_mean(value) else value.operands
        return [v for v in self._needed if v in found]

    def _emit_one(self, value: Value, index: Any, place: Any) -> ir.Value:
        """Compute a value of one row or column."""
        if value.op == "matrix state":
            return self._read(self._state[value.data], index, self.real)
        if not is_mean(value):
            return self._emit(value)
        side = MEANS[value.data.function]
        total = self._read(self._at_entry["totals", value, side], place, F64)
        other = "columns" if side == "rows" else "rows"
        return self._real_of(self.b.fdiv(total, self.b.sitofp(self._matrix[other], F64)))

    def _emit_number(self, value: Value) -> ir.Value:
        """Compute a value of which a matrix has one."""
        if value.op == "matrix count":
            side = side_of(value.operands[0].shape)
            known = self._matrix.get(side)
            return self.real(1.0) if known is None else self.b.sitofp(known, self.real)
        if value.op in REDUCTION_OF:
            return self.known[value] if _folds(value) in SIDES else self._value(value.operands[0])
        return self._emit(value)

    def _double(self, x: ir.Value) -> ir.Value:
        x = self._as_real(x)
        return x if x.type == F64 else self.b.fpext(x, F64)

    def _real_of(self, x: ir.Value) -> ir.Value:
        return x if self.real == F64 else self.b.fptrunc(x, F32)


class _WritingPrinter(_MatrixPrinter):
    def __init__(self, made: Factored, stage: int, layout: Layout, name: str) -> None:
        self.entries = tuple(("kept", v, side) for v, side in made.states)
        super().__init__(made, stage, layout, name)

    def _emit_matrix(self) -> None:
        """Write what was computed of each state where it is kept."""
        for entry, name in zip(self.entries, self._states, strict=True):
            self._emit_state(entry, self._state[name])

    def _emit_state(self, entry: Entry, state: Any) -> None:
        side = entry[2]

        def one(index: Any, _: Sequence[Any]) -> Sequence[Any]:
            place = self.b.add(self._matrix[ONE_OF[side]], index)
            new = self._read(self._at_entry[entry], place, self.real)
            self.b.store(new, self._at(state, index, self.real))
            return []

        self._loop(self._matrix[side], one)


def _is_number(value: Value) -> bool:
    return side_of(value.shape) == "matrix"


def _folds(value: Value) -> str:
    """Return over what a sum or maximum of matrix values goes."""
    return side_of(value.operands[0].shape)


def _turns(values: Sequence[Value]) -> dict[Value, int]:
    """Return in which turn each value is computed."""
    found: dict[Value, int] = {}
    for value in values:
        behind = () if is_mean(value) else value.operands
        own = max((found.get(x, 0) for x in behind), default=0)
        found[value] = own + (value.op in REDUCTION_OF and _folds(value) in SIDES)
    return found
