"""Operations that PyTorch has as one: x + s·y, x + s·y·z, x + s·y/z, and the product of several numbers.

They save a pass over memory and a list of temporary tensors. Numbers are multiplied with one another in
float64 before they meet a tensor, so a result may differ from that of single operations by a rounding or two.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from thalweg.engine.foreach.nodes import ListNode, Scope


@dataclass(frozen=True)
class HostFactor:
    """A product of numbers of the host."""

    factors: tuple[ListNode, ...] = ()
    negative: bool = False

    def times(self, other: HostFactor) -> HostFactor:
        """Return the product."""
        return HostFactor(self.factors + other.factors, self.negative != other.negative)


MINUS = HostFactor(negative=True)
FUSED = ("axpy", "addcmul", "addcdiv")
"""x + s·y, x + s·y·z, x + s·y/z."""


class Fusing:
    """Puts fused operations instead of single ones.

    Args:
        nodes: what is computed, in order.
        roots: what is wanted of it; these values themselves are kept.
        slot_of: the parameter or state in whose memory a root is to be written.
        given: what stands for values that are known already.
        enabled: whether to fuse; otherwise every operation stays by itself.
    """

    def __init__(
        self,
        nodes: Sequence[ListNode],
        roots: Iterable[ListNode],
        slot_of: Mapping[ListNode, int],
        given: Mapping[ListNode, ListNode],
        enabled: bool = True,
    ) -> None:
        self._uses = Counter(x for n in nodes if n not in given for x in n.operands)
        self._uses.update(roots)
        self._slot_of = slot_of
        self._new = dict(given)
        for n in nodes:
            if n not in self._new:
                self._new[n] = (enabled and self._fused(n)) or self._same(n)

    def new(self, node: ListNode) -> ListNode:
        """Return what stands for a node now."""
        return self._new[node]

    def _made(
        self, op: str, of: ListNode, operands: Iterable[ListNode], scale: HostFactor
    ) -> ListNode:
        given = tuple(self._new[x] for x in operands)
        return ListNode(op, given, of.scope, of.index, of.boolean, scale)

    def _same(self, n: ListNode) -> ListNode:
        operands = tuple(self._new[x] for x in n.operands)
        return (
            n
            if operands == n.operands
            else ListNode(n.op, operands, n.scope, n.index, n.boolean, n.data)
        )

    def _fused(self, n: ListNode) -> ListNode | None:
        if n.op == "sum" and self._is_single(n.operands[0], "mul"):
            x, y = n.operands[0].operands
            if x is y and n.scope != Scope.UNIT:
                return self._made("squares", n, (x,), HostFactor())
        if n.scope != Scope.EACH or not all(x.scope == Scope.EACH for x in n.operands):
            return self._scaled(n) if n.scope == Scope.EACH and n.op == "mul" else None
        if n.op in ("add", "sub"):
            return self._sum(n)
        return None

    def _scaled(self, n: ListNode) -> ListNode | None:
        """Return a product with several numbers as one."""
        scale, inner = self._stripped(n, own=True)
        if len(scale.factors) < 2:
            return None
        return self._made("scaled", n, (inner,), scale)

    def _sum(self, n: ListNode) -> ListNode | None:
        a, b = n.operands
        slot = self._slot_of.get(n)
        sides: list[tuple[ListNode, ListNode, HostFactor]] = [
            (a, b, MINUS if n.op == "sub" else HostFactor())
        ]
        if n.op == "add":
            sides.append((b, a, HostFactor()))
            if slot is not None and not self._is_in(slot, a) and self._is_in(slot, b):
                sides.reverse()
        for base, other, sign in sides:
            found = self._added(n, base, other, sign)
            if found is not None:
                return found
        return None

    def _added(
        self, n: ListNode, base: ListNode, other: ListNode, sign: HostFactor
    ) -> ListNode | None:
        """Return base ± other as one operation, if the other side is a product."""
        scale, inner = self._stripped(other)
        scale = scale.times(sign)
        if self._is_single(inner, "mul") and _all_each(inner):
            (s, y), (r, z) = map(self._stripped, inner.operands)
            return self._made("addcmul", n, (base, y, z), scale.times(s).times(r))
        if self._is_single(inner, "div") and _all_each(inner):
            s, y = self._stripped(inner.operands[0])
            return self._made("addcdiv", n, (base, y, inner.operands[1]), scale.times(s))
        if inner is other:
            return None
        return self._decayed(n, base, inner, scale) or self._made("axpy", n, (base, inner), scale)

    def _decayed(
        self, n: ListNode, base: ListNode, inner: ListNode, scale: HostFactor
    ) -> ListNode | None:
        """Return (x + s·x) + u instead of (x + u) + s·x: x may then be overwritten at once."""
        moved = self._new[base]
        at_once = inner.op == "input" and self._uses[base] == 1 and moved.op in FUSED
        if not at_once or moved.operands[0] is not inner:
            return None
        first = ListNode("axpy", (inner, inner), n.scope, base.index - 0.5, False, scale)
        operands = (first, *moved.operands[1:])
        return ListNode(moved.op, operands, n.scope, n.index, False, moved.data)

    def _stripped(self, n: ListNode, own: bool = False) -> tuple[HostFactor, ListNode]:
        """Take the numbers away that a value is multiplied with, where nothing else needs the product."""
        scale = HostFactor()
        while own or self._uses[n] == 1:
            own = False
            if n.op == "neg":
                scale, n = scale.times(MINUS), n.operands[0]
                continue
            if n.op != "mul" or n.scope != Scope.EACH:
                break
            number, x = n.operands
            if number.scope != Scope.HOST:
                number, x = x, number
            if number.scope != Scope.HOST or x.scope != Scope.EACH:
                break
            scale, n = scale.times(HostFactor((number,))), x
        return scale, n

    def _is_single(self, n: ListNode, op: str) -> bool:
        """Whether a value is made by an operation and used in one place."""
        return n.op == op and n.scope == Scope.EACH and self._uses[n] == 1

    def _is_in(self, slot: int, n: ListNode) -> bool:
        """Whether a value is a tensor input, or a multiple of it."""
        _, inner = self._stripped(n)
        return inner.op == "input" and inner.data == slot


def _all_each(n: ListNode) -> bool:
    return all(x.scope == Scope.EACH and not x.boolean for x in n.operands)
