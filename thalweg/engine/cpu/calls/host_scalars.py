"""The scalars of a step computed by compiled code, for programs whose scalars need plain arithmetic only.

The same operations in the same order as `HostFunction` has them in Python, with the same C functions, so the
same bits. Where Python would raise (a division by zero, the root of a negative number, an overflow) the code
refuses, and Python computes the scalars of the step.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from thalweg.engine.cpu.calls.foreign import power_function
from thalweg.engine.cpu.calls.loops import Called, arguments, loop_address
from thalweg.engine.program.program import Level, Program, Value
from thalweg.engine.rows import Row

_ARITHMETIC = {"add": "fadd", "sub": "fsub", "mul": "fmul", "div": "fdiv"}
_COMPARISONS = {"eq": "oeq", "ne": "une", "lt": "olt", "le": "ole", "gt": "ogt", "ge": "oge"}
_MAY_RAISE = ("div", "sqrt", "pow")
"""What Python may refuse; then its result is not finite."""
_OTHERS = ("scalar", "neg", "where", "real", "maximum", "minimum")
_PRINTED = frozenset((*_OTHERS, *_ARITHMETIC, *_COMPARISONS, *_MAY_RAISE))


class HostScalars:
    """Rows of one program, and the compiled function that computes their scalars.

    `reads` is the table in which each row has what the passes read.

    `table` holds for each row the addresses of the line that it reads, of its group's numbers, of what the
    passes read, and of the new numbers of its lines; `lines` for each line the addresses of its new numbers
    and of itself.
    """

    def __init__(self, program: Program, rows: Sequence[Row], reads: Any, function: int) -> None:
        self.width = 1 + len(program.scalar_outputs)
        self._groups = sorted({row.group for row in rows})
        count = len(program.scalars) - self.width
        self._known: list[Any] = [None] * (self._groups[-1] + 1)
        self._numbers = np.zeros((len(self._known), count), dtype=np.float64)
        self._kept = np.zeros((len(rows), self.width), dtype=np.float64)
        self._reads = reads
        lines = [row.line_addresses() for row in rows]
        new = [_address(self._kept, k) for k in range(len(rows))]
        words = [
            (lines[k][0], _address(self._numbers, row.group), _address(reads, k), new[k])
            for k, row in enumerate(rows)
        ]
        self.table = np.array(words, dtype=np.int64)
        places = [(new[k], line) for k, of_row in enumerate(lines) for line in of_row]
        self.lines = np.array(places, dtype=np.int64)
        self._call = np.array([power_function() or 0], dtype=np.int64)
        self.called = Called(function, self._call.ctypes.data)

    def take(self, numbers: Sequence[list[float]]) -> None:
        """Take the numbers of the groups; a list that was given before holds what it held then."""
        for group in self._groups:
            given = numbers[group]
            if given is not self._known[group]:
                self._numbers[group] = given
                self._known[group] = given


def _address(table: Any, row: int) -> int:
    return int(table.ctypes.data + row * table.strides[0])


def host_scalars(program: Program, rows: Sequence[Row], reads: Any) -> HostScalars | None:
    """Return the compiled scalars of rows, or None where an operation is not one of the known ones."""
    function = _compiled(program)
    return None if function is None else HostScalars(program, rows, reads, function)


@cache
def _compiled(program: Program) -> int | None:
    text = scalars_text(program)
    return None if text is None else loop_address(text, "scalars")


def scalars_text(program: Program) -> str | None:
    """Return the LLVM text of a program's scalars, or None where Python has to compute them."""
    outputs = tuple(program.scalar_outputs.values())
    computed = program.part((*program.host_reads, *outputs), Level.HOST).computes
    operations = {v.op for v in computed}
    if not operations <= _PRINTED or ("pow" in operations and power_function() is None):
        return None
    if any(v.op == "real" and not v.operands[0].boolean for v in computed):
        return None
    lines = [
        "%was = load double, ptr %line",
        f"%t = fadd double %was, {_number(1.0)}",
        "store double %t, ptr %kept",
    ]
    for value in computed:
        lines += _read(program, value) if value.op == "scalar" else _computed(value)
    for k, value in enumerate(program.host_reads):
        lines += _stored(value, "reads", k, f"read{k}")
    for k, value in enumerate(outputs, start=1):
        lines += _stored(value, "kept", k, f"kept{k}")
    body = "".join(f"  {line}\n" for line in (*lines, *_verdict(computed)))
    return f"{_OPENING}{arguments(pow='ptr')}{body}}}\n"


_OPENING = """
declare double @llvm.sqrt.f64(double)
declare double @llvm.fabs.f64(double)

define i64 @"scalars"(ptr %line, ptr %numbers, ptr %reads, ptr %kept, ptr %call) {
"""


def _number(number: float) -> str:
    return "0x" + struct.pack(">d", number).hex().upper()


def _operand(value: Value) -> str:
    if value.op == "constant":
        return str(value.data).lower() if value.boolean else _number(value.data)
    return f"%{value.name}"


def _read(program: Program, value: Value) -> list[str]:
    """Return the lines that read a scalar: the step number, a number of the group, or one of the line."""
    place = program.scalars.index(value.data)
    if place == 0:
        return [f"%{value.name} = fadd double %t, {_number(-0.0)}"]
    count = len(program.scalars) - len(program.scalar_outputs)
    table, at = ("numbers", place - 1) if place < count else ("line", 1 + place - count)
    return [
        f"%{value.name}_at = getelementptr double, ptr %{table}, i64 {at}",
        f"%{value.name} = load double, ptr %{value.name}_at",
    ]


def _computed(value: Value) -> list[str]:
    """Return the lines that compute a value."""
    op, name = value.op, f"%{value.name}"
    given = [_operand(v) for v in value.operands]
    if op in _ARITHMETIC:
        return [f"{name} = {_ARITHMETIC[op]} double {given[0]}, {given[1]}"]
    if op in _COMPARISONS:
        return [f"{name} = fcmp {_COMPARISONS[op]} double {given[0]}, {given[1]}"]
    if op in ("maximum", "minimum"):
        order = "oge" if op == "maximum" else "ole"
        return [
            f"{name}_beyond = fcmp {order} double {given[0]}, {given[1]}",
            f"{name}_nan = fcmp uno double {given[0]}, {given[0]}",
            f"{name}_first = or i1 {name}_beyond, {name}_nan",
            f"{name} = select i1 {name}_first, double {given[0]}, double {given[1]}",
        ]
    if op == "where":
        kind = "i1" if value.boolean else "double"
        chosen = [f"{name} = select i1 {name}_if, {kind} {given[1]}, {kind} {given[2]}"]
        if value.operands[0].boolean:
            return [f"{name}_if = or i1 {given[0]}, false", *chosen]
        return [f"{name}_if = fcmp une double {given[0]}, {_number(0.0)}", *chosen]
    return [
        {
            "neg": f"{name} = fneg double {given[0]}",
            "real": f"{name} = uitofp i1 {given[0]} to double",
            "sqrt": f"{name} = call double @llvm.sqrt.f64(double {given[0]})",
            # by its address: LLVM would make other functions of a `pow` that it knows
            "pow": f"{name} = call double %pow(double {', double '.join(given)})",
        }[op]
    ]


def _stored(value: Value, table: str, k: int, name: str) -> list[str]:
    """Return the lines that store a value as a number."""
    number, lines = _operand(value), []
    if value.boolean:
        lines, number = [f"%{name} = uitofp i1 {number} to double"], f"%{name}"
    return [
        *lines,
        f"%{name}_at = getelementptr double, ptr %{table}, i64 {k}",
        f"store double {number}, ptr %{name}_at",
    ]


def _verdict(computed: Sequence[Value]) -> list[str]:
    """Return the lines that return 0, or 1 where Python might have raised."""
    lines, so_far = [], "true"
    for value in computed:
        if value.op in _MAY_RAISE:
            name = f"%{value.name}"
            lines += [
                f"{name}_size = call double @llvm.fabs.f64(double {name})",
                f"{name}_is_finite = fcmp olt double {name}_size, {_number(float('inf'))}",
                f"{name}_well = and i1 {so_far}, {name}_is_finite",
            ]
            so_far = f"{name}_well"
    return [*lines, f"%result = select i1 {so_far}, i64 0, i64 1", "ret i64 %result"]
