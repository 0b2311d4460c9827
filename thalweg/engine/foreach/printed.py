"""A program printed as straight-line Python over lists of tensors.

What runs between two reductions over all tensors is one function (`Segment`). A function that only reduces
writes nothing, and the next one computes again what it needs: only numbers are kept from one to the next.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from thalweg.engine.foreach.fusing import Fusing
from thalweg.engine.foreach.graph import StepGraph, choosers, graph_of, name_on_host
from thalweg.engine.foreach.lists import functions
from thalweg.engine.foreach.memory import ListMemory
from thalweg.engine.foreach.nodes import ListNode, needed
from thalweg.engine.foreach.rounded import ROUNDED
from thalweg.engine.foreach.statements import Statements
from thalweg.engine.program.printing import define
from thalweg.engine.program.program import Program, Value


@dataclass(frozen=True)
class Kind:
    """What the text of a program depends on, besides the program."""

    on_cpu: bool
    widens: bool
    """Whether values are computed with another precision than they are stored with."""
    fuses: bool = True


@dataclass(frozen=True)
class Segment:
    """A printed function: `run(part, g, slots, reads, known)`.

    It takes a part of a batch, the lists of gradients and of parameters and states, the numbers of the host,
    and what is known from the functions before. It returns the shares of the reductions over all tensors (the
    last function: the new numbers), and what the next function is to know besides the wholes.
    """

    run: Callable[..., tuple[tuple[Any, ...], tuple[Any, ...]]]
    stage: int | None
    """The stage whose reductions over all tensors it computes; None of the last one, which writes."""
    ops: tuple[str, ...]
    """The names of these reductions, "sum" or "max"."""
    temporaries: int
    """The most temporary lists that there are at once."""
    text: str


def segments(
    program: Program,
    truths: Mapping[Value, bool],
    kind: Kind,
    vectors: Collection[Value] = (),
) -> tuple[Segment, ...]:
    """Return the functions of a program in order, where its conditions of level HOST have these truths.

    `vectors` are values of level HOST that are a number for each tensor, on the device.
    """
    graph = graph_of(program, truths, vectors)
    made: list[Segment] = []
    known: list[ListNode] = []
    for stage in [*(s for s, found in enumerate(graph.over_all) if found), None]:
        segment, known = _segment(program, graph, stage, known, kind, choosers(program, vectors))
        made.append(segment)
    return tuple(made)


def _segment(
    program: Program,
    graph: StepGraph,
    stage: int | None,
    known: list[ListNode],
    kind: Kind,
    chosen_by: Sequence[Value],
) -> tuple[Segment, list[ListNode]]:
    """Return the function up to a stage, and what is known after it."""
    results = graph.numbers if stage is None else graph.over_all[stage]
    outputs = graph.outputs if stage is None else []
    matrices = graph.matrices if stage is None else []
    nodes = needed([*outputs, *results, *matrices], known)
    carried: list[ListNode] = []
    if stage is not None:
        inside = [x for x in nodes if _is_dear(x) and x not in known and x not in results]
        later = _needed_after(graph, stage, {*known, *results, *inside})
        carried = [x for x in [*known, *inside] if x in later]
    slot_of: dict[ListNode, int] = {}
    for slot, v in enumerate(outputs):
        slot_of.setdefault(v, slot)
    given = {
        x: ListNode("known", (), x.scope, x.index, x.boolean, f"k{i}") for i, x in enumerate(known)
    }
    roots = [*outputs, *results, *carried, *matrices]
    new = Fusing(nodes, roots, slot_of, given, kind.fuses).new
    kept = [new(x) for x in matrices]
    returned = [new(x) for x in (*results, *carried)]
    written = [new(x) for x in outputs]
    order = needed([*written, *returned, *kept])
    still = [*returned, *kept]
    slots, coded = len(program.tensors) - 1, [1 + k for k in program.coded]
    memory = ListMemory(order, written, slots, kind.widens, coded, still)
    statements = Statements(memory)
    body = [_unpacked("s", slots, "slots"), _unpacked("k", len(known), "known")]
    own = [*(v.name for v in program.host_reads), *map(name_on_host, chosen_by)]
    names = "".join(f"{name}, " for name in own)
    body += [f"({names}) = reads"] if names else []
    memory.finish()
    for index, node in enumerate(order):
        memory.at(index)
        statements.print(node)
        memory.finish()
    memory.end()
    states = [
        f"part.stacks.keep({k}, {shape}, {statements.text_of(x)})"
        for k, (x, shape) in enumerate(zip(kept, program.matrix_states.values(), strict=False))
        if x.op != "matrix state"
    ]
    texts = [statements.text_of(x) for x in returned]
    shares, rest = texts[: len(results)], texts[len(results) :]
    body += [*memory.lines, *states, f"return {_tuple(shares)}, {_tuple(rest)}"]
    body = [line for line in body if line]
    called = {**functions(kind.on_cpu), **ROUNDED, **statements.calls}
    run = define("foreach", ("part", "g", "slots", "reads", "known"), body, called)
    ops = () if stage is None else tuple(x.op for x in results)
    segment = Segment(run, stage, ops, memory.most, "\n".join(body))
    return segment, [*results, *carried]


def _is_dear(node: ListNode) -> bool:
    """Whether a later function is given a value rather than computing it again."""
    return node.is_reduction or node.op == "matrix"


def _needed_after(graph: StepGraph, stage: int, known: Iterable[ListNode]) -> set[ListNode]:
    """Return what the functions after a stage look at; they do not look behind what is known."""
    rest = [x for found in graph.over_all[stage + 1 :] for x in found]
    return set(needed([*graph.outputs, *graph.numbers, *graph.matrices, *rest], known))


def _unpacked(letter: str, count: int, given: str) -> str:
    names = "".join(f"{letter}{i}, " for i in range(count))
    return f"({names}) = {given}" if count else ""


def _tuple(texts: Sequence[str]) -> str:
    return "(" + "".join(f"{text}, " for text in texts) + ")"


@cache
def printed(
    program: Program,
    truths: tuple[bool, ...],
    kind: Kind,
    vectors: frozenset[Value] = frozenset(),
) -> tuple[Segment, ...]:
    """Return the functions of a program, printed once.

    `truths` are those of its conditions in order, but for those that are `vectors`, as `segments` has them.
    """
    conditions = [v for v in program.host_reads if v.boolean and v not in vectors]
    return segments(program, dict(zip(conditions, truths, strict=True)), kind, vectors)
