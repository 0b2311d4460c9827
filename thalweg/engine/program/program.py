"""The program of a chain: what its update computes, as values in order, ready for any engine.

Every value has a *level*, which says how often it must be computed:

    HOST     once a step: depends on hyperparameters and the step number only
    REDUCED  once a tensor: depends on a reduction
    TENSOR   once an element

and a *stage*: the number of reductions that must have run before it. A program with stages 0..S runs in
S + 1 passes over the data; the last one writes, the earlier ones only reduce.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property
from typing import Any

from thalweg.engine.program.ops import OPS


class Level(IntEnum):
    """How often a value is computed."""

    HOST = 0
    REDUCED = 1
    TENSOR = 2


@dataclass(frozen=True, eq=False)
class Value:
    """One value of a program: an operation and its operands, or a leaf.

    Leaves are "constant" (`data` is the number), "scalar" and "tensor" inputs (`data` is the name), and what
    is one number for each tensor (`LEAVES`). "sum" and "max" reduce over the scope in `data`. "noise" is
    drawn for each element. "foreign" is a PyTorch call outside the vocabulary (`data` holds it), which only
    the eager engine can run.
    """

    name: str
    op: str
    operands: tuple[Value, ...]
    level: Level
    stage: int
    boolean: bool = False
    data: Any = None

    @property
    def is_reduction(self) -> bool:
        """Whether the value is a reduction over elements."""
        return self.op in ("sum", "max")

    @cached_property
    def is_foreign(self) -> bool:
        """Whether a call outside the vocabulary stands behind it: it may have any shape."""
        return self.op == "foreign" or any(x.is_foreign for x in self.operands)

    @cached_property
    def by_unit(self) -> bool:
        """Whether a value that is no tensor still differs between the units of a tensor."""
        if self.level != Level.REDUCED:
            return False
        if self.is_reduction or self.op == "count":
            return bool(self.data == "unit")
        return any(x.by_unit for x in self.operands)


LEAVES = ("count", "dimensions", "ordinal", "number")
"""Leaves of level REDUCED: the number of elements of the scope in `data`, the number of dimensions, the place
of the parameter in its optimizer, and the scalar state of the name in `data`."""

_TAKE_TRUTH = frozenset(("real", "where", "logical_not", "logical_and", "logical_or"))
"""Operations that take truth values as they are; to any other, true is 1 and false is 0."""


@dataclass
class Builder:
    """Makes values, each once: equal operations on equal operands are one value."""

    values: list[Value] = field(default_factory=list)
    _known: dict[Any, Value] = field(default_factory=dict)

    def constant(self, number: float | bool) -> Value:
        """Return the value of a number."""
        boolean = isinstance(number, bool)
        key = ("constant", boolean, repr(float(number)))
        data = number if boolean else float(number)
        return self._once(key, "constant", (), Level.HOST, 0, boolean, data)

    def scalar(self, name: str) -> Value:
        """Return the value of a scalar input."""
        return self._once(("scalar", name), "scalar", (), Level.HOST, 0, False, name)

    def tensor(self, name: str) -> Value:
        """Return the value of a tensor input."""
        return self._once(("tensor", name), "tensor", (), Level.TENSOR, 0, False, name)

    def leaf(self, op: str, data: str = "") -> Value:
        """Return one of `LEAVES`."""
        return self._once((op, data), op, (), Level.REDUCED, 0, False, data)

    def noise(self, seed: Value, t: Value, draw: int) -> Value:
        """Return standard normal noise, a function of a seed, the step, the tensor and the element.

        `draw` is the number of the call in its chain: each has noise of its own, whatever the seeds are.
        """
        operands = (seed, t, self.leaf("ordinal"))
        return self._once(object(), "noise", operands, Level.TENSOR, 0, False, draw)

    def apply(self, op: str, *operands: Value) -> Value:
        """Return the value of an operation of the vocabulary."""
        if op not in _TAKE_TRUTH:
            operands = tuple(self._real(x) for x in operands)
        if op == "where" and operands[1].boolean != operands[2].boolean:
            operands = (operands[0], self._real(operands[1]), self._real(operands[2]))
        if op == "div" and operands[1].level < operands[0].level == Level.TENSOR:
            # a division is several times dearer than a product, and its divisor is the same everywhere
            reciprocal = self.apply("div", self.constant(1.0), operands[1])
            return self.apply("mul", operands[0], reciprocal)
        if op == "pow" and operands[1].op == "constant" and operands[0].level == Level.TENSOR:
            simple = self._power(operands[0], operands[1].data)
            if simple is not None:
                return simple
        level = max(x.level for x in operands)
        stage = max(x.stage for x in operands)
        key = (op, *map(id, operands))
        return self._once(
            key, op, operands, level, stage, OPS[op].boolean or self._truth(op, operands)
        )

    def reduce(self, op: str, operand: Value, scope: str) -> Value:
        """Return a reduction of a value ("sum" or "max") over a scope."""
        operand = self._real(operand)
        if operand.level < Level.TENSOR:  # one number, which stands for every element
            spread = ("spread", id(operand))
            operand = self._once(spread, "spread", (operand,), Level.TENSOR, operand.stage)
        key = (op, id(operand), scope)
        return self._once(key, op, (operand,), Level.REDUCED, operand.stage + 1, False, scope)

    def foreign(self, call: Any, operands: tuple[Value, ...]) -> Value:
        """Return the value of a PyTorch call outside the vocabulary."""
        stage = max((x.stage for x in operands), default=0)
        return self._once(object(), "foreign", operands, Level.TENSOR, stage, False, call)

    def _real(self, x: Value) -> Value:
        return self.apply("real", x) if x.boolean else x

    def _power(self, x: Value, exponent: float) -> Value | None:
        """Return the powers that are products and roots: those that PyTorch computes so, and a few more."""
        one = self.constant(1.0)
        if exponent in (2.0, -2.0):
            square = self.apply("mul", x, x)
            return square if exponent > 0 else self.apply("div", one, square)
        if exponent == 3.0:
            return self.apply("mul", self.apply("mul", x, x), x)
        if exponent in (0.5, -0.5):
            root = self.apply("sqrt", x)
            return root if exponent > 0 else self.apply("div", one, root)
        if exponent == -1.0:
            return self.apply("div", one, x)
        if exponent == 0.25:
            return self.apply("sqrt", self.apply("sqrt", self._of_power(x)))
        if exponent == 1 / 3:
            root = self.apply("cbrt", self.apply("abs", x))
            negative = self.apply("lt", self._of_power(x), self.constant(0.0))
            return self.apply("where", negative, self.constant(math.nan), root)
        return None

    def _of_power(self, x: Value) -> Value:
        """Return what a broken power sees of a number: ∞ in the place of −∞, and 0 in that of −0."""
        below = self.apply("eq", x, self.constant(-math.inf))
        positive = self.apply("add", x, self.constant(0.0))
        return self.apply("where", below, self.constant(math.inf), positive)

    @staticmethod
    def _truth(op: str, operands: tuple[Value, ...]) -> bool:
        return op == "where" and operands[1].boolean and operands[2].boolean

    def _once(self, key: Any, op: str, operands: tuple[Value, ...], *rest: Any) -> Value:
        if key not in self._known:
            value = Value(f"x{len(self.values)}", op, operands, *rest)
            self.values.append(value)
            self._known[key] = value
        return self._known[key]


@dataclass(frozen=True, eq=False)
class Program:
    """A chain with its switches fixed, lowered to values.

    `tensors` names the tensor inputs: the gradient, the parameter, then the states; `outputs` holds the new
    parameter and the new states. `scalars` names the scalar inputs, and `scalar_outputs` the new values
    of those scalars that are state. `number_outputs` holds the new values of the scalar states that are
    computed from reductions.
    """

    tensors: tuple[str, ...]
    scalars: tuple[str, ...]
    outputs: tuple[Value, ...]
    scalar_outputs: Mapping[str, Value]
    number_outputs: Mapping[str, Value]
    values: tuple[Value, ...]
    label: str = "a chain"
    """What is said of it in messages."""

    @property
    def stages(self) -> int:
        """The stage of the last pass: how many reductions stand before it."""
        return max(value.stage for value in self.roots)

    @cached_property
    def roots(self) -> tuple[Value, ...]:
        """What the passes are for: the new parameter and states, and the numbers from reductions."""
        return (*self.outputs, *self.number_outputs.values())

    @cached_property
    def states(self) -> tuple[str, ...]:
        """The names of the states that are tensors, in order."""
        return tuple(name.removeprefix("state ") for name in self.tensors[2:])

    @cached_property
    def coded(self) -> tuple[int, ...]:
        """Which states, by position, are stored in 8 bits."""
        return tuple(k for k, v in enumerate(self.outputs[1:]) if v.op == "coded")

    @property
    def kept(self) -> tuple[str, ...]:
        """The scalar states in the order in which they are kept."""
        return (*self.scalar_outputs, *self.number_outputs)

    @cached_property
    def by_unit(self) -> bool:
        """Whether something is reduced over the units of a tensor."""
        return any(v.by_unit for v in self.reached())

    @property
    def foreign(self) -> tuple[str, ...]:
        """The PyTorch calls that keep this program from being fused."""
        return tuple(v.data.label for v in self.values if v.op == "foreign")

    @cached_property
    def host_reads(self) -> tuple[Value, ...]:
        """The scalars that the passes read: one row of numbers for each group and step number."""
        reached = _reach(self.roots)
        above = [v for v in reached if v.level > Level.HOST]
        read = {x for v in above for x in v.operands} | set(self.roots)
        return tuple(
            v for v in self.values if v in read and v.level == Level.HOST and v.op != "constant"
        )

    def reached(self) -> tuple[Value, ...]:
        """Return everything the outputs depend on, in order, the operands of reductions included."""
        reached = _reach(self.roots)
        return tuple(v for v in self.values if v in reached)

    def scalars_behind(self, value: Value) -> set[str]:
        """Return the names of the scalar inputs that a value depends on."""
        return {v.data for v in _reach([value]) if v.op == "scalar"}

    def reductions(self, stage: int) -> tuple[Value, ...]:
        """Return the reductions whose operands are ready at a stage."""
        return tuple(v for v in self.reached() if v.is_reduction and v.stage == stage + 1)

    def outputs_of(self, stage: int) -> tuple[Value, ...]:
        """Return what the pass of a stage must compute: operands to reduce, or the outputs."""
        if stage == self.stages:
            return self.outputs
        return tuple(v.operands[0] for v in self.reductions(stage))

    def part(self, roots: Iterable[Value], level: Level) -> Part:
        """Return what one level must compute for the roots, and what it reads from the levels below."""
        reached: set[Value] = set()
        pending = list(roots)
        while pending:
            value = pending.pop()
            if value in reached or value.op == "constant":
                continue
            reached.add(value)
            if value.level == level and not value.is_reduction:
                pending.extend(value.operands)
        ordered = tuple(v for v in self.values if v in reached)
        computed = tuple(v for v in ordered if v.level == level and not v.is_reduction)
        return Part(computed, tuple(v for v in ordered if v not in computed))


def _reach(roots: Iterable[Value]) -> set[Value]:
    reached: set[Value] = set()
    pending = list(roots)
    while pending:
        value = pending.pop()
        if value not in reached and value.op != "constant":
            reached.add(value)
            pending.extend(value.operands)
    return reached


@dataclass(frozen=True)
class Part:
    """The values that one level computes, in order, and those it reads from lower levels."""

    computes: tuple[Value, ...]
    reads: tuple[Value, ...]
