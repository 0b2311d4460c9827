"""Print the operations of the vocabulary as Triton, on blocks of numbers of one precision.

Every value is a block: scalars are spread when they are read. Operations round as PyTorch's do: a division
and a root of float32 are the exact ones, and no product is fused with a sum (`batch.py` asks for that).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import numpy as np

from thalweg.engine.program.noise import GOLDEN, HALF, MIX, SCALE
from thalweg.engine.program.program import LEAVES, Level, Program, Value
from thalweg.engine.triton.library import LIBRARY

_SIMPLE = {
    "add": "{0} + {1}",
    "sub": "{0} - {1}",
    "mul": "{0} * {1}",
    "neg": "{0} * -1.0",  # Triton's own is 0 − x, which loses the sign of 0
    "eq": "{0} == {1}",
    "ne": "{0} != {1}",
    "lt": "{0} < {1}",
    "le": "{0} <= {1}",
    "gt": "{0} > {1}",
    "ge": "{0} >= {1}",
    "abs": "tl.abs({0})",
    "floor": "tl.floor({0})",
    "ceil": "tl.ceil({0})",
    "trunc": "tl.where({0} < 0.0, tl.ceil({0}), tl.floor({0}))",
    "isnan": "{0} != {0}",
    "isinf": "tl.abs({0}) == float('inf')",
    "isfinite": "tl.abs({0}) < float('inf')",
    # a NaN is passed on, whichever of the two it is
    "maximum": "tl.where(({0} >= {1}) | ({0} != {0}), {0}, {1})",
    "minimum": "tl.where(({0} <= {1}) | ({0} != {0}), {0}, {1})",
    "spread": "{0}",
}
_TRUTHS = {
    "where": "tl.where({0}, {1}, {2})",
    "logical_not": "~({0})",
    "logical_and": "{0} & {1}",
    "logical_or": "{0} | {1}",
}
"""Operations that take bools."""
_SPECIAL = ("div", "sqrt", "real", "sign", "bounded", "cbrt", "mod", "floordiv", "noise")

INDENT = "    "


def unprintable(program: Program) -> tuple[str, ...]:
    """Return the operations of a program that no kernel can run."""
    above = [v for v in program.reached() if v.level > Level.HOST]
    return (*program.foreign, *unprintable_values(above))


def unprintable_values(values: Iterable[Value]) -> tuple[str, ...]:
    """Return the operations among values that no kernel can run."""
    known = {*_SIMPLE, *_TRUTHS, *_SPECIAL, *LIBRARY}
    leaves = {"constant", "scalar", "tensor", "sum", "max", "foreign", *LEAVES}
    return tuple(v.op for v in values if v.op not in known | leaves)


def _no_integers(value: Value) -> str:
    raise AssertionError("noise is drawn for elements alone")


class TritonPrinter:
    """Lines of a kernel: values by name, in the precision `bits` (32 or 64).

    Args:
        bits: of the numbers.
        prefix: what the names of values begin with: a kernel may hold the same values twice.
        indent: the depth of the lines.
    """

    def __init__(self, bits: int, prefix: str = "", indent: int = 1) -> None:
        self.bits, self.prefix, self.indent = bits, prefix, indent
        self.real = f"tl.float{bits}"
        self.lines: list[str] = []
        self.names: dict[Value, str] = {}

    def line(self, text: str) -> None:
        """Add a line."""
        self.lines.append(INDENT * self.indent + text)

    def name(self, value: Value) -> str:
        """Return what a value is called; a constant is written in place."""
        if value.op == "constant":
            return self.constant(value.data)
        return self.names[value]

    def constant(self, number: float | bool) -> str:
        """Return a block full of a number."""
        if isinstance(number, bool):
            return f"tl.full((BLOCK,), {int(number)}, tl.int1)"
        if number == 0.0 and math.copysign(1.0, number) < 0:
            # Triton 3.6 fills a block with 0 that is to be filled with −0, Triton 3.9 does not
            return f"(tl.full((BLOCK,), 0.0, {self.real}) * -1.0)"
        return f"tl.full((BLOCK,), {_literal(number)}, {self.real})"

    def define(self, value: Value, text: str) -> None:
        """Give a value its name and its text."""
        self.names[value] = name = self.prefix + value.name
        self.line(f"{name} = {text}")

    def as_real(self, value: Value) -> str:
        """Return a value as a number: a bool is 1 or 0."""
        name = self.name(value)
        return f"({name}).to({self.real})" if value.boolean else name

    def read_scalar(self, value: Value, place: str) -> None:
        """Read a float64 that is the same for all elements."""
        # spread before it is compared: the interpreter spreads a bool as a number
        self._read(value, f"tl.broadcast_to(tl.load({place}), (BLOCK,))")

    def read_each(self, value: Value, place: str) -> None:
        """Read a float64 for each lane."""
        self._read(value, f"tl.load({place}, mask=mask, other=0.0)")

    def _read(self, value: Value, loaded: str) -> None:
        self.define(value, f"{loaded} != 0.0" if value.boolean else f"{loaded}.to({self.real})")

    def compute(
        self, values: Iterable[Value], wholes: Callable[[Value], str] = _no_integers
    ) -> None:
        """Add the lines of operations; `wholes` is where a scalar is read as an integer."""
        for value in values:
            if value.op == "noise":
                self._noise(value, [wholes(v) for v in value.operands])
            else:
                self._operation(value)

    def _operation(self, value: Value) -> None:
        op = value.op
        if op in _TRUTHS:
            operands = [self._as_taken(value, k) for k in range(len(value.operands))]
            self.define(value, _TRUTHS[op].format(*operands))
            return
        operands = [self.as_real(v) for v in value.operands]
        if op in _SIMPLE:
            self.define(value, _SIMPLE[op].format(*operands))
        elif op in LIBRARY:
            self.define(value, f"lib.{LIBRARY[op]}({', '.join(operands)})")
        elif op in ("mod", "floordiv"):
            self._remainder(value, *operands)
        else:
            self.define(value, self._special(op, *operands))

    def _as_taken(self, value: Value, k: int) -> str:
        """Return an operand of an operation that takes bools."""
        operand = value.operands[k]
        if value.op == "where" and k > 0:
            return self.name(operand) if value.boolean else self.as_real(operand)
        return self.name(operand) if operand.boolean else f"({self.name(operand)} != 0.0)"

    def _special(self, op: str, x: str, y: str = "") -> str:
        exact = self.bits == 32  # for float64 there is only the exact one
        if op == "div":
            return f"tl.div_rn({x}, {y})" if exact else f"{x} / {y}"
        if op == "sqrt":
            return f"tl.sqrt_rn({x})" if exact else f"tl.sqrt({x})"
        if op == "sign":
            return f"({x} > 0.0).to({self.real}) - ({x} < 0.0).to({self.real})"
        if op == "bounded":
            most = self.constant(float(np.finfo(f"float{self.bits}").max))
            return (
                f"tl.where({x} > {most}, {most}, tl.where({x} < -1.0 * {most}, -1.0 * {most}, {x}))"
            )
        if op == "cbrt":  # in float64: a third is not a number of float32
            third = f"tl.full((BLOCK,), {1 / 3!r}, tl.float64)"
            root = f"lib.pow(tl.abs({x}).to(tl.float64), {third})"
            return f"lib.copysign({root}, ({x}).to(tl.float64)).to({self.real})"
        return x  # real

    def _remainder(self, value: Value, x: str, y: str) -> None:
        """Divide with a remainder as PyTorch does it, from C's exact `fmod`."""
        own = f"{self.prefix}{value.name}"
        self.line(f"{own}_y = {y}")
        self.line(f"{own}_rest = lib.fmod({x}, {own}_y)")
        self.line(f"{own}_apart = ({own}_rest != 0.0) & (({own}_rest < 0.0) ^ ({own}_y < 0.0))")
        if value.op == "mod":
            self.define(value, f"tl.where({own}_apart, {own}_rest + {own}_y, {own}_rest)")
            return
        self.line(f"{own}_exact = {self._special('div', f'({x} - {own}_rest)', f'{own}_y')}")
        self.line(f"{own}_near = tl.where({own}_apart, {own}_exact - 1.0, {own}_exact)")
        self.line(f"{own}_low = tl.floor({own}_near)")
        self.line(f"{own}_up = tl.where({own}_near - {own}_low > 0.5, {own}_low + 1.0, {own}_low)")
        self.line(f"{own}_quotient = {self._special('div', x, f'{own}_y')}")
        signed = f"lib.copysign({self.constant(0.0)}, {own}_quotient)"
        self.line(f"{own}_whole = tl.where({own}_near != 0.0, {own}_up, {signed})")
        self.define(value, f"tl.where({own}_y == 0.0, {own}_quotient, {own}_whole)")

    def maximum(self, own: str) -> None:
        """Reduce the block `own` to its maximum `own`_whole; Triton's own maximum loses a NaN."""
        self.line(f"{own}_bad = tl.max(({own} != {own}).to(tl.int32), axis=0)")
        self.line(f"{own}_most = tl.max(tl.where({own} != {own}, float('-inf'), {own}), axis=0)")
        self.line(f"{own}_whole = tl.where({own}_bad > 0, float('nan'), {own}_most)")

    def _noise(self, value: Value, wholes: list[str]) -> None:
        """Draw the noise of each element from its counter `element` (see `program/noise.py`)."""
        own = f"{self.prefix}{value.name}"
        parts = [*wholes, *([f"{value.data}"] if value.data else [])]
        for k, part in enumerate(parts):
            before = f"({own}_key ^ {part})" if k else part
            self._mixed(f"{own}_key", f"{before} + {GOLDEN}")
        self._mixed(f"{own}_bits", f"{own}_key + (element + 1).to(tl.uint64) * {GOLDEN}")
        scale = self.constant(SCALE)
        self.line(f"{own}_u = (({own}_bits >> {HALF}) + 1).to(tl.int64).to({self.real}) * {scale}")
        self.line(f"{own}_v = ({own}_bits & {2**HALF - 1}).to(tl.int64).to({self.real}) * {scale}")
        radius = self._special("sqrt", f"lib.log({own}_u) * -2.0")
        self.define(value, f"{radius} * lib.cos({own}_v * {self.constant(2.0 * math.pi)})")

    def _mixed(self, name: str, text: str) -> None:
        self.line(f"{name} = {text}")
        for shift, factor in MIX:
            times = "" if factor is None else f" * {factor}"
            self.line(f"{name} = ({name} ^ ({name} >> {shift})){times}")


def _literal(number: float) -> str:
    return repr(number) if math.isfinite(number) else f"float('{number}')"
