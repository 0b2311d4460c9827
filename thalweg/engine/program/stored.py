"""Programs whose states and parameter are stored in fewer bits than they are computed in.

The form of a state says how it is stored:

    "plain"      as its dtype rounds it, to the nearest
    "bfloat16"   rounded stochastically to bfloat16
    "int8"       rounded stochastically to 8 bits, with a scale for each block (`coded.py`)

and that of the parameter, which is bfloat16 then:

    "plain"      to the nearest
    "stochastic" rounded stochastically
    "remainder"  what rounding leaves is one more state, of 16 bits: the two are a float32

A program stays one: its outputs are rounded by operations of their own, so an engine that has these needs to
know nothing else, and one that has not says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from thalweg.engine.program.formats import REMAINDER, SHARE
from thalweg.engine.program.program import Level, Program, Value

STORED = ("bits", "narrowed", "coded", "joined", "upper", "lower")
"""The operations that only stored programs have."""

_known: dict[tuple[Program, tuple[str, ...], str], Program] = {}


def stored(program: Program, states: Sequence[str], parameter: str = "plain") -> Program:
    """Return the program that stores its states and the parameter in these forms."""
    forms = tuple(states)
    if parameter == "plain" and all(form == "plain" for form in forms):
        return program
    key = (program, forms, parameter)
    if key not in _known:
        _known[key] = _Storing(program).made(forms, parameter)
    return _known[key]


class _Storing:
    def __init__(self, program: Program) -> None:
        self._program = program
        self._values = list(program.values)
        self._draws: list[Value] = []
        self._shares = 0

    def made(self, forms: tuple[str, ...], parameter: str) -> Program:
        program = self._program
        outputs, tensors = list(program.outputs), list(program.tensors)
        numbers, matrices = dict(program.number_outputs), dict(program.matrix_outputs)
        if parameter == REMAINDER:
            remainder = f"state {REMAINDER}"
            new = self._with_remainder(remainder)
            outputs = [new.get(v, v) for v in outputs]
            numbers = {name: new.get(v, v) for name, v in numbers.items()}
            matrices = {name: new.get(v, v) for name, v in matrices.items()}
            whole = outputs[0]
            outputs[0] = self._add("upper", (whole,))
            outputs.append(self._add("lower", (whole,)))
            tensors.append(remainder)
        elif parameter == "stochastic":
            outputs[0] = self._rounded("narrowed", outputs[0])
        for k, form in enumerate(forms, start=1):
            if form != "plain":
                name = "narrowed" if form == "bfloat16" else "coded"
                outputs[k] = self._rounded(name, outputs[k])
        return replace(
            program,
            tensors=tuple(tensors),
            outputs=tuple(outputs),
            number_outputs=numbers,
            matrix_outputs=matrices,
            values=tuple(self._values),
        )

    def _with_remainder(self, remainder: str) -> dict[Value, Value]:
        """Let the program compute with the whole parameter; return what its values became."""
        parameter = self._leaf("tensor", self._program.tensors[1], Level.TENSOR)
        old = [v for v in self._values if v is not parameter]
        self._values = [parameter]
        left = self._add("tensor", (), data=remainder)
        new = {parameter: self._add("joined", (parameter, left))}
        for v in old:
            operands = tuple(new.get(x, x) for x in v.operands)
            if operands == v.operands:
                self._values.append(v)
                continue
            new[v] = replace(v, operands=operands)
            self._values.append(new[v])
        return new

    def _rounded(self, op: str, value: Value) -> Value:
        turn, part = divmod(self._shares, 2)
        self._shares += 1
        if turn == len(self._draws):
            t = self._leaf("scalar", "t", Level.HOST)
            ordinal = self._leaf("ordinal", "", Level.REDUCED)
            self._draws.append(self._add("bits", (t, ordinal), data=turn))
        return self._add(op, (value, self._draws[turn]), value.stage, data=part * SHARE)

    def _leaf(self, op: str, data: str, level: Level) -> Value:
        for v in self._values:
            if v.op == op and v.data == data:
                return v
        return self._add(op, (), data=data, level=level)

    def _add(
        self,
        op: str,
        operands: tuple[Value, ...],
        stage: int | None = None,
        data: object = None,
        level: Level = Level.TENSOR,
    ) -> Value:
        if stage is None:
            stage = max((x.stage for x in operands), default=0)
        value = Value(f"s{len(self._values)}", op, operands, level, stage, False, data)
        self._values.append(value)
        return value
