"""Matrix values of a stage, computed into memory that is there: large results are not allocated at each step.

Fresh memory costs more than arithmetic: the system hands it out page by page. So products, sums and averages
of whole matrices are written where they are needed: into the buffer that the next pass reads, into memory of
their slice, or into memory that all slices use in turn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from thalweg.engine.matrix.function import gram, gram_of_columns, product
from thalweg.engine.program.program import Level, Program, Value
from thalweg.engine.program.shapes import WHOLE, Shape

MEMORY = "_memory"
"""The name of the list of results' memory in printed functions."""

_ROWS: Any = getattr(gram, "on_stacks")  # noqa: B009
_COLUMNS: Any = getattr(gram_of_columns, "on_stacks")  # noqa: B009
_GRAMS = {_ROWS: "{}", _COLUMNS: "{}.mT"}
_ARITHMETIC = ("mul", "add", "sub", "div", "maximum", "minimum", "sqrt")

PANEL = 128
"""Rows of X·Xᵀ that are computed together: one half of it is the other's mirror image, left out by panels."""


class GramAverage(NamedTuple):
    """A state that is averaged with X·Xᵀ: β·S + α·X·Xᵀ, or Xᵀ·X."""

    state: Value
    beta: Value
    alpha: Value
    x: Value
    of: str
    absorbed: tuple[Value, ...]


class ResultPlace(NamedTuple):
    """Where a result lies: in the buffer of `spread`, in memory of its slice, or in the memory `shared`."""

    shape: Shape
    spread: Value | None
    shared: int | None


@dataclass(frozen=True)
class StagePlan:
    """How the values of a stage are computed.

    `computed` are those that have a line of their own, `lines` the lines of those that have a place, or that
    are computed only where they are chosen; `reads` what each value reads, at last.
    """

    computed: tuple[Value, ...]
    lines: dict[Value, str] = field(default_factory=dict)
    places: list[ResultPlace] = field(default_factory=list)
    placed: set[Value] = field(default_factory=set)


def averages(program: Program) -> dict[Value, GramAverage]:
    """Return the averages of a program by their values."""
    uses = _uses(program)
    found = {}
    for name, value in program.matrix_outputs.items():
        made = _average(name, value)
        if made is not None and all(uses[x] == 1 for x in made.absorbed):
            found[value] = made
    return found


def _average(name: str, value: Value) -> GramAverage | None:
    if value.op != "add" or [x.op for x in value.operands] != ["mul", "mul"]:
        return None
    parts = [sorted(x.operands, key=lambda x: x.level) for x in value.operands]
    if any(a.level != Level.HOST for a, _ in parts):
        return None
    for (beta, state), (alpha, whole) in (parts, parts[::-1]):
        is_gram = whole.op == "matrix" and whole.data.function in _GRAMS
        if is_gram and state.op == "matrix state" and state.data == name:
            of = _GRAMS[whole.data.function]
            return GramAverage(state, beta, alpha, whole.operands[0], of, (*value.operands, whole))
    return None


def _uses(program: Program) -> dict[Value, int]:
    count = dict.fromkeys(program.values, 0)
    for value in program.reached():
        for x in value.operands:
            count[x] += 1
    for value in program.roots:
        count[value] += 1
    return count


def operands_of(value: Value, known: Mapping[Value, GramAverage]) -> tuple[Value, ...]:
    """Return what a value reads where averages are computed at once."""
    made = known.get(value)
    return value.operands if made is None else (made.state, made.beta, made.alpha, made.x)


def latest_stages(program: Program, known: Mapping[Value, GramAverage]) -> dict[Value, int]:
    """Return the stage in which each matrix value is computed: where it is needed first, if it can wait.

    What reads only states, numbers of the step and such values can: a stage without a value calls nothing.
    """
    absorbed = {x for made in known.values() for x in made.absorbed}
    every = [v for v in program.matrices if v not in absorbed]
    outputs = set(program.matrix_outputs.values())
    read_by: dict[Value, list[Value]] = {}
    for value in program.reached():
        for x in operands_of(value, known) if value not in absorbed else ():
            read_by.setdefault(x, []).append(value)
    found: dict[Value, int] = {}
    for value in reversed(every):
        readers = read_by.get(value, [])
        waits = all(x.level in (Level.HOST, Level.MATRIX) for x in operands_of(value, known))
        needed = [found.get(x, x.stage) for x in readers]
        found[value] = min(needed) if waits and needed and value not in outputs else value.stage
    return found


def plan_stage(
    program: Program,
    here: Sequence[Value],
    kept: Sequence[Value],
    spread: Sequence[Value],
    known: Mapping[Value, GramAverage],
) -> StagePlan:
    """Return how the values of a stage are computed, `kept` being those that are needed afterwards."""
    late = _late(program, here, kept)
    computed = tuple(v for v in here if v not in late)
    plan = StagePlan(computed)
    reads = {v: _reads(v, late, known) for v in computed}
    wanted = {v for v in computed if _is_placed(v, known)}
    last = _last_uses(computed, reads, kept, wanted)
    free: list[tuple[int, float]] = []
    for at, value in enumerate(computed):
        if value.op == "where" and any(x in late for x in value.operands):
            plan.lines[value] = _chosen_line(value, late)
        if value not in wanted:
            continue
        assert value.shape is not None
        place = ResultPlace(value.shape, None, None)
        if value in spread and value.shape == WHOLE:
            place = ResultPlace(value.shape, value, None)
        elif last[value] < len(computed):
            place = ResultPlace(value.shape, None, _shared(free, at, last[value]))
        plan.lines[value] = _line(value, known, f"{MEMORY}[{len(plan.places)}]")
        plan.places.append(place)
        plan.placed.add(value)
    return plan


def _shared(slots: list[tuple[int, float]], at: int, until: float) -> int:
    """Return the number of a shared memory that is free from a line on, until another one."""
    for k, (number, end) in enumerate(slots):
        if end < at:
            slots[k] = (number, until)
            return number
    slots.append((len(slots), until))
    return len(slots) - 1


def _late(program: Program, here: Sequence[Value], kept: Sequence[Value]) -> set[Value]:
    """Return the calls that are one branch of a choice by a number, and not needed where it is not chosen."""
    uses = _uses(program)
    return {
        x
        for v in here
        if v.op == "where" and v.operands[0].level == Level.HOST
        for x in v.operands[1:]
        if x.op == "matrix" and uses[x] == 1 and x in here and x not in kept
    }


def _reads(value: Value, late: set[Value], known: Mapping[Value, GramAverage]) -> tuple[Value, ...]:
    found: list[Value] = []
    for x in operands_of(value, known):
        found += x.operands if x in late else (x,)
    return tuple(found)


def _last_uses(
    computed: Sequence[Value],
    reads: Mapping[Value, Sequence[Value]],
    kept: Sequence[Value],
    wanted: set[Value],
) -> dict[Value, float]:
    """Return the last line that needs the memory of each value; beyond the last line for those that are kept.

    What is not computed into memory of its own may lie in that of what it was computed from.
    """
    last: dict[Value, float] = dict.fromkeys(computed, -1)
    for at, value in enumerate(computed):
        for x in reads[value]:
            last[x] = at
    last |= dict.fromkeys(kept, float("inf"))
    for value in reversed(computed):
        if value not in wanted:
            for x in reads[value]:
                last[x] = max(last[x], last[value])
    return last


def _is_placed(value: Value, known: Mapping[Value, GramAverage]) -> bool:
    """Whether a value is computed into memory that is there: whole matrices, of a size that is certain."""
    if value.shape is None or "1" in value.shape or not _is_certain(value):
        return False
    if value in known:
        return True
    if value.op == "matrix":
        target = value.data.function
        known_call = target in _GRAMS or target is product
        return known_call and all(_is_stack(x) for x in value.operands)
    levels = [x.level for x in value.operands]
    return value.op in ("mul", "add") and max(levels) >= Level.MATRIX


def _is_stack(value: Value) -> bool:
    return value.level >= Level.MATRIX and _is_certain(value)


def _is_certain(value: Value) -> bool:
    """Whether a value has the very shape that is declared, not one that is only repeated to it."""
    if value.level in (Level.TENSOR, Level.REDUCED, Level.HOST):
        return True
    if value.op in ("matrix", "matrix state", "matrix sum", "matrix max", "matrix count"):
        return True
    if value.op == "where":
        _, a, b = value.operands
        return a.shape == b.shape == value.shape and _is_certain(a) and _is_certain(b)
    return value.op in _ARITHMETIC and all(map(_is_certain, value.operands))


def _written(value: Value) -> str:
    return repr(value.data) if value.op == "constant" else value.name


def _line(value: Value, known: Mapping[Value, GramAverage], out: str) -> str:
    """Return the line that computes a value into memory."""
    made = known.get(value)
    if made is not None:
        read = (_written(x) for x in (made.state, made.beta, made.alpha))
        return (
            f"{value.name} = average_into({', '.join(read)}, {made.of.format(made.x.name)}, {out})"
        )
    if value.op == "matrix" and value.data.function in _GRAMS:
        x = _GRAMS[value.data.function].format(value.operands[0].name)
        return f"{value.name} = gram_into({x}, {out})"
    if value.op == "matrix":
        a, b = value.operands
        return f"{value.name} = bmm({a.name}, {b.name}, out={out})"
    # a number stands last, where PyTorch takes one
    a, b = sorted(value.operands, key=lambda x: -x.level)
    return f"{value.name} = {value.op}({_written(a)}, {_written(b)}, out={out})"


def _chosen_line(value: Value, late: set[Value]) -> str:
    """Return the line of a choice whose branches are computed only where they are chosen."""
    condition, a, b = value.operands

    def branch(x: Value) -> str:
        if x not in late:
            return _written(x)
        return f"call_{x.name}(({''.join(f'{_written(y)}, ' for y in x.operands)}))"

    return f"{value.name} = as_tensor({branch(a)} if {_written(condition)} else {branch(b)}, _like)"


def average_into(state: Tensor, beta: float, alpha: float, x: Tensor, out: Tensor) -> Tensor:
    """Compute β·S + α·X·Xᵀ of symmetric S."""
    if not beta:  # baddbmm would not read S, and a NaN in it would be gone
        return torch.add(state * beta, gram_into(x, out), alpha=alpha, out=out)
    return _in_panels(x, out, state, beta, alpha)


def gram_into(x: Tensor, out: Tensor) -> Tensor:
    """Compute X·Xᵀ."""
    return _in_panels(x, out, None, 0.0, 1.0)


def _in_panels(x: Tensor, out: Tensor, state: Tensor | None, beta: float, alpha: float) -> Tensor:
    """Compute β·S + α·X·Xᵀ; of large ones the lower half, by panels of rows, and its mirror image."""
    size = x.shape[-2]
    panel = PANEL if size >= 2 * PANEL else max(1, size)
    for start in range(0, size, panel):
        end = min(size, start + panel)
        a, b = x[:, start:end], x[:, :end].mT
        part = out[:, start:end, :end]
        if state is None:
            torch.bmm(a, b, out=part)
        else:
            torch.baddbmm(state[:, start:end, :end], a, b, beta=beta, alpha=alpha, out=part)
    for start in range(panel, size, panel):
        out[:, start - panel : start, start:] = out[:, start:, start - panel : start].mT
    return out


def as_tensor(x: Any, like: Tensor) -> Tensor:
    """Return a number as a tensor."""
    return x if isinstance(x, Tensor) else torch.as_tensor(x, dtype=like.dtype, device=like.device)


FUNCTIONS: Mapping[str, Any] = {
    "average_into": average_into,
    "gram_into": gram_into,
    "as_tensor": as_tensor,
    "bmm": torch.bmm,
    "mul": torch.mul,
    "add": torch.add,
}
"""What the lines call."""
