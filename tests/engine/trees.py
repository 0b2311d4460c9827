"""Random rules: expression trees over what a rule may use, and the rules that compute them.

A tree is a leaf, which is the name of an argument of the rule or a number, or a tuple: the name of an
operation and its operands. Three kinds:

    exact      every engine must compute it to the last bit
    truth      a condition made of exact values
    near       functions and reductions, put together so that an error of an ulp stays one of a few ulps: no
               difference of two near values, no comparison of them
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import torch
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

import thalweg

Tree = Any
Trees = SearchStrategy[Tree]

TENSORS = ("g", "p", "m", "v")
NUMBERS = ("t", "lr", "alpha", "beta")
CONSTANTS = (0.0, -0.0, 1.0, -1.0, 0.5, -0.3, 2.0, 0.1, 7.0)

OPERATIONS: Mapping[str, Callable[..., Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "neg": operator.neg,
    "abs": torch.abs,
    "sqrt": torch.sqrt,
    "where": torch.where,
    "choose": lambda x, condition, a, b: torch.where(condition | (x != x) & (x == x), a, b),
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    "and": operator.and_,
    "or": operator.or_,
    "not": operator.invert,
    "isnan": torch.isnan,
    "isinf": torch.isinf,
    "isfinite": torch.isfinite,
    "tanh": torch.tanh,
    "exp": lambda x: torch.exp(torch.clamp(x, -5.0, 5.0)),
    "expm1": lambda x: torch.expm1(torch.clamp(x, -5.0, 5.0)),
    "log": lambda x: torch.log(torch.abs(x) + 2.0),
    "log1p": lambda x: torch.log1p(torch.abs(x)),
    "sin": lambda x: torch.sin(torch.clamp(x, -1.0, 1.0)),
    "cos": lambda x: torch.cos(torch.clamp(x, -1.0, 1.0)),
    "power": lambda x: (torch.abs(x) + 0.5) ** 0.7,
    "square": torch.square,
    "sigmoid": lambda x: torch.sigmoid(torch.clamp(x, -5.0, 5.0)),
    "clamp": lambda x: torch.clamp(x, -0.7, 1.3),
    "maximum": torch.maximum,
    "minimum": torch.minimum,
    "sign": torch.sign,
    "floor": torch.floor,
    "ceil": torch.ceil,
    "trunc": torch.trunc,
    "sum of sizes": lambda x, y: torch.abs(x) + torch.abs(y),
    "norm": thalweg.norm,
    "mean": lambda x: thalweg.mean(torch.abs(x)),
    "total": lambda x: thalweg.total(torch.abs(x)),
    "largest": thalweg.largest,
    "norm of all": lambda x: thalweg.norm(x, scope="all"),
    "mean of all": lambda x: thalweg.mean(torch.abs(x), scope="all"),
    "total of all": lambda x: thalweg.total(torch.abs(x), scope="all"),
    "largest of all": lambda x: thalweg.largest(x, scope="all"),
}
ROUNDING = ("sign", "floor", "ceil", "trunc", "clamp")
FUNCTIONS = ("sqrt", "tanh", "exp", "expm1", "log", "log1p", "sin", "cos", "power", "sigmoid")
REDUCTIONS = tuple(
    name for name in OPERATIONS if name.split()[0] in ("norm", "mean", "total", "largest")
)


def operation(names: tuple[str, ...], *operands: Trees) -> Trees:
    return st.tuples(st.sampled_from(names), *operands)


TENSOR = st.sampled_from(TENSORS)
LEAF = st.sampled_from((*TENSORS, *TENSORS, *NUMBERS))
CONSTANT = st.sampled_from(CONSTANTS)


@cache
def exact(depth: int) -> Trees:
    """Values that are exact in both; not the root, which PyTorch may leave wrong by an ulp."""
    if not depth:
        return LEAF
    below, condition = exact(depth - 1), truth(depth - 1)
    arithmetic = ("+", "-", "*", "/")
    of_elements = operation(arithmetic, TENSOR, below)
    return st.one_of(
        LEAF,
        operation(arithmetic, below, below),
        operation(arithmetic, below, CONSTANT),
        operation(arithmetic, CONSTANT, below),
        operation(("neg", "abs"), below),
        operation(("where",), condition, of_elements, of_elements),
        # a number that a number chooses may stay one of float64 in one engine and not in the other
        operation(("choose",), TENSOR, condition, below | CONSTANT, below | CONSTANT),
        operation(("choose",), TENSOR, condition, condition, below),
        operation(arithmetic, below, condition),
        operation(("+", "-", "*"), condition, condition),
    )


@cache
def truth(depth: int) -> Trees:
    """Conditions."""
    comparisons = ("<", "<=", ">", ">=", "==", "!=")
    below = exact(max(depth - 1, 0))
    made = [
        operation(comparisons, below, below),
        operation(comparisons, below, CONSTANT),
        operation(("isnan", "isinf", "isfinite"), below),
    ]
    if depth:
        conditions = truth(depth - 1)
        made += [operation(("and", "or"), conditions, conditions), operation(("not",), conditions)]
    return st.one_of(made)


@cache
def near(depth: int, reducing: bool) -> Trees:
    """Values with errors of a few ulps."""
    inner, condition = exact(min(depth, 2)), truth(1)
    functions = operation(FUNCTIONS, inner)
    if reducing:
        functions |= operation(REDUCTIONS, inner)
    if not depth:
        return functions
    below = near(depth - 1, reducing)
    made = [
        functions,
        operation(("sum of sizes", "*"), below, below),
        operation(("*", "/"), below, inner),
        operation(("/",), inner, below),
        operation(("neg", "abs", "sqrt", "square", "log1p"), below),
        operation(("where",), condition, below, below),
        operation(("*",), below, operation(ROUNDING, inner)),
    ]
    if reducing:  # a reduction of what has been reduced: one more pass
        made.append(operation(REDUCTIONS, below))
    return st.one_of(made)


def evaluate(tree: Tree, arguments: Mapping[str, Any]) -> Any:
    if isinstance(tree, tuple):
        return OPERATIONS[tree[0]](*(evaluate(part, arguments) for part in tree[1:]))
    return arguments[tree] if isinstance(tree, str) else tree


def rule_of(update: Tree, m: Tree, v: Tree) -> thalweg.Rule:
    """Return the rule that computes these trees."""

    @thalweg.rule
    def drawn(g, p, m_, v_, *, t, lr, alpha=0.3, beta=-1.25):
        arguments = {
            "g": g,
            "p": p,
            "m": m_,
            "v": v_,
            "t": t,
            "lr": lr,
            "alpha": alpha,
            "beta": beta,
        }
        return tuple(evaluate(tree, arguments) for tree in (update, m, v))

    return drawn
