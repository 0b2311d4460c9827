"""A program printed as JavaScript: the same rule, stepped by a page.

Numbers are float64, noise is the engine's own (see `engine/program/noise.py`). As in other engines a program
with S reductions in a row is S + 1 passes over the elements, and only the last one writes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from thalweg.engine.javascript.operations import number, operand, statement, text
from thalweg.engine.program.program import LEAVES, Level, Program, Value
from thalweg.errors import EngineError


def print_rule(program: Program, first: Mapping[str, float]) -> str:
    """Return a program as the text of a JavaScript object {states, scalars, numbers, step}.

    `step(point, gradient, state, hyperparameters, t)` changes the point and the state, which
    `maths.init(rule, shapes)` makes: `point` and `gradient` hold a Float64Array for each tensor,
    `hyperparameters` a number by each name the chain has for it, and `t` counts from 1. `first` are the
    scalar states before the first step. The text needs `maths` (see `operations.library`).

    Raises:
        EngineError: for a program that calls PyTorch outside the vocabulary, or works with whole matrices.

    >>> from thalweg.engine import chain
    >>> from thalweg.rules import momentum
    >>> made = chain(momentum(0.9))
    >>> "step(point, gradient, state, hyperparameters, t)" in print_rule(
    ...     made.program(made.hyperparameters), {}
    ... )
    True
    """
    if program.foreign:
        raise EngineError(
            f"{program.label} cannot be printed as JavaScript: it calls {', '.join(program.foreign)}, which "
            "is outside the engine's vocabulary. Write it with arithmetic, comparisons, torch's elementwise "
            "functions and the reductions total, mean, norm and largest."
        )
    if program.sees_matrices:
        raise EngineError(
            f"{program.label} cannot be printed as JavaScript: it works with whole matrices."
        )
    lines = [*_host(program)]
    lines += [line for stage in range(program.stages + 1) for line in _pass(program, stage)]
    lines += [
        f"state.scalars[{text(name)}] = {operand(value)};"
        for name, value in program.scalar_outputs.items()
    ]
    body = "\n".join(f"    {line}" for line in lines)
    return f"""{{
  states: [{", ".join(map(text, program.states))}],
  scalars: {_named(program.scalar_outputs, first)},
  numbers: {_named(program.number_outputs, first)},
  step(point, gradient, state, hyperparameters, t) {{
{body}
  }},
}}"""


def _named(names: Mapping[str, Value], first: Mapping[str, float]) -> str:
    return "{" + ", ".join(f"{text(n)}: {number(float(first[n]))}" for n in names) + "}"


def _host(program: Program) -> list[str]:
    """Return the lines that compute the scalars of a step."""
    wanted = (*program.host_reads, *program.scalar_outputs.values())
    return [
        f"const {v.name} = {_scalar(program, v.data)};" if v.op == "scalar" else statement(v)
        for v in program.part(wanted, Level.HOST).computes
    ]


def _scalar(program: Program, name: str) -> str:
    if name == "t":
        return "t"
    kept = name in program.scalar_outputs
    return f"{'state.scalars' if kept else 'hyperparameters'}[{text(name)}]"


def _pass(program: Program, stage: int) -> list[str]:
    """Return the loops of one stage: over tensors, their units, and the elements of each."""
    last = stage == program.stages
    reductions = () if last else program.reductions(stage)
    elements = program.part(program.outputs_of(stage), Level.TENSOR)
    reads = {v.data: v.name for v in elements.computes if v.op == "tensor"}
    names = [n for n in program.tensors if n in reads or (last and n != "g")]
    arrays = {name: f"a{program.tensors.index(name)}" for name in names}
    loop = [_element(v, arrays) for v in elements.computes]
    if last:
        loop += [
            f"{arrays[name]}[i] = {operand(value)};"
            for name, value in zip(program.tensors[1:], program.outputs, strict=True)
        ]
    loop += [_gathered(v) for v in reductions]
    by_unit = program.by_unit
    noise = [v for v in elements.computes if v.op == "noise"]
    ordinals = [x for v in noise for x in v.operands]
    above = [v for v in (*elements.reads, *ordinals) if v.level == Level.REDUCED]
    inner = [
        *_reduced(program, above),
        *(
            f"const {v.name}k = maths.key({', '.join(map(operand, v.operands))}{_draw(v)});"
            for v in noise
        ),
        "for (let i = u * length; i < (u + 1) * length; i++) {",
        *(f"  {line}" for line in loop),
        "}",
    ]
    return [
        *(_opened(v) for v in reductions),
        "for (let k = 0; k < point.length; k++) {",
        *(f"  const {array} = {_array(name)};" for name, array in arrays.items()),
        f"  const units = {'maths.units(state.shapes[k])' if by_unit else '1'};",
        "  const length = point[k].length / units;",
        "  for (let u = 0; u < units; u++) {",
        *(f"    {line}" for line in inner),
        "  }",
        *(f"  {line}" for line in (_numbers(program) if last else ())),
        "}",
    ]


def _array(name: str) -> str:
    if name in ("g", "p"):
        return "gradient[k]" if name == "g" else "point[k]"
    return f"state.tensors[{text(name.removeprefix('state '))}][k]"


def _draw(noise: Value) -> str:
    return f", {noise.data}" if noise.data else ""


def _element(value: Value, arrays: Mapping[str, str]) -> str:
    if value.op == "tensor":
        return f"const {value.name} = {arrays[value.data]}[i];"
    if value.op == "noise":
        return f"const {value.name} = maths.normal({value.name}k, i);"
    return statement(value)


# -- reductions: `x9s` holds the value x9 of each entry that it is reduced over ---------------------------


def _opened(value: Value) -> str:
    zero = "0" if value.op == "sum" else "-Infinity"
    made = {
        "all": f"[{zero}]",
        "tensor": f"point.map(() => {zero})",
        "unit": f"state.shapes.map((s) => new Float64Array(maths.units(s)).fill({zero}))",
    }
    return f"const {value.name}s = {made[value.data]};"


def _entry(value: Value) -> str:
    return value.name + {"all": "s[0]", "tensor": "s[k]", "unit": "s[k][u]"}[value.data]


def _gathered(value: Value) -> str:
    entry, (what,) = _entry(value), value.operands
    if value.op == "sum":
        return f"{entry} += {operand(what)};"
    return f"{entry} = Math.max({entry}, {operand(what)});"


def _reduced(program: Program, wanted: Sequence[Value]) -> list[str]:
    """Return the lines that compute what is one number for a tensor, or for a unit of it."""
    part = program.part(wanted, Level.REDUCED)
    reads = [f"const {v.name} = {_entry(v)};" for v in part.reads if v.is_reduction]
    return [
        *reads,
        *(
            f"const {v.name} = {_leaf(v)};" if v.op in LEAVES else statement(v)
            for v in part.computes
        ),
    ]


def _leaf(value: Value) -> str:
    if value.op == "count":
        whole = "point.reduce((n, each) => n + each.length, 0)"
        return {"tensor": "point[k].length", "all": whole, "unit": "length"}[value.data]
    if value.op == "number":
        return f"state.numbers[{text(value.data)}][k]"
    return {"dimensions": "state.shapes[k].length", "ordinal": "k"}[value.op]


def _numbers(program: Program) -> list[str]:
    """Return the block that writes the scalar states which reductions feed."""
    if not program.number_outputs:
        return []
    values = tuple(program.number_outputs.values())
    computed = _reduced(program, [v for v in values if v.level == Level.REDUCED])
    written = [
        f"state.numbers[{text(name)}][k] = {operand(value)};"
        for name, value in program.number_outputs.items()
    ]
    return ["{", *(f"  {line}" for line in (*computed, *written)), "}"]
