"""Print the kernels of a step whose numbers live on the device: they count it, and compute its scalars.

    numbers(lines, groups, given, rows, kept, scaling, count, BLOCK)
    keep(lines, new, scaling, count, BLOCK)
    fill(table, stride, count, v0, v1, …)

`lines` has the address of each parameter's line of numbers: the step number, its scalar states, then those
that reductions feed. `given` has a line for each param group: lr and the hyperparameters. `numbers` writes a
row of scalars for each parameter, and counts; `keep` writes what reductions feed. Neither changes a line if
the second number of `scaling` says that a gradient is not finite. `fill` writes its arguments into a table: a
CUDA graph repeats them, whatever the host has done to its memory since.
"""

from __future__ import annotations

from functools import cache

from thalweg.engine.program.program import Level, Program
from thalweg.engine.triton.printed import INDENT, TritonPrinter, unprintable_values

WORDS = tuple(f"v{k}" for k in range(64))
"""The words that a launch of `fill` writes."""
_LINE = "line = tl.load(lines + lane, mask=mask, other=0).to(tl.pointer_type(tl.float64))"
_HEAD = ("lane = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)", "mask = lane < count", _LINE)
_KEPT = "kept_now = mask & (tl.broadcast_to(tl.load(scaling + 1), (BLOCK,)) == 0.0)"


def uncountable(program: Program) -> tuple[str, ...]:
    """Return the operations on the scalars of a program that no kernel can run."""
    outputs = tuple(program.scalar_outputs.values())
    return unprintable_values(program.part((*program.host_reads, *outputs), Level.HOST).computes)


@cache
def print_numbers(program: Program) -> str:
    """Return the kernel `numbers` of a program."""
    printer = TritonPrinter(64)
    states, fed = list(program.scalar_outputs), len(program.number_outputs)
    given = len(program.scalars) - 1 - len(states)
    group = "group = tl.load(groups + lane, mask=mask, other=0)"
    for line in (*_HEAD, group, _KEPT, "t = tl.load(line, mask=mask, other=0.0) + 1.0"):
        printer.line(line)
    places = {program.scalars[0]: "t"}
    for k, name in enumerate(program.scalars[1 : 1 + given]):
        places[name] = f"tl.load(given + group * {given} + {k}, mask=mask, other=0.0)"
    for k, name in enumerate(program.scalars[1 + given :], start=1):
        places[name] = f"tl.load(line + {k}, mask=mask, other=0.0)"
    outputs = tuple(program.scalar_outputs.values())
    computed = program.part((*program.host_reads, *outputs), Level.HOST).computes
    for value in computed:
        if value.op == "scalar":
            printer.define(value, places[value.data])
    printer.compute(v for v in computed if v.op != "scalar")
    for k, value in enumerate(program.host_reads):
        at = f"rows + lane * {len(program.host_reads)} + {k}"
        printer.line(f"tl.store({at}, {printer.as_real(value)}, mask=mask)")
    for k in range(fed):
        number = f"tl.load(line + {1 + len(states) + k}, mask=mask, other=0.0)"
        printer.line(f"tl.store(kept + lane * {fed} + {k}, {number}, mask=mask)")
    printer.line("tl.store(line, t, mask=kept_now)")
    for k, value in enumerate(outputs, start=1):
        printer.line(f"tl.store(line + {k}, {printer.as_real(value)}, mask=kept_now)")
    head = "def numbers(lines, groups, given, rows, kept, scaling, count, BLOCK: tl.constexpr):"
    return "\n".join([head, *printer.lines]) + "\n"


@cache
def print_keep(first: int, width: int) -> str:
    """Return the kernel `keep` for numbers that begin in column `first` of a line."""
    head = "def keep(lines, new, scaling, count, BLOCK: tl.constexpr):"
    lines = [*_HEAD, _KEPT]
    for k in range(width):
        number = f"tl.load(new + lane * {width} + {k}, mask=mask, other=0.0)"
        lines.append(f"tl.store(line + {first + k}, {number}, mask=kept_now)")
    return "\n".join([head, *(INDENT + line for line in lines)]) + "\n"


@cache
def print_fill() -> str:
    """Return the kernel `fill`."""
    head = f"def fill(table, stride, count, {', '.join(f'{name}: tl.int64' for name in WORDS)}):"
    lines = [
        f"tl.store(table + {k} * stride, {name}.to(tl.int64), mask=count > {k})"
        for k, name in enumerate(WORDS)
    ]
    return "\n".join([head, *(INDENT + line for line in lines)]) + "\n"
