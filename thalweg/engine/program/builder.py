"""The builder of a program: makes each value once, with its level, stage and shape."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from thalweg.engine.program.ops import OPS
from thalweg.engine.program.program import Level, Value
from thalweg.engine.program.shapes import (
    NUMBER,
    WHOLE,
    Shape,
    ShapeError,
    joined_shape,
    text_of,
)

_TAKE_TRUTH = frozenset(("real", "where", "logical_not", "logical_and", "logical_or"))
"""Operations that take bools as they are; to any other, true is 1 and false is 0."""


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
        operands = self._joined(operands)
        if op not in _TAKE_TRUTH:
            operands = tuple(self._real(x) for x in operands)
        if op == "where" and operands[1].boolean != operands[2].boolean:
            operands = (operands[0], self._real(operands[1]), self._real(operands[2]))
        if op == "div" and operands[1].level < operands[0].level == Level.TENSOR:
            # a division is several times as expensive as a product, and its divisor is the same everywhere
            reciprocal = self.apply("div", self.constant(1.0), operands[1])
            return self.apply("mul", operands[0], reciprocal)
        if op == "pow" and operands[1].op == "constant" and operands[0].level == Level.TENSOR:
            simple = self._power(operands[0], operands[1].data)
            if simple is not None:
                return simple
        level = max(x.level for x in operands)
        stage = max(x.stage for x in operands)
        key = (op, *map(id, operands))
        boolean = OPS[op].boolean or self._truth(op, operands)
        shape = (
            joined_shape(x.shape for x in operands if x.shape) if level == Level.MATRIX else None
        )
        return self._once(key, op, operands, level, stage, boolean, None, shape)

    def reduce(self, op: str, operand: Value, scope: str) -> Value:
        """Return a reduction of a value ("sum" or "max") over a scope."""
        operand = self._real(operand)
        if operand.level == Level.MATRIX:
            if operand.shape != WHOLE:
                return self._of_matrix(op, operand, scope)
            operand = self.elements(operand)
        if operand.level < Level.TENSOR:  # one number, which stands for every element
            spread = ("spread", id(operand))
            operand = self._once(spread, "spread", (operand,), Level.TENSOR, operand.stage)
        key = (op, id(operand), scope)
        return self._once(key, op, (operand,), Level.REDUCED, operand.stage + 1, False, scope)

    def foreign(self, call: Any, operands: tuple[Value, ...]) -> Value:
        """Return the value of a PyTorch call outside the vocabulary."""
        stage = max((x.stage for x in operands), default=0)
        return self._once(object(), "foreign", operands, Level.TENSOR, stage, False, call)

    # -- matrix values ----------------------------------------------------------------------------------

    def matrix_state(self, name: str, shape: Shape) -> Value:
        """Return the value of a state of another shape than the parameter's."""
        key = ("matrix state", name)
        return self._once(key, "matrix state", (), Level.MATRIX, 0, False, name, shape)

    def matrix(self, call: Any, operands: tuple[Value, ...], shape: Shape) -> Value:
        """Return the value of a matrix function; what a pass must write for it comes a stage before."""
        operands = tuple(self._real(x) if x.level >= Level.MATRIX else x for x in operands)
        stage = max(x.stage + (x.level == Level.TENSOR) for x in operands)
        key = ("matrix", repr(call), *map(id, operands))
        return self._once(key, "matrix", operands, Level.MATRIX, stage, False, call, shape)

    def count_of_matrix(self, x: Value) -> Value:
        """Return how many numbers a matrix value has."""
        key = ("matrix count", id(x))
        return self._once(key, "matrix count", (x,), Level.MATRIX, x.stage, False, None, NUMBER)

    def elements(self, x: Value) -> Value:
        """Return a matrix value element by element; any other value as it is."""
        if x.level != Level.MATRIX:
            return x
        assert x.shape is not None
        if x.shape[0] not in "m1" or x.shape[1] not in "n1":
            raise ShapeError(
                f"it uses a matrix of {text_of(x.shape)} where one of m × n is expected"
            )
        x = self._real(x)
        return self._once(("elements", id(x)), "elements", (x,), Level.TENSOR, x.stage)

    def _joined(self, operands: tuple[Value, ...]) -> tuple[Value, ...]:
        """Bring matrix values to the elements of the parameter where the operation is one of these."""
        matrices = [x for x in operands if x.level == Level.MATRIX]
        if not matrices:
            return operands
        if all(x.shape == WHOLE for x in matrices):
            return tuple(map(self.elements, operands))
        if any(x.level == Level.TENSOR for x in operands):
            return tuple(map(self.elements, operands))
        if any(x.by_unit for x in operands):
            raise ShapeError(
                "it combines a reduction with scope='unit' with a matrix value. Use a matrix function "
                "that gives a number for each row, such as mean_of_rows"
            )
        return operands

    def _of_matrix(self, op: str, operand: Value, scope: str) -> Value:
        if scope != "tensor":
            raise ShapeError(
                f"it reduces a matrix value of {text_of(operand.shape or WHOLE)} with scope={scope!r}; it "
                "can be reduced as a whole, scope='tensor'"
            )
        key = (f"matrix {op}", id(operand))
        stage = operand.stage
        return self._once(key, f"matrix {op}", (operand,), Level.MATRIX, stage, False, None, NUMBER)

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
        """Return what a broken power sees of a number: ∞ instead of −∞, and 0 in that of −0."""
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
