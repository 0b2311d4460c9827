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

from thalweg.engine.foreach.nodes import Node, Scope
from thalweg.engine.program.program import LEAVES, Level, Program, Value

_SCOPES = {"all": Scope.ALL, "tensor": Scope.TENSOR, "unit": Scope.UNIT}


@dataclass
class StepGraph:
    """The nodes of a step that are asked for."""

    outputs: list[Node]
    """The new parameter, then the new states."""
    numbers: list[Node]
    """The new scalar states that come from reductions."""
    matrices: list[Node]
    """The new states of other shapes."""
    over_all: list[list[Node]]
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
    made: dict[Value, Node] = {}
    stacks: dict[Value, Node] = {}
    index = count()

    def node(
        op: str, operands: Iterable[Node], scope: Scope, value: Value, data: Any = None
    ) -> Node:
        return Node(op, tuple(operands), scope, next(index), value.boolean, data)

    def spread(x: Node, value: Value) -> Node:
        """Return a node as large as the value in whose place it stands."""
        if value.level == Level.TENSOR and x.scope < Scope.EACH:
            return node("spread", (x,), Scope.EACH, value)
        if value.level == Level.REDUCED and x.scope == Scope.HOST:
            return node("lift", (x,), Scope.ALL, value)
        if value.level == Level.MATRIX and x.scope < Scope.MATRIX:
            return node("repeated", (x,), Scope.MATRIX, value, value.shape)
        return x

    def stacked(value: Value) -> Node:
        """Return a list of tensors as stacks, made once."""
        if value not in stacks:
            stacks[value] = node("stacked", (of(value),), Scope.MATRIX, value)
        return stacks[value]

    def called(value: Value) -> Node:
        """Return the call of a matrix function."""
        given = [
            node("host", (), Scope.HOST, x, name_on_host(x))
            if x in vectors
            else stacked(x)
            if x.level == Level.TENSOR
            else of(x)
            for x in value.operands
        ]
        return node("matrix", given, Scope.MATRIX, value, (value.data, value.shape))

    def convert(value: Value) -> Node:
        if value.op == "constant" or value in truths:
            return node("constant", (), Scope.HOST, value, truths.get(value, value.data))
        if value in vectors:
            return node("vector", (), Scope.TENSOR, value, value.name)
        if value.level == Level.HOST:
            return node("host", (), Scope.HOST, value, value.name)
        if value.op == "tensor":
            return node("input", (), Scope.EACH, value, program.tensors.index(value.data))
        if value.op == "matrix state":
            k = list(program.matrix_states).index(value.data)
            return node("matrix state", (), Scope.MATRIX, value, (k, value.shape))
        if value.op == "matrix":
            return called(value)
        operands = [of(x) for x in value.operands]
        if value.op in LEAVES:
            scope = Scope.ALL if (value.op, value.data) == ("count", "all") else Scope.TENSOR
            return node(value.op, (), scope, value, value.data)
        if value.op == "where" and operands[0].op == "constant":
            return spread(operands[1] if operands[0].data else operands[2], value)
        if value.is_reduction:
            return node(value.op, operands, _SCOPES[value.data], value)
        if value.level == Level.TENSOR:
            return node(value.op, operands, Scope.EACH, value, value.data)
        return node(value.op, operands, max(x.scope for x in operands), value)

    def of(value: Value) -> Node:
        if value not in made:
            made[value] = convert(value)
        return made[value]

    def whole(value: Value) -> Node:
        """Return what is written: a rule may return one number for a whole tensor."""
        x = of(value)
        return x if x.scope == Scope.EACH else node("spread", (x,), Scope.EACH, value)

    for value in program.reached():  # in order, so that none is reached deep down
        of(value)
    return StepGraph(
        [whole(v) for v in program.outputs],
        [of(v) for v in program.number_outputs.values()],
        [of(v) for v in program.matrix_outputs.values()],
        [
            [of(v) for v in program.reductions(stage) if v.data == "all"]
            for stage in range(program.stages)
        ],
    )
