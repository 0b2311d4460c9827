"""Random rules: expression trees over what a rule may use, and the rules that compute them.

A tree is a leaf, which is the name of an argument of the rule or a number, or a tuple: the name of an
operation and its operands. Three kinds:

    exact      every engine must compute it to the last bit
    truth      a condition made of exact values
    near       functions, noise and reductions, put together so that an error of an ulp stays one of a few
               ulps: no difference of two near values, no comparison of them

The rule stands in a chain: what it takes is not the gradient that it may also ask for, and a link after the
step has trees of its own.
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
from thalweg.engine import dimensions, noise

Tree = Any
Trees = SearchStrategy[Tree]

TENSORS = ("g", "p", "m", "v", "gradient")
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
    "by rank": lambda x, a, b: torch.where(dimensions(x) > 1, a, b),
    "rank": dimensions,
    "noise": noise,
    "sum of sizes": lambda x, y: torch.abs(x) + torch.abs(y),
    "one more": lambda x: 1 + torch.abs(x),
    "norm": thalweg.norm,
    "mean": lambda x: thalweg.mean(torch.abs(x)),
    "total": lambda x: thalweg.total(torch.abs(x)),
    # + 0.0: of 0 and −0 either may be found to be the larger one
    "largest": lambda x: thalweg.largest(x) + 0.0,
    "norm of all": lambda x: thalweg.norm(x, scope="all"),
    "mean of all": lambda x: thalweg.mean(torch.abs(x), scope="all"),
    "total of all": lambda x: thalweg.total(torch.abs(x), scope="all"),
    "largest of all": lambda x: thalweg.largest(x, scope="all") + 0.0,
    "norm of units": lambda x: thalweg.norm(x, scope="unit"),
    "mean of units": lambda x: thalweg.mean(torch.abs(x), scope="unit"),
    "total of units": lambda x: thalweg.total(torch.abs(x), scope="unit"),
    "largest of units": lambda x: thalweg.largest(x, scope="unit") + 0.0,
}
ROUNDING = ("sign", "floor", "ceil", "trunc", "clamp")
FUNCTIONS = ("sqrt", "tanh", "exp", "expm1", "log", "log1p", "sin", "cos", "power", "sigmoid")
REDUCTIONS = tuple(
    name for name in OPERATIONS if name.split()[0] in ("norm", "mean", "total", "largest")
)
OF_A_TENSOR = tuple(name for name in REDUCTIONS if "units" not in name)


def operation(names: tuple[str, ...], *operands: Trees) -> Trees:
    return st.tuples(st.sampled_from(names), *operands)


TENSOR = st.sampled_from(TENSORS)
LEAF = st.sampled_from((*TENSORS, *TENSORS, *NUMBERS))
LEAF_NUMBER = st.sampled_from(NUMBERS)
CONSTANT = st.sampled_from(CONSTANTS)
SEED = st.sampled_from((*NUMBERS, 0.0, 7.0, -3.0))


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
        operation(("by rank",), TENSOR, of_elements, of_elements),
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
    functions = operation(FUNCTIONS, inner) | operation(("noise",), TENSOR, SEED, SEED)
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
        operation(("*", "/"), below, operation(("rank",), TENSOR)),
    ]
    if reducing:  # a reduction of what has been reduced: one more pass
        made.append(operation(REDUCTIONS, below))
        made.append(operation(("*",), below, st.just("d")))
    return st.one_of(made)


@cache
def number(depth: int) -> Trees:
    """Near values that are one number for a whole tensor."""
    reduced = operation(OF_A_TENSOR, near(depth, reducing=True))
    return st.one_of(
        reduced,
        operation(("sum of sizes", "*"), reduced, st.just("d") | LEAF_NUMBER),
        operation(("sqrt", "square", "tanh"), operation(("abs",), reduced)),
    )


@cache
def point(depth: int) -> Trees:
    """Points after the step, with no larger an error than the step's."""
    point, before = st.just("g"), st.just("p")
    made = [
        point,
        operation(("*", "/"), point, st.sampled_from((-1.0, 2.0, 0.3))),
        operation(("+", "-"), point, operation(("*",), before, st.just(0.1))),
        operation(("where",), truth(1), point, before),
    ]
    if depth:
        made.append(operation(("/",), point, operation(("one more",), number(1))))
    return st.one_of(made)


def evaluate(tree: Tree, arguments: Mapping[str, Any]) -> Any:
    if isinstance(tree, tuple):
        return OPERATIONS[tree[0]](*(evaluate(part, arguments) for part in tree[1:]))
    return arguments[tree] if isinstance(tree, str) else tree


@thalweg.rule(of_gradient=True)
def turned(g):
    return -0.5 * g


@thalweg.rule
def trebled(u):
    return 3 * u


def rule_of(
    update: Tree, m: Tree, v: Tree, d: Tree = "d", after: Tree = "g", kept: Tree = "m"
) -> thalweg.Chain:
    """Return the chain that computes these trees, the last two of them after the step."""

    @thalweg.rule
    def drawn(g, p, gradient, m_, v_, d_: thalweg.Scalar = 1.5, *, t, lr, alpha=0.3, beta=-1.25):
        arguments = {"g": g, "p": p, "gradient": gradient, "m": m_, "v": v_, "d": d_}
        arguments |= {"t": t, "lr": lr, "alpha": alpha, "beta": beta}
        # one tree is one value: evaluated twice, its noise would be drawn twice
        values = {id(tree): evaluate(tree, arguments) for tree in (update, m, v, d)}
        return tuple(values[id(tree)] for tree in (update, m, v, d))

    @thalweg.rule(after_step=True)
    def moved(x, p, kept_, gradient, *, t, lr, gamma=0.7):
        arguments = {"g": x, "p": p, "gradient": gradient, "m": kept_, "v": gradient, "d": gamma}
        arguments |= {"t": t, "lr": lr, "alpha": gamma, "beta": -gamma}
        return tuple(evaluate(tree, arguments) for tree in (after, kept))

    return thalweg.chain(turned, trebled, drawn, moved)
