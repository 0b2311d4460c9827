"""The lines that compute the values of a program over lists of tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from thalweg.engine.foreach.fusing import HostFactor
from thalweg.engine.foreach.memory import ListMemory
from thalweg.engine.foreach.nodes import BINARY, UNARY, ListNode, Scope
from thalweg.engine.program.ops import OPS
from thalweg.engine.program.program import LEAVES
from thalweg.engine.program.stored import STORED

_COMMUTE = ("add", "mul", "maximum", "minimum")
_REDUCED = {"sum": "sums", "squares": "squares", "max": "maxima"}
_OF_UNITS = {"sum": "unit_sums", "max": "unit_maxima"}
_OPERATORS = ("add", "sub", "mul", "div", "neg", "eq", "ne", "lt", "le", "gt", "ge")


class Statements:
    """Prints one value after the other; `memory` collects the lines."""

    def __init__(self, memory: ListMemory) -> None:
        self._memory = memory
        self._lines = memory.lines
        self._names: dict[ListNode, str] = {}
        self._hoisted: dict[tuple[str, ...], str] = {}
        self.calls: dict[str, Any] = {}
        """The matrix functions that the lines call, by the names that they have there."""

    def print(self, node: ListNode) -> None:
        """Write the lines of a value."""
        if node.op in ("input", "constant", "host", "vector", "known", "ordinal"):
            return
        if node.scope == Scope.MATRIX:
            self._matrix(node)
        elif node.scope < Scope.MATRIX:
            self._names[node] = f"n{len(self._names)}"
            self._lines.append(f"{self._names[node]} = {self._reduced(node)}")
        else:
            self._each(node)

    def text_of(self, node: ListNode) -> str:
        """Return how a value is written where it is used; a number stands for itself."""
        if node.op == "constant":
            return repr(node.data)
        if node.op in ("host", "vector", "known"):
            return str(node.data)
        return self._memory.list_of(node) if node.scope >= Scope.MATRIX else self._names[node]

    # -- numbers for tensors and units ---------------------------------------------------------------

    def _reduced(self, node: ListNode) -> str:
        """Return the expression of a value on the device that is not a list."""
        if node.is_reduction:
            return self._reduction(node)
        if node.op in LEAVES:
            return f"part.leaf({node.op!r}, {node.data!r})"
        if node.op == "lift":
            return self._hoist("lift", node.operands[0])
        operands = [self._reduced_operand(x, node, k) for k, x in enumerate(node.operands)]
        if node.op == "real":
            return f"{operands[0]}.to(part.wide)"
        return OPS[node.op].template.format(*operands)

    def _reduction(self, node: ListNode) -> str:
        (x,) = map(self.text_of, node.operands)
        if node.scope == Scope.UNIT:
            return f"{_OF_UNITS[node.op]}(part, {x})"
        text = f"{_REDUCED[node.op]}(part, {x})"
        if node.scope == Scope.TENSOR:
            return text
        return f"{text}.max()" if node.op == "max" else f"{text}.sum()"

    def _reduced_operand(self, x: ListNode, node: ListNode, place: int) -> str:
        if x.scope == Scope.HOST:
            # a number divided by a tensor would be its rounded reciprocal times the number
            plain = node.op in _OPERATORS and not (node.op == "div" and place == 0)
            return self.text_of(x) if plain and not x.boolean else self._hoist("lift", x)
        if node.scope == Scope.UNIT and x.scope == Scope.TENSOR:
            return f"at_units(part, {self.text_of(x)})"
        return self.text_of(x)

    # -- stacks of matrices --------------------------------------------------------------------------

    def _matrix(self, node: ListNode) -> None:
        """Print a matrix value."""
        if node.op == "matrix":
            call, shape = node.data
            name = f"call_{len(self.calls)}"
            self.calls[name] = call
            given = "".join(f"{self.text_of(x)}, " for x in node.operands)
            text = f"part.stacks.called({name}, {shape}, ({given}))"
        elif node.op == "matrix state":
            text = f"part.stacks.states{node.data}"
        elif node.op == "stacked":
            text = f"part.stacks.stacked({self.text_of(node.operands[0])})"
        elif node.op == "repeated":
            (x,) = node.operands
            one = x.scope in (Scope.HOST, Scope.ALL)
            number = self._hoist("number" if x.scope == Scope.HOST else "one", x) if one else ""
            text = f"part.stacks.repeated({number or self._stacked(x)}, {node.data})"
        elif node.op in ("matrix sum", "matrix max", "matrix count"):
            call = node.op.replace(" ", "_")
            text = f"[{call}(x) for x in {self.text_of(node.operands[0])}]"
        else:
            text = self._loop(node, self._stacked)
        self._lines.append(f"{self._memory.new(node, kept=True)} = {text}")

    def _stacked(self, x: ListNode) -> str:
        """Return a list with an entry for each stack."""
        return self.text_of(x) if x.scope == Scope.MATRIX else self._hoist("of_stacks", x)

    def _hoist(self, call: str, x: ListNode) -> str:
        """Return the name of a number on the device, made once."""
        return self._once(call, self.text_of(x))

    def _once(self, call: str, text: str) -> str:
        key = (call, text)
        if key not in self._hoisted:
            self._hoisted[key] = f"h{len(self._hoisted)}"
            self._lines.append(f"{self._hoisted[key]} = {call}(part, {text})")
        return self._hoisted[key]

    # -- lists ---------------------------------------------------------------------------------------

    def _each(self, node: ListNode) -> None:
        operands = node.operands
        if node.op in ("axpy", "addcmul", "addcdiv", "scaled"):
            self._fused(node)
        elif node.op == "spread":
            self._spread(node)
        elif node.op == "elements":
            text = self.text_of(operands[0])
            self._lines.append(
                f"{self._memory.new(node, kept=True)} = part.stacks.elements({text})"
            )
        elif node.op == "noise":
            like = "s0"
            seed, t = map(self._argument, operands[:2])
            new = self._memory.new(node)
            self._lines.append(f"{new} = noises(part, {like}, {seed}, {t}, {node.data})")
        elif node.op in STORED:
            self._stored(node)
        elif node.op in UNARY:
            self._call(node, node.op, operands[0], [])
        elif node.op in BINARY and operands[0].scope == Scope.EACH:
            self._binary(node, *operands)
        elif node.op in _COMMUTE:
            self._binary(node, operands[1], operands[0])
        elif node.op == "sub":
            self._call(node, "neg", operands[1], [])
            self._in_place(node, "add", operands[0])
        elif node.op == "div" and operands[0].scope == Scope.HOST:
            self._quotient(node, *operands)
        else:
            self._one_by_one(node)

    def _stored(self, node: ListNode) -> None:
        """Print a conversion to fewer bits, or the random bits for it."""
        if node.op == "bits":
            given = ["part", "s0", self._argument(node.operands[0])]
        else:
            first = ["part", "s0"] if node.op == "coded" else []
            given = [*first, *map(self.text_of, node.operands)]
        if node.data is not None:
            given.append(str(node.data))
        self._lines.append(f"{self._memory.new(node)} = {node.op}({', '.join(given)})")

    def _fused(self, node: ListNode) -> None:
        scale: HostFactor = node.data
        if node.op == "scaled":
            self._call(node, "mul", node.operands[0], [self._once("scalar", product(scale))])
            return
        name, keyword = ("add", "alpha") if node.op == "axpy" else (node.op, "value")
        base, *others = node.operands
        texts = [self._memory.list_of(x) for x in others]
        self._call(node, name, base, [*texts, f"{keyword}={product(scale)}"])

    def _binary(self, node: ListNode, a: ListNode, b: ListNode) -> None:
        """Print an operation with a list first."""
        op = node.op
        if b.scope < Scope.EACH:
            name, second = self._with_number(op, b)
            self._call(node, name, a, [second])
            return
        both = [a, b] if op in _COMMUTE else [a]
        self._memory.list_of(a), self._memory.list_of(b)
        taken = self._memory.take(node, both)
        other = b if taken is a else a
        if taken is not None:
            own, text = self._memory.list_of(node), self._memory.list_of(other)
            self._lines.append(f"list_{op}_({own}, {text if other is not taken else own})")
            return
        texts = [self._memory.list_of(x) for x in (a, b)]
        self._lines.append(f"{self._memory.new(node)} = list_{op}({', '.join(texts)})")

    def _call(self, node: ListNode, name: str, first: ListNode, others: Sequence[str]) -> None:
        """Print a call of PyTorch's, in place if the first list is free."""
        given = self._memory.list_of(first)
        arguments = "".join(f", {text}" for text in others)
        if self._memory.take(node, [first]) is not None:
            self._lines.append(f"list_{name}_({given}{arguments})")
        else:
            self._lines.append(f"{self._memory.new(node)} = list_{name}({given}{arguments})")

    def _in_place(self, node: ListNode, op: str, number: ListNode) -> None:
        """Print an operation of a value, as it is so far, with a number."""
        name, second = self._with_number(op, number)
        self._lines.append(f"list_{name}_({self._memory.list_of(node)}, {second})")

    def _with_number(self, op: str, x: ListNode) -> tuple[str, str]:
        """Return the function that takes a list and a number, and the number as it takes it."""
        if x.scope == Scope.HOST:
            if op == "mul":
                return "mul", self._hoist("scalar", x)
            if op in ("add", "sub"):
                sign = "-" if op == "sub" else ""
                return "shift", self._once("scalar", f"{sign}{self.text_of(x)}")
            return op, self.text_of(x)
        if x.scope == Scope.ALL and op == "mul":
            return op, self._hoist("one", x)
        return op, self._listed(x)

    def _quotient(self, node: ListNode, number: ListNode, x: ListNode) -> None:
        """Print a number divided by a list; PyTorch would multiply by the rounded reciprocal."""
        if number.op == "constant" and number.data == 1.0:
            self._call(node, "reciprocal", x, [])
            return
        text = self._memory.list_of(x)
        new = self._memory.new(node)
        self._lines.append(f"{new} = filled(part, {text}, {self.text_of(number)})")
        self._lines.append(f"list_div_({new}, {text})")

    def _spread(self, node: ListNode) -> None:
        (x,) = node.operands
        text = self.text_of(x) if x.scope == Scope.HOST else self._listed(x)
        call = "filled" if x.scope == Scope.HOST else "spread"
        self._lines.append(f"{self._memory.new(node)} = {call}(part, s0, {text})")

    def _one_by_one(self, node: ListNode) -> None:
        """Print a loop over the tensors."""
        text = self._loop(node, self._listed)
        self._lines.append(f"{self._memory.new(node)} = {text}")

    def _loop(self, node: ListNode, listed: Callable[[ListNode], str]) -> str:
        """Return a loop over the entries of lists; `listed` gives that of an operand."""
        texts, looped = [], {}
        for k, x in enumerate(node.operands):
            if x.scope == Scope.HOST:
                texts.append(self._hoist("number", x))
            elif x.scope == Scope.ALL:
                texts.append(self._hoist("one", x))
            else:
                looped[f"a{k}"] = listed(x)
                texts.append(f"a{k}")
        template = "{0}.to(part.dtype)" if node.op == "real" else OPS[node.op].template
        text = template.format(*texts)
        over = next(iter(looped.values()))
        if len(looped) > 1:
            over = f"zip({', '.join(looped.values())}, strict=True)"
        return f"[{text} for {', '.join(looped)} in {over}]"

    def _listed(self, x: ListNode) -> str:
        """Return a list with an entry for each tensor."""
        if x.scope == Scope.EACH:
            return self._memory.list_of(x)
        if x.scope == Scope.ALL:
            return f"[{self._hoist('one', x)}] * len(g)"
        return self._hoist("of_units" if x.scope == Scope.UNIT else "of_tensors", x)

    def _argument(self, x: ListNode) -> str:
        """Return a number as noise takes it: a plain one, or a list."""
        text = self.text_of(x)
        return text if x.scope < Scope.TENSOR else f"list({text}.unbind())"


def product(scale: HostFactor) -> str:
    """Return the text of a product of numbers of the host."""
    names = [repr(x.data) if x.op == "constant" else str(x.data) for x in scale.factors]
    text = " * ".join(names) or "1.0"
    if not scale.negative:
        return text
    return f"-({text})" if len(scale.factors) > 1 else f"-{text}"
