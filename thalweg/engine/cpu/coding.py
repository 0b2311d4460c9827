"""The end of a block of 256 elements in a kernel: states of 8 bits get their scale, then their codes.

A block's new numbers wait in a buffer of the stack until their largest size is known.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir

from thalweg.engine.cpu.functions.coded import emit_coded, emit_found, emit_new_scale
from thalweg.engine.cpu.functions.narrow import emit_share
from thalweg.engine.cpu.slots import Slots
from thalweg.engine.program.program import Value

I32, I64 = ir.IntType(32), ir.IntType(64)


def emit_codes(
    b: ir.IRBuilder,
    slots: Slots,
    block: tuple[Any, Any],
    roots: Sequence[tuple[int, Value]],
    bits: Callable[[Value, Any, Any], Any],
) -> None:
    """Write the scales and codes of a block.

    Args:
        b: where to go on; it is moved.
        slots: where the new numbers wait, and where they go.
        block: the first element, in the chunk, and the one behind the last.
        roots: the slot of each state, and the value that is coded.
        bits: draws the bits of a value at a place of the block that begins at an element of the chunk.
    """
    start, stop = block
    count = b.sub(stop, start)

    def find(place: Any, found: Sequence[Any]) -> list[Any]:
        new = []
        for k, (slot, _) in enumerate(roots):
            size, below = emit_found(b, slots.taken(b, slot, place))
            largest, any_below = found[2 * k], found[2 * k + 1]
            new.append(b.select(b.icmp_unsigned(">", size, largest), size, largest))
            new.append(b.or_(any_below, below))
        return new

    found = _loop(b, count, "find", find, len(roots) * 2)
    scales = []
    for k, (slot, _) in enumerate(roots):
        scale, kept = emit_new_scale(b, found[2 * k], found[2 * k + 1])
        slots.write_scale(b, kept, slot, start)
        scales.append(scale)

    def write(place: Any, _: Sequence[Any]) -> list[Any]:
        index = b.add(start, place)
        drawn: dict[Value, Any] = {}
        for scale, (slot, root) in zip(scales, roots, strict=True):
            draw = root.operands[1]
            if draw not in drawn:
                drawn[draw] = bits(draw, start, place)
            random = emit_share(b, drawn[draw], root.data)
            code = emit_coded(b, slots.taken(b, slot, place), random, scale)
            slots.store(b, code, slot, index)
        return []

    _loop(b, count, "code", write, 0)


def _loop(
    b: ir.IRBuilder,
    count: Any,
    label: str,
    body: Callable[[Any, Sequence[Any]], list[Any]],
    variables: int,
) -> list[Any]:
    """Run a body for each of `count` ≥ 1 places, with variables that begin at 0; return their last values."""
    before = b.block
    inside = b.append_basic_block(label)
    behind = b.append_basic_block(f"{label} end")
    b.branch(inside)
    b.position_at_end(inside)
    place = b.phi(I64)
    place.add_incoming(I64(0), before)
    begun = [b.phi(I32) for _ in range(variables)]
    for each in begun:
        each.add_incoming(I32(0), before)
    ends = body(place, begun)
    following = b.add(place, I64(1))
    place.add_incoming(following, inside)
    for each, end in zip(begun, ends, strict=True):
        each.add_incoming(end, inside)
    b.cbranch(b.icmp_signed("<", following, count), inside, behind)
    b.position_at_end(behind)
    return ends
