"""Which programs need no more of a matrix than numbers of its rows and its columns, and what passes do then.

Such a program is called factored. Its matrix functions are means of rows and of columns, which a pass adds up
itself as it goes over the elements. Its matrix values have one number a row, one a column, or one a matrix;
where such values are combined to a whole matrix, as r·c, a pass does so element by element. So no whole
matrix is ever written down.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from thalweg.engine.cpu.functions.known import is_simple
from thalweg.engine.matrix.function import mean_of_columns, mean_of_rows
from thalweg.engine.program.program import Level, Program, Value
from thalweg.engine.program.shapes import WHOLE, Shape

MEANS: Mapping[Any, str] = {
    getattr(mean_of_rows, "on_stacks"): "rows",  # noqa: B009
    getattr(mean_of_columns, "on_stacks"): "columns",  # noqa: B009
}
"""The matrix functions that passes compute themselves, and of what they give a number each."""

SIDES = ("rows", "columns")
ONE_OF = {"rows": "row", "columns": "column"}
Entry = tuple[str, Value, str]
"""An entry of the table of vectors: what lies there, of which value, and for which side. "sums" are those of
tiles, "totals" of whole rows and columns; "kept" is what passes read, or what becomes a state."""

_FOLDED = ("matrix sum", "matrix max", "matrix count")


def side_of(shape: Shape | None) -> str:
    """Return of what a matrix value has one number each: "rows", "columns", or the "matrix"."""
    if shape == ("m", "1"):
        return "rows"
    return "columns" if shape == ("1", "n") else "matrix"


def is_mean(value: Value) -> bool:
    """Whether a value is a mean that passes compute."""
    return value.op == "matrix" and value.data.function in MEANS


@dataclass(frozen=True)
class VectorWork:
    """What is computed before the pass of a stage: means that are complete now, and what they are for."""

    means: tuple[Value, ...]
    kept: tuple[tuple[Value, str], ...]
    """The values that passes read, or that become states, with the side they are written for."""


@dataclass(frozen=True, eq=False)
class Factored:
    """A factored program, with arithmetic on whole matrices left to the passes."""

    program: Program

    def sums(self, stage: int) -> tuple[Value, ...]:
        """Return the means whose sums the pass of a stage computes."""
        means = (v for v in self.program.matrices if is_mean(v))
        return tuple(v for v in means if v.stage == stage + 1)

    def reads(self, stage: int) -> tuple[Value, ...]:
        """Return the values of rows and columns that the pass of a stage reads."""
        program = self.program
        part = program.part(program.outputs_of(stage), Level.TENSOR)
        return tuple(v.operands[0] for v in part.computes if v.op == "elements")

    @property
    def states(self) -> tuple[tuple[Value, str], ...]:
        """The new values of states, each with its side."""
        program = self.program
        sides = map(side_of, program.matrix_states.values())
        return tuple(zip(program.matrix_outputs.values(), sides, strict=True))

    def work(self, stage: int) -> VectorWork:
        """Return what is computed before the pass of a stage."""
        read = [v for s in range(self.program.stages + 1) for v in self.reads(s)]
        wanted = [*((v, written_for(v)) for v in read), *self.states]
        means = tuple(v for v in self.program.matrices if is_mean(v) and v.stage == stage)
        return VectorWork(means, tuple(dict.fromkeys(x for x in wanted if x[0].stage == stage)))


def written_for(value: Value) -> str:
    """Return the side for which passes find a value: one number for all is written for each row."""
    side = side_of(value.shape)
    return "rows" if side == "matrix" else side


@cache
def factored(program: Program) -> Factored | None:
    """Return how a program runs without whole matrices, or None."""
    if not program.matrices or program.by_unit or program.coded:
        return None
    if not all(map(_fits, program.matrices)):
        return None
    if any(v.level != Level.MATRIX for v in program.matrix_outputs.values()):
        return None
    made = _Spread(program).made()
    return Factored(made) if made.host_reads == program.host_reads else None


def _fits(value: Value) -> bool:
    """Whether a matrix value is one of rows or columns, or of both only for the passes."""
    if is_mean(value):
        return value.operands[0].level == Level.TENSOR
    if value.op == "matrix state":
        return side_of(value.shape) != "matrix"
    if value.op in _FOLDED:
        return True
    return is_simple(value.op)


class _Spread:
    """Makes of a program one whose passes combine numbers of rows and of columns themselves."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._values: list[Value] = []
        self._new: dict[Value, Value] = {}
        self._wide: dict[Value, Value] = {}

    def made(self) -> Program:
        program = self._program
        for value in program.values:
            if value.op == "elements":
                self._new[value] = self._elements(value.operands[0])
            elif value.level != Level.MATRIX or value.shape != WHOLE:
                operands = tuple(self._new[x] for x in value.operands)
                same = all(a is b for a, b in zip(operands, value.operands, strict=True))
                self._new[value] = value if same else replace(value, operands=operands)
                self._values.append(self._new[value])

        def named(of: Mapping[str, Value]) -> dict[str, Value]:
            return {name: self._new[v] for name, v in of.items()}

        return replace(
            program,
            outputs=tuple(self._new[v] for v in program.outputs),
            scalar_outputs=named(program.scalar_outputs),
            number_outputs=named(program.number_outputs),
            matrix_outputs=named(program.matrix_outputs),
            values=tuple(self._values),
        )

    def _elements(self, x: Value) -> Value:
        """Return a value element by element: arithmetic on whole matrices is done there."""
        if x.level != Level.MATRIX:
            return self._new[x]
        if x not in self._wide:
            whole = x.shape == WHOLE
            op = x.op if whole else "elements"
            operands = tuple(map(self._elements, x.operands)) if whole else (self._new[x],)
            name = f"w{len(self._values)}"
            made = Value(name, op, operands, Level.TENSOR, x.stage, x.boolean, x.data)
            self._wide[x] = made
            self._values.append(made)
        return self._wide[x]


def vectors_of(made: Factored, stage: int) -> tuple[Value, ...]:
    """Return what the table of vectors of a pass is for: sums that it writes, values that it reads."""
    return (*made.sums(stage), *made.reads(stage))


def entries_of(work: VectorWork) -> tuple[Entry, ...]:
    """Return what the table of vectors of a stage is for."""
    means = [v for v in reads_of(work) if is_mean(v)]
    return (
        *(("sums", v, MEANS[v.data.function]) for v in work.means),
        *(("totals", v, MEANS[v.data.function]) for v in means),
        *(("kept", v, side) for v, side in work.kept),
    )


def reads_of(work: VectorWork) -> tuple[Value, ...]:
    """Return all that is computed for a stage: values of level MATRIX, and what they read from below."""
    found: dict[Value, None] = dict.fromkeys(work.means)
    pending = [v for v, _ in work.kept]
    while pending:
        value = pending.pop()
        if value not in found and value.op != "constant":
            found[value] = None
            if value.level == Level.MATRIX and not is_mean(value):
                pending += value.operands
    return tuple(found)
