"""A program for one step: its values as nodes, after the choices that the step's numbers make.

A `where` on a condition of level HOST is one of its branches for the whole step, so it is gone here, and
what only the other branch needs is not computed. Reductions over all tensors stay, needed or not: parameters
of one program go through its stages together.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

from thalweg.engine.foreach.nodes import ListNode, Scope
from thalweg.engine.program.program import LEAVES, Level, Program, Value

_SCOPES = {"all": Scope.ALL, "tensor": Scope.TENSOR, "unit": Scope.UNIT}


@dataclass
class StepGraph:
    """The nodes of a step that are asked for."""

    outputs: list[ListNode]
    """The new parameter, then the new states."""
    numbers: list[ListNode]
    """The new scalar states that come from reductions."""
    matrices: list[ListNode]
    """The new states of other shapes."""
    over_all: list[list[ListNode]]
    """For each stage but the last, the reductions over all tensors."""


def choosers(program: Program, vectors: Collection[Value]) -> tuple[Value, ...]:
    """Return the values of level HOST that are vectors on the device, and plain numbers for matrix functions
    besides: what these compute is chosen by the number of the step.
    """
    given = {x for v in program.matrices if v.op == "matrix" for x in v.operands}
    return tuple(v for v in program.host_reads if v in vectors and v in given)


def name_on_host(chooser: Value) -> str:
    """Return what the plain number beside a vector is called."""
    return f"{chooser.name}_on_host"


def graph_of(
    program: Program, truths: Mapping[Value, bool], vectors: Collection[Value] = ()
) -> StepGraph:
    """Return the nodes of a program, where its conditions of level HOST have these truths.

    `vectors` are values of level HOST that are a number for each tensor, on the device.
    """
    nodes = _Nodes(program, truths, vectors)
    return StepGraph(
        [nodes.whole(v) for v in program.outputs],
        [nodes.of(v) for v in program.number_outputs.values()],
        [nodes.of(v) for v in program.matrix_outputs.values()],
        [
            [nodes.of(v) for v in program.reductions(stage) if v.data == "all"]
            for stage in range(program.stages)
        ],
    )


class _Nodes:
    """A node for each value of a program, made once and in the order of computation."""

    def __init__(
        self, program: Program, truths: Mapping[Value, bool], vectors: Collection[Value]
    ) -> None:
        self._truths, self._vectors = truths, vectors
        self._tensors = list(program.tensors)
        self._matrices = list(program.matrix_states)
        self._made: dict[Value, ListNode] = {}
        self._stacks: dict[Value, ListNode] = {}
        self._index = count()
        for value in program.reached():  # in order, so that none is reached deep down
            self.of(value)

    def of(self, value: Value) -> ListNode:
        """Return the node of a value."""
        if value not in self._made:
            self._made[value] = self._known(value) or self._input(value) or self._computed(value)
        return self._made[value]

    def whole(self, value: Value) -> ListNode:
        """Return what is written: a rule may return one number for a whole tensor."""
        x = self.of(value)
        return x if x.scope == Scope.EACH else self._node("spread", (x,), Scope.EACH, value)

    def _node(
        self, op: str, operands: Iterable[ListNode], scope: Scope, value: Value, data: Any = None
    ) -> ListNode:
        return ListNode(op, tuple(operands), scope, next(self._index), value.boolean, data)

    def _known(self, value: Value) -> ListNode | None:
        """Return the node of a value that is known before the step begins."""
        if value.op == "constant" or value in self._truths:
            data = self._truths.get(value, value.data)
            return self._node("constant", (), Scope.HOST, value, data)
        if value in self._vectors:
            return self._node("vector", (), Scope.TENSOR, value, value.name)
        if value.level == Level.HOST:
            return self._node("host", (), Scope.HOST, value, value.name)
        return None

    def _input(self, value: Value) -> ListNode | None:
        """Return the node of a value that is read from memory, or counted there."""
        if value.op == "tensor":
            k = self._tensors.index(value.data)
            return self._node("input", (), Scope.EACH, value, k)
        if value.op == "matrix state":
            k = self._matrices.index(value.data)
            return self._node("matrix state", (), Scope.MATRIX, value, (k, value.shape))
        if value.op in LEAVES:
            scope = Scope.ALL if (value.op, value.data) == ("count", "all") else Scope.TENSOR
            return self._node(value.op, (), scope, value, value.data)
        return None

    def _computed(self, value: Value) -> ListNode:
        """Return the node of a value that is computed from others."""
        if value.op == "matrix":
            return self._call(value)
        operands = [self.of(x) for x in value.operands]
        if value.op == "where" and operands[0].op == "constant":
            return self._spread(operands[1] if operands[0].data else operands[2], value)
        if value.is_reduction:
            return self._node(value.op, operands, _SCOPES[value.data], value)
        if value.level == Level.TENSOR:
            return self._node(value.op, operands, Scope.EACH, value, value.data)
        return self._node(value.op, operands, max(x.scope for x in operands), value)

    def _call(self, value: Value) -> ListNode:
        """Return the call of a matrix function."""
        given = [self._given(x) for x in value.operands]
        return self._node("matrix", given, Scope.MATRIX, value, (value.data, value.shape))

    def _given(self, operand: Value) -> ListNode:
        """Return what a matrix function is called with: stacks, and numbers that are on the host."""
        if operand in self._vectors:
            return self._node("host", (), Scope.HOST, operand, name_on_host(operand))
        return self._stacked(operand) if operand.level == Level.TENSOR else self.of(operand)

    def _stacked(self, value: Value) -> ListNode:
        """Return a list of tensors as stacks, made once."""
        if value not in self._stacks:
            self._stacks[value] = self._node("stacked", (self.of(value),), Scope.MATRIX, value)
        return self._stacks[value]

    def _spread(self, x: ListNode, value: Value) -> ListNode:
        """Return a node as large as the value in whose place it stands."""
        if value.level == Level.TENSOR and x.scope < Scope.EACH:
            return self._node("spread", (x,), Scope.EACH, value)
        if value.level == Level.REDUCED and x.scope == Scope.HOST:
            return self._node("lift", (x,), Scope.ALL, value)
        if value.level == Level.MATRIX and x.scope < Scope.MATRIX:
            return self._node("repeated", (x,), Scope.MATRIX, value, value.shape)
        return x
