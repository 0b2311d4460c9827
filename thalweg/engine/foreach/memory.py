"""Which list a value of a printed function lies in, and from when on the list may be overwritten.

Lists are variables of the function: `s0`, `s1`, … the parameter and its states, `g` the gradients, which are
never written, `b0`, `b1`, … temporary ones, and `m0`, `m1`, … stacks of matrices and views of them, which are
never written either. A value that is read for the last time gives its list to the
value that is computed from it. What a step leaves behind is copied into a parameter or state only where it
does not lie there already, as soon as nothing needs the old value any more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from thalweg.engine.foreach.nodes import ListNode


class ListMemory:
    """The lists of one printed function.

    Args:
        order: what is computed, in order.
        outputs: the value that each parameter or state is to hold at the end; none if nothing is written.
        slots: how many parameter and state lists there are.
        widens: whether values are computed with another precision than parameters and states have.
        coded: which slots hold codes of 8 bits.
        returned: what is needed up to the end.
    """

    def __init__(
        self,
        order: Sequence[ListNode],
        outputs: Sequence[ListNode],
        slots: int,
        widens: bool,
        coded: Sequence[int],
        returned: Iterable[ListNode],
    ) -> None:
        self._last = {x: i for i, n in enumerate(order) for x in n.operands}
        self._last.update(dict.fromkeys(returned, len(order) + 1))
        self._now, self._end = -1, len(order)
        self._widens = widens
        self._scales = {f"s{slot}": f"part.scales[{k}]" for k, slot in enumerate(coded)}
        self._writes = bool(outputs)
        self.lines: list[str] = []
        self._made = 0
        self._list: dict[ListNode, str] = {}
        self._holds: dict[str, ListNode] = {}
        self.most = 0
        """The most temporary lists there are at once."""
        inputs = {n.data: n for n in order if n.op == "input"}
        for slot in range(slots):
            if slot + 1 in inputs:
                self._holds[f"s{slot}"] = inputs[slot + 1]
        self._wanted = {  # what a slot holds already is left there
            slot: v for slot, v in enumerate(outputs) if v is not inputs.get(slot + 1)
        }
        # what is left where it is must not be overwritten, except a copy of it
        self._pins = Counter(self._wanted.values() if widens else outputs)
        self._targets: dict[ListNode, int] = {}
        for slot, v in self._wanted.items():
            self._targets.setdefault(v, slot)

    def at(self, index: int) -> None:
        """Go on to the value of this place in the order."""
        self._now = index

    def list_of(self, node: ListNode) -> str:
        """Return the list in which a value lies; an input is widened when it is first read."""
        if node not in self._list:
            name = "g" if node.data == 0 else f"s{node.data - 1}"
            if self._widens:
                self._holds.pop(name, None)  # the slot is free, its numbers are in the copy
                self.lines.append(f"{self.new(node)} = {self._read(name)}")
            else:
                self._list[node] = name
        return self._list[node]

    def _read(self, name: str) -> str:
        """Return the numbers of a parameter, of states or of gradients as they are computed with."""
        if name in self._scales:
            return f"decoded(part, s0, {name}, {self._scales[name]})"
        return f"widened(part, {name})"

    def _written(self, name: str, source: str) -> str:
        """Return the line that writes new numbers into a slot."""
        if name in self._scales:
            return f"encode_into(s0, {name}, {self._scales[name]}, {source})"
        return f"list_copy_({name}, {source})"

    def new(self, node: ListNode, *, kept: bool = False) -> str:
        """Return a new temporary list for a value; one that is `kept` is not overwritten."""
        name = f"{'m' if kept else 'b'}{self._made}"
        self._made += 1
        self._list[node] = name
        self._holds[name] = node
        self.most = max(self.most, sum(map(_lists, self._holds.items())))
        return name

    def take(self, node: ListNode, operands: Iterable[ListNode]) -> ListNode | None:
        """Return the operand whose list is given to a value, or None; best the slot that waits for it."""
        free = [x for x in operands if self._is_free_for(x, node)]
        if not free:
            return None
        own = f"s{self._targets.get(node)}"
        chosen = min(free, key=lambda x: (self._list[x] != own, self._list[x].startswith("s")))
        name = self._list[chosen]
        self._list[node] = name
        self._holds[name] = node
        return chosen

    def _is_free_for(self, x: ListNode, node: ListNode) -> bool:
        name = self.list_of(x)
        if name[0] in "gm" or self._holds.get(name) is not x or not self._is_over(x):
            return False
        target = self._targets.get(node)
        return not name.startswith("s") or (self._writes and target in (None, int(name[1:])))

    def _is_over(self, x: ListNode) -> bool:
        return self._last.get(x, -1) <= self._now and not self._pins[x]

    def finish(self) -> None:
        """Store what can be stored now, and let go of what is not needed any more."""
        while any([self._store(slot) for slot in list(self._wanted)]):  # noqa: C419
            pass
        for name in [n for n, x in self._holds.items() if _is_temporary(n) and self._is_over(x)]:
            del self._holds[name]
            self.lines.append(f"del {name}")

    def _store(self, slot: int) -> bool:
        """Bring a new value where it belongs, if it is there and nothing needs the old one."""
        value, name = self._wanted[slot], f"s{slot}"
        if value.op != "input" and value not in self._list:
            return False
        if self._list.get(value) == name:
            del self._wanted[slot]  # it stays there, and so stays needed
            return True
        holder = self._holds.get(name)
        if holder is not None and not self._is_over(holder):
            return False
        self.lines.append(self._written(name, self._source(value)))
        self._holds.pop(name, None)
        self._pins[value] -= 1
        del self._wanted[slot]
        return True

    def _source(self, value: ListNode) -> str:
        """Return the list to copy a value from: an input need not be widened for that."""
        if value.op != "input" or value in self._list:
            return self._list[value]
        if f"s{value.data - 1}" in self._scales:
            return self.list_of(value)
        return "g" if value.data == 0 else f"s{value.data - 1}"

    def end(self) -> None:
        """Store the rest: values that stand in one another's place are copied first."""
        self._now = self._end
        self.finish()
        rest = list(self._wanted.items())
        for slot, value in rest:
            self.lines.append(f"c{slot} = copies({self._source(value)})")
        for slot, _ in rest:
            self.lines.append(self._written(f"s{slot}", f"c{slot}"))
        self._wanted.clear()


def _is_temporary(name: str) -> bool:
    return name[0] in "bm"


def _lists(held: tuple[str, ListNode]) -> int:
    """Return how many lists of float32 numbers a list takes the memory of."""
    name, node = held
    return _is_temporary(name) * (2 if node.op == "bits" else 1)
