"""Print one pass of a program as a Triton kernel over a chunk table, one chunk an instance.

    step(pointers, chunks, rows, reduced, partials, scaling, count, BLOCK)

A chunk is (tensor, offset, length, row, entry), at most BLOCK elements long (`engine/cpu/entries.py`).
`pointers` has the address of each slot of each tensor (gradient, parameter, states). The instance reads the
step's scalars from the row and the entry's reductions, and goes through its elements: the last pass writes
the new parameter and states, an earlier one a partial result of each reduction, `count` of them in a row.

A chunk that is full and lies at a multiple of 16 bytes in all slots is read and written in vectors of 16
bytes; any other one element by element, as far as it goes. Half precision is computed in float32 and rounded
once; bfloat16 is converted by its bits, which is the same in the interpreter and on every GPU.

Where the layout says so, `scaling` has the number by which each gradient is multiplied as it is read, and
another one that is not 0 where a gradient is not finite: then the last pass writes nothing.
"""

from __future__ import annotations

from thalweg.engine.program.printing import Layout
from thalweg.engine.program.program import Level, LevelPart, Program, Value
from thalweg.engine.triton.printed import INDENT, TritonPrinter

STORED = {"float32": "float32", "float64": "float64", "float16": "float16", "bfloat16": "uint16"}
"""As what a kernel reads and writes a dtype."""
FIELDS = ("tensor", "offset", "length", "row", "entry")
"""The columns of the table of chunks."""


def print_pass(program: Program, stage: int, layout: Layout) -> str:
    """Return the text of the kernel `step` of a stage."""
    return _Pass(program, stage, layout).text()


class _Pass:
    def __init__(self, program: Program, stage: int, layout: Layout) -> None:
        self.layout = layout
        self.last = stage == program.stages
        self.roots = program.outputs_of(stage)
        self.reductions = () if self.last else program.reductions(stage)
        self.part: LevelPart = program.part(self.roots, Level.TENSOR)
        self.bits = 64 if "float64" in layout.dtypes else 32
        self.slots = {name: slot for slot, name in enumerate(program.tensors)}
        read = {self.slots[v.data] for v in self.part.computes if v.op == "tensor"}
        self.written = self._written()
        self.used = sorted(read | self.written.keys())
        self.noisy = any(v.op == "noise" for v in self.part.computes)

    def _written(self) -> dict[int, Value]:
        """Return what is written to which slot; a slot that keeps its numbers is left alone."""
        if not self.last:
            return {}
        outputs = enumerate(self.roots, start=1)
        return {k: v for k, v in outputs if v.op != "tensor" or self.slots[v.data] != k}

    def text(self) -> str:
        """Return the kernel: the chunk, its scalars, and its elements in two ways."""
        head = [
            "def step(pointers, chunks, rows, reduced, partials, scaling, count, BLOCK: tl.constexpr):"
        ]
        lines = [*head, *self._chunk()]
        if self.used or self.reductions:  # a sum of noise alone reads no slot
            places = " | ".join([*(f"a{slot}" for slot in self.used), "offset"])
            lines.append(f"{INDENT}apart = {places}")
            lines.append(f"{INDENT}if (length == BLOCK) & ((apart & 15) == 0):")
            lines += self._elements("", whole=True)
            lines.append(f"{INDENT}else:")
            lines += self._elements("m_", whole=False)
        return "\n".join(lines) + "\n"

    def _chunk(self) -> list[str]:
        width = len(self.layout.dtypes)
        lines = ["turn = tl.program_id(0).to(tl.int64)", f"chunk = chunks + turn * {len(FIELDS)}"]
        lines += [f"{name} = tl.load(chunk + {k})" for k, name in enumerate(FIELDS)]
        if self.layout.scaled and self.last:
            lines.append("length = tl.where(tl.load(scaling + 1) == 0.0, length, 0)")
        lines += [f"a{slot} = tl.load(pointers + tensor * {width} + {slot})" for slot in self.used]
        lines.append("lane = tl.arange(0, BLOCK)")
        return [INDENT + line for line in lines]

    def _place(self, value: Value) -> str:
        """Return where a scalar of the chunk is."""
        host = value.level == Level.HOST
        columns = self.layout.rows if host else self.layout.reduced
        base = f"rows + row * {len(columns)}" if host else f"reduced + entry * {len(columns)}"
        return f"{base} + {columns.index(value)}"

    def _integer(self, value: Value) -> str:
        if value.op == "constant":
            return f"tl.full((BLOCK,), {int(value.data) % 2**64}, tl.uint64)"
        return f"tl.load({self._place(value)}).to(tl.int64).to(tl.uint64)"

    def _elements(self, prefix: str, whole: bool) -> list[str]:
        """Return the lines that go through the elements of a chunk: all of a block, or some of it."""
        printer = TritonPrinter(self.bits, prefix, indent=2)
        printer.line(f"{prefix}at = {'tl.multiple_of(offset, 16)' if whole else 'offset'} + lane")
        if not whole:
            printer.line("mask = lane < length")
        if self.noisy:
            printer.line("element = offset + lane")
        for slot in self.used:
            stored = STORED[self.layout.dtypes[slot]]
            pointer = f"a{slot}.to(tl.pointer_type(tl.{stored}))"
            aligned = f"tl.multiple_of({pointer}, 16)" if whole else pointer
            printer.line(f"{prefix}p{slot} = {aligned}")
        if self.layout.scaled:
            inverse = f"tl.broadcast_to(tl.load(scaling), (BLOCK,)).to({printer.real})"
            printer.line(f"{prefix}inverse = {inverse}")
        noise_only = self._read_as_integers()
        for value in self.part.reads:
            if value not in noise_only:
                printer.read_scalar(value, self._place(value))
        for value in self.part.computes:
            if value.op == "tensor":
                printer.define(value, self._load(self.slots[value.data], prefix, whole))
        computed = [v for v in self.part.computes if v.op != "tensor"]
        printer.compute(computed, self._integer)
        for slot, root in self.written.items():
            self._store(printer, slot, root, whole)
        for k, (reduction, root) in enumerate(zip(self.reductions, self.roots, strict=False)):
            self._partial(printer, k, reduction.op, root, whole)
        return printer.lines

    def _read_as_integers(self) -> set[Value]:
        """Return the scalars that only noise reads."""
        of_noise = {x for v in self.part.computes if v.op == "noise" for x in v.operands}
        others = {x for v in self.part.computes if v.op != "noise" for x in v.operands}
        return of_noise - others - set(self.roots)

    def _load(self, slot: int, prefix: str, whole: bool) -> str:
        dtype = self.layout.dtypes[slot]
        at = f"{prefix}p{slot} + {prefix}at"
        loaded = f"tl.load({at})" if whole else f"tl.load({at}, mask=mask, other=0)"
        if dtype == "bfloat16":  # the upper half of a float32
            loaded = f"({loaded}.to(tl.uint32) << 16).to(tl.float32, bitcast=True)"
        number = f"{loaded}.to(tl.float{self.bits})"
        return f"{number} * {prefix}inverse" if self.layout.scaled and slot == 0 else number

    def _store(self, printer: TritonPrinter, slot: int, root: Value, whole: bool) -> None:
        dtype, prefix = self.layout.dtypes[slot], printer.prefix
        value = printer.as_real(root)
        if dtype == "bfloat16":
            value = _rounded_to_bfloat16(printer, f"{prefix}w{slot}", value)
        else:
            value = f"({value}).to(tl.{dtype})"
        masked = "" if whole else ", mask=mask"
        printer.line(f"tl.store({prefix}p{slot} + {prefix}at, {value}{masked})")

    def _partial(self, printer: TritonPrinter, k: int, op: str, root: Value, whole: bool) -> None:
        """Reduce a block to one number. Triton's own maximum loses a NaN."""
        own = f"{printer.prefix}r{k}"
        printer.line(f"{own} = {printer.as_real(root)}")
        if op == "sum":
            inside = own if whole else f"tl.where(mask, {own}, 0.0)"
            printer.line(f"{own}_whole = tl.sum({inside}, axis=0)")
        else:
            if not whole:
                printer.line(f"{own} = tl.where(mask, {own}, float('-inf'))")
            printer.maximum(own)
        printer.line(f"tl.store(partials + {k} * count + turn, {own}_whole.to(tl.float64))")


def _rounded_to_bfloat16(printer: TritonPrinter, own: str, value: str) -> str:
    """Round to nearest, ties to even; a NaN stays one."""
    printer.line(f"{own} = ({value}).to(tl.float32)")
    printer.line(f"{own}_bits = {own}.to(tl.uint32, bitcast=True)")
    printer.line(f"{own}_up = {own}_bits + (({own}_bits >> 16) & 1) + 0x7FFF")
    printer.line(f"{own}_near = tl.where({own} != {own}, 0x7FC0, {own}_up >> 16)")
    return f"{own}_near.to(tl.uint16)"
