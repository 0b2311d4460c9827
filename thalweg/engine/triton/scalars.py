"""Print the arithmetic on reductions as a Triton kernel, in float64, an entry a lane.

    scalars(places, rows, leaves, folded, wholes, numbers, out, count, BLOCK)

An entry is a tensor, or a unit of one (`engine/cpu/entries.py`); `places` has the row and the tensor of each.
`folded` holds a line of results for each reduction of the program; `wholes` those over all tensors, and the
number of elements of all; `leaves` what is known of each entry; `numbers` the scalar states of each tensor
that reductions feed. What is computed goes to `out`: a line for each entry, or for each tensor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from thalweg.engine.program.program import LEAVES, Level, Program, Value
from thalweg.engine.triton.printed import INDENT, TritonPrinter

LEAF_COLUMNS = (("count", "tensor"), ("count", "unit"), ("dimensions", ""), ("ordinal", ""))
"""What is known of each entry, in the order of the columns of `leaves`."""


@dataclass(frozen=True)
class ScalarsKernel:
    """The text of a kernel of scalars, and whether what it computes never changes."""

    text: str
    is_fixed: bool


def all_reductions(program: Program) -> tuple[Value, ...]:
    """Return every reduction of a program, in order."""
    return tuple(v for v in program.reached() if v.is_reduction)


def print_scalars(program: Program, wanted: Sequence[Value], of_tensors: bool) -> ScalarsKernel:
    """Return the kernel that computes these values for each entry, or for each tensor."""
    part = program.part(wanted, Level.REDUCED)
    printer = TritonPrinter(64)
    head = "def scalars(places, rows, leaves, folded, wholes, numbers, out, count, BLOCK: tl.constexpr):"
    for text in (
        "lane = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)",
        "mask = lane < count",
        "row = tl.load(places + lane * 2, mask=mask, other=0)",
        "tensor = tl.load(places + lane * 2 + 1, mask=mask, other=0)",
    ):
        printer.line(text)
    reductions = all_reductions(program)
    leaves = [v for v in part.computes if v.op in LEAVES]
    for value in part.reads:
        if value.is_reduction:
            k = reductions.index(value)
            _read_reduction(printer, value, k)
        else:
            columns = program.host_reads
            printer.read_each(value, f"rows + row * {len(columns)} + {columns.index(value)}")
    for leaf in leaves:
        _read_leaf(printer, leaf, program, len(reductions))
    printer.compute(v for v in part.computes if v.op not in LEAVES)
    line = "tensor" if of_tensors else "lane"
    for k, value in enumerate(wanted):
        number = f"({printer.as_real(value)}).to(tl.float64)"
        printer.line(f"tl.store(out + {line} * {len(wanted)} + {k}, {number}, mask=mask)")
    changing = {("count", "all"), *(("number", name) for name in program.number_outputs)}
    is_fixed = not part.reads and not any((v.op, v.data) in changing for v in leaves)
    return ScalarsKernel("\n".join([head, *printer.lines]) + "\n", is_fixed)


def _read_reduction(printer: TritonPrinter, value: Value, k: int) -> None:
    if value.data == "all":
        printer.read_scalar(value, f"wholes + {k}")
        return
    column = "lane" if value.data == "unit" else "tensor"
    printer.read_each(value, f"folded + {k} * count + {column}")


def _read_leaf(printer: TritonPrinter, leaf: Value, program: Program, reductions: int) -> None:
    if leaf.op == "number":
        names = list(program.number_outputs)
        column = names.index(leaf.data)
        printer.read_each(leaf, f"numbers + tensor * {len(names)} + {column}")
    elif leaf.data == "all":
        printer.read_scalar(leaf, f"wholes + {reductions}")
    else:
        column = LEAF_COLUMNS.index((leaf.op, leaf.data))
        printer.read_each(leaf, f"leaves + lane * {len(LEAF_COLUMNS)} + {column}")


@cache
def print_fold(op: str) -> str:
    """Return the kernel `fold`, which reduces runs of partial results, an instance a run.

    `segments` has the first partial result of each run and how many there are. The order is that of the
    chunks, so a step computes the same bits whenever it is repeated.
    """
    start = "0.0" if op == "sum" else "float('-inf')"
    head = "def fold(partials, segments, out, BLOCK: tl.constexpr):"
    other = f"mask=start + lane < length, other={start}"
    join = "run + x" if op == "sum" else "tl.where((run >= x) | (run != run), run, x)"
    lines = [
        "segment = tl.program_id(0)",
        "begin = tl.load(segments + segment * 2)",
        "length = tl.load(segments + segment * 2 + 1)",
        "lane = tl.arange(0, BLOCK)",
        f"run = tl.full((BLOCK,), {start}, tl.float64)",
        "start = length * 0",
        "while start < length:",
        f"{INDENT}x = tl.load(partials + begin + start + lane, {other})",
        f"{INDENT}run = {join}",
        f"{INDENT}start = start + BLOCK",
    ]
    printer = TritonPrinter(64)
    for line in lines:
        printer.line(line)
    if op == "sum":
        printer.line("run_whole = tl.sum(run, axis=0)")
    else:
        printer.maximum("run")
    printer.line("tl.store(out + segment, run_whole)")
    return "\n".join([head, *printer.lines]) + "\n"
