"""Trace a rule with torch.fx: run it once on symbols and record what it does.

The symbols also watch the contract. A rule that branches on a value, changes a tensor in place or asks for
a plain number stops here, with an error that says how to write it instead.
"""

from __future__ import annotations

import sys
from typing import Any, NoReturn

import numpy as np
import torch
from torch import fx
from torch.fx.proxy import GraphAppendingTracer


class ContractError(Exception):
    """What a symbol says when a rule breaks the contract; the rule's name is added further up."""


def plain_number(x: Any) -> Any:
    """Return a number of NumPy as one of Python; anything else as it is."""
    if isinstance(x, np.ndarray) and x.ndim == 0:
        x = x[()]
    if isinstance(x, np.floating):
        return float(x)
    if isinstance(x, np.bool_ | np.integer):
        return x.item()
    if isinstance(x, int) and abs(x) > sys.float_info.max:
        raise ContractError(
            f"it uses an integer beyond {sys.float_info.max:.1e}, the largest of float64. Use "
            "float('inf') if that is meant"
        )
    return x


class Symbol(fx.Proxy):
    """Stands for a tensor or a scalar while a rule is traced."""

    __array_ufunc__ = None
    """Lets `np.float64(2) - x` come here; NumPy would take a symbol for a broken array."""

    def __bool__(self) -> NoReturn:
        raise ContractError(
            "it branches on a value (`if`, `while`, `and`, `or`, `not`, `max(…)`, `min(…)`), which a rule "
            "cannot do because it is traced once for all steps. Use torch.where(condition, a, b), "
            "torch.maximum or torch.minimum; a switch that is fixed for a whole run may be a "
            "hyperparameter with a bool default, such as `nesterov=False`"
        )

    def _number(self) -> NoReturn:
        raise ContractError(
            "it needs the number behind a value (`math.sqrt(x)`, `float(x)`, `int(x)`, `range(x)`), but a "
            "rule is traced with symbols. Use the torch function, which also takes scalars: "
            "torch.sqrt(x), or x ** 0.5"
        )

    __float__ = __int__ = __index__ = __len__ = _number

    def __iter__(self) -> NoReturn:
        raise ContractError(
            "it iterates over a value. A rule is written for one whole tensor: the engine owns the loops"
        )

    def _in_place(self, *_: Any) -> NoReturn:
        raise ContractError(
            "it changes a value in place (`x += y`, `x[i] = y`). Write `x = x + y`: the engine decides what "
            "is stored where"
        )

    __iadd__ = __isub__ = __imul__ = __itruediv__ = __ipow__ = _in_place
    __setitem__ = __delitem__ = _in_place

    def __abs__(self) -> fx.Proxy:
        return self.tracer.create_proxy("call_function", torch.abs, (self,), {})


class RuleTracer(GraphAppendingTracer):
    """Records calls into a graph, as `Symbol`s."""

    def proxy(self, node: fx.Node) -> Symbol:
        """Return the symbol of a node."""
        return Symbol(node, self)

    def create_arg(self, a: Any) -> Any:
        """Return an operand as the graph keeps it."""
        return super().create_arg(plain_number(a))

    def create_node(self, kind: str, target: Any, args: Any, kwargs: Any, *rest: Any) -> fx.Node:
        """Record a call, unless it would write into a tensor."""
        name = target if isinstance(target, str) else getattr(target, "__name__", str(target))
        calls = kind in ("call_method", "call_function")
        in_place = (
            calls and name.endswith("_") and not name.endswith("__") and name not in _KEYWORDS
        )
        in_place |= bool(kwargs) and (kwargs.get("out") is not None or bool(kwargs.get("inplace")))
        if in_place:
            plain = name.rstrip("_")
            raise ContractError(
                f"it changes a tensor in place with `{name}`. Use `{plain}`, which returns a new value: the "
                "engine decides what is stored where"
            )
        return super().create_node(kind, target, args, kwargs, *rest)

    def symbol(self, name: str) -> Symbol:
        """Return a new input."""
        return Symbol(self.create_node("placeholder", name, (), {}), self)


# operator.and_ and its like carry an underscore because they are keywords of Python
_KEYWORDS = frozenset(("and_", "or_", "not_"))
