"""The program of a chain: what its update computes, as values in order, ready for any engine.

Every value has a *level*, which says how often it must be computed:

    HOST     once a step: depends on hyperparameters and the step number only
    REDUCED  once a tensor: depends on a reduction
    MATRIX   once a matrix: depends on a matrix function, and has a shape of its own (`shapes.py`)
    TENSOR   once an element

and a *stage*: how many passes must have run before it. A program with stages 0..S runs in S + 1 passes over
the data; the last one writes, the earlier ones only reduce, or write what matrix functions are given. Matrix
values of a stage are computed before its pass. Arithmetic on matrix values is element by element where all
have the parameter's own shape, and otherwise happens between passes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property
from typing import Any, Literal


class Level(IntEnum):
    """How often a value is computed."""

    HOST = 0
    REDUCED = 1
    MATRIX = 2
    TENSOR = 3


@dataclass(frozen=True, eq=False)
class Value:
    """One value of a program: an operation and its operands, or a leaf.

    Leaves are "constant" (`data` is the number), "scalar" and "tensor" inputs (`data` is the name), and what
    is one number for each tensor (`LEAVES`). "sum" and "max" reduce over the scope in `data`. "noise" is
    drawn for each element. "foreign" is a PyTorch call outside the vocabulary (`data` holds it), which only
    the eager engine can run.

    Of level MATRIX are "matrix" (`data` is the call of a matrix function), "matrix state" (`data` is the
    name), "matrix sum", "matrix max" and "matrix count", over a value of another shape than the parameter's,
    and arithmetic. "elements" spreads such a value over the elements of the parameter.
    """

    name: str
    op: str
    operands: tuple[Value, ...]
    level: Level
    stage: int
    boolean: bool = False
    data: Any = None
    shape: tuple[str, str] | None = None
    """Of a matrix value its shape."""

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
        """Whether a value that is not a tensor still differs between the units of a tensor."""
        if self.level != Level.REDUCED:
            return False
        if self.is_reduction or self.op == "count":
            return bool(self.data == "unit")
        return any(x.by_unit for x in self.operands)


LEAVES = ("count", "dimensions", "rows", "columns", "ordinal", "number")
"""Leaves of level REDUCED: the number of elements of the scope in `data`, of dimensions, of rows and of
columns (of the matrix that the parameter is seen as), the place of the parameter in its optimizer, and the
scalar state of the name in `data`."""


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
    matrix_states: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """The states of other shapes than the parameter's."""
    matrix_outputs: Mapping[str, Value] = field(default_factory=dict)
    """The new values of these states."""
    seen: Literal["first", "last"] = "first"
    """How a tensor is seen as a matrix."""

    @property
    def stages(self) -> int:
        """The stage of the last pass: how many reductions stand before it."""
        return max(value.stage for value in self.roots)

    @cached_property
    def roots(self) -> tuple[Value, ...]:
        """What the passes are for: the new parameter and states, and the numbers from reductions."""
        return (*self.outputs, *self.number_outputs.values(), *self.matrix_outputs.values())

    @cached_property
    def states(self) -> tuple[str, ...]:
        """The names of the states that are tensors of the parameter's shape, in order."""
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
        """Return what the pass of a stage computes: what is reduced or given to matrices, or the outputs."""
        if stage == self.stages:
            return self.outputs
        return (*(v.operands[0] for v in self.reductions(stage)), *self.given_to_matrices(stage))

    @cached_property
    def matrices(self) -> tuple[Value, ...]:
        """The matrix values, in order."""
        return tuple(v for v in self.reached() if v.level == Level.MATRIX)

    @cached_property
    def sees_matrices(self) -> bool:
        """Whether it sees the parameter as a matrix."""
        return any(v.level == Level.MATRIX or v.op in ("rows", "columns") for v in self.reached())

    def given_to_matrices(self, stage: int) -> tuple[Value, ...]:
        """Return what the pass of a stage writes for matrix functions."""
        given = {x for v in self.matrices for x in v.operands if x.level == Level.TENSOR}
        return tuple(v for v in self.values if v in given and v.stage == stage)

    def part(self, roots: Iterable[Value], level: Level) -> LevelPart:
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
        return LevelPart(computed, tuple(v for v in ordered if v not in computed))


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
class LevelPart:
    """The values that one level computes, in order, and those it reads from lower levels."""

    computes: tuple[Value, ...]
    reads: tuple[Value, ...]
