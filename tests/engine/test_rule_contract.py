"""Every way to break the contract of a rule is refused where the rule is defined, with what to do instead."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch

import thalweg
from thalweg.errors import RuleError

Broken = tuple[Callable[..., Any], tuple[str, ...]]
BROKEN: dict[str, Broken] = {}


def broken(*texts: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a function that is not a rule, with what its error must say."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        assert function.__name__ not in BROKEN
        BROKEN[function.__name__] = (function, texts)
        return function

    return register


BRANCHES = ("branches on a value", "torch.where(condition, a, b)", "bool default")


@broken(*BRANCHES)
def if_on_a_tensor(g):
    return g if g.sum() > 0 else -g


@broken(*BRANCHES)
def if_on_the_step(g, *, t):
    return g if t > 10 else -g


@broken(*BRANCHES)
def if_on_a_number(g, *, momentum=0.9):
    return g if momentum else -g


@broken(*BRANCHES)
def while_on_a_value(g):
    while thalweg.norm(g) > 1:
        g = g / 2
    return g


@broken(*BRANCHES)
def conjunction(g, p):
    return g * (g > 0 and p > 0)


@broken(*BRANCHES)
def disjunction(g, p):
    return g * (g > 0 or p > 0)


@broken(*BRANCHES)
def negation(g):
    return g * (not g)


@broken(*BRANCHES)
def chained_comparison(g):
    return g * (0 < g < 1)


@broken(*BRANCHES, "torch.maximum")
def larger_of_two(g, p):
    return max(g, p)


@broken(*BRANCHES, "torch.minimum")
def smaller_of_two(g, *, t):
    return g / min(t, 100)


@broken(*BRANCHES)
def asserts(g):
    assert g.isfinite().all()
    return g


@broken(*BRANCHES)
def branches_on_the_shape(g):
    return g if g.ndim == 2 else -g


IN_PLACE = ("in place", "the engine decides what is stored where")


@broken(*IN_PLACE, "x = x + y")
def augmented_sum(g, m):
    m += g
    return m, m


@broken(*IN_PLACE)
def augmented_product(g):
    g *= 2
    return g


@broken(*IN_PLACE)
def augmented_quotient(g):
    g /= 2
    return g


@broken(*IN_PLACE)
def augmented_power(g):
    g **= 2
    return g


@broken(*IN_PLACE)
def augmented_by_function(g):
    return operator.iadd(g, 1)


@broken(*IN_PLACE, "`mul_`", "Use `mul`")
def in_place_method(g, m):
    return m.mul_(0.9).add(g), m


@broken(*IN_PLACE, "`sqrt_`", "Use `sqrt`")
def in_place_function(g):
    return torch.sqrt_(g)


@broken(*IN_PLACE, "`add_`")
def in_place_on_the_data(g, p):
    p.data.add_(g)
    return g


@broken("failed while it was traced", "copy_")
def in_place_by_the_class(g, p):
    torch.Tensor.copy_(p, g)
    return g


@broken(*IN_PLACE, "`add`")
def out_argument(g, p):
    return torch.add(g, 1, out=p)


@broken("in place")
def in_place_activation(g):
    return torch.nn.functional.relu(g, inplace=True)


@broken(*IN_PLACE)
def set_item(g):
    g[0] = 0
    return g


@broken(*IN_PLACE)
def deleted_item(g):
    del g[0]
    return g


@broken("returns 1 value, expected 2", "return update, m")
def too_few(g, m):
    return g


@broken("returns 3 values, expected 2", "return update, m")
def too_many(g, m):
    return g, m, m


@broken("returns 2 values, expected 1", "return update")
def states_of_none(g, p):
    return g, p


@broken("expected 3", "return update, m, eta")
def a_list(g, m, eta: thalweg.Scalar = 1.0):
    return [g, m, eta]


@broken("list", "a tensor or a number is expected")
def a_list_of_one(g):
    return [g]


@broken("NoneType", "a tensor or a number is expected")
def nothing(g):
    g = -g


@broken("str 'g'", "a tensor or a number is expected")
def text(g):
    return "g"


@broken("Tensor", "a tensor or a number is expected")
def foreign_tensor(g):
    return torch.zeros(3)


NUMBER = ("the number behind a value", "torch.sqrt(x)")


@broken(*NUMBER)
def root_of_math(g, *, t):
    return g / math.sqrt(t)


@broken(*NUMBER)
def to_float(g, *, beta=0.9):
    return g * float(beta)


@broken(*NUMBER)
def to_int(g, *, t):
    return g * int(t)


@broken(*NUMBER)
def counted(g, *, t):
    for _ in range(t):
        g = g / 2
    return g


@broken(*NUMBER)
def as_index(g, *, t):
    return g * [1, 2, 3][t]


@broken(*NUMBER)
def how_long(g):
    return g / len(g)


@broken("iterates over a value", "the engine owns the loops")
def loops(g):
    return sum(row for row in g)


@broken("iterates over a value")
def unpacks(g):
    a, b = g
    return a + b


@broken("`*rest`", "name each argument")
def open_arguments(g, *rest):
    return g


@broken("`**rest`", "name each argument")
def open_keywords(g, **rest):
    return g


@broken("positional argument `momentum` has a default", "after `*`", "`momentum: Scalar = 0.9`")
def positional_default(g, momentum=0.9):
    return g


@broken("`t` is a scalar", "after `*`")
def step_in_front(g, t):
    return g


@broken("`lr` is a scalar", "after `*`")
def rate_in_front(g, m, lr):
    return g, m


@broken("first positional argument must be the incoming update")
def without_arguments():
    return 0.0


@broken("first positional argument must be the incoming update", "`g`")
def parameter_first(p, g):
    return g


@broken("first positional argument must be the incoming update")
def keywords_only(*, beta=0.9):
    return beta


KIND = ("is a number, or a bool or string that switches",)


@broken("`betas` is (0.9, 0.99)", *KIND)
def tuple_default(g, *, betas=(0.9, 0.99)):
    return g


@broken("`beta` is None", *KIND)
def none_default(g, *, beta=None):
    return g


@broken("`beta` is 1j", *KIND)
def complex_default(g, *, beta=1j):
    return g


@broken("`beta` is tensor", *KIND)
def tensor_default(g, *, beta=torch.ones(2)):  # noqa: B008
    return g


@broken("scalar state `eta` needs its first value", "`eta: Scalar = 1.0`")
def scalar_without_value(g, eta: thalweg.Scalar):
    return g, eta


@broken("scalar state `eta` needs its first value")
def scalar_of_text(g, eta: thalweg.Scalar = "1"):
    return g, eta


@broken("scalar state `eta` is computed element by element", "make it a tensor state")
def scalar_of_a_tensor(g, eta: thalweg.Scalar = 1.0):
    return g, eta + g


@broken("scalar state `eta` depends on a reduction with scope='unit'", "scope='tensor'")
def scalar_of_a_unit(g, eta: thalweg.Scalar = 1.0):
    return g, eta + thalweg.norm(g, scope="unit")


@broken("it calls something `step`", "the scalar `t`")
def state_called_step(g, step):
    return g, step


@broken("it calls something `step`", "the scalar `t`")
def number_called_step(g, *, step):
    return g / step


@broken("it calls something `params`", "Choose another name")
def number_called_params(g, *, params=1.0):
    return params * g


@broken("KeyError: 'missing'", "failed while it was traced")
def looks_up(g):
    return {}["missing"] * g


@broken("NameError: name 'undefined' is not defined")
def misspells(g):
    return undefined * g  # noqa: F821


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_rule_is_refused_at_its_definition(name: str) -> None:
    function, texts = BROKEN[name]
    with pytest.raises(RuleError) as caught:
        thalweg.rule(function)
    message = str(caught.value)
    line = function.__code__.co_firstlineno
    assert message.startswith(f"rule {name!r} ({__file__}:{line}): "), message
    for text in texts:
        assert text in message
    assert "Symbol(" not in message


def test_an_error_of_the_rule_itself_is_kept_as_the_cause() -> None:
    with pytest.raises(RuleError) as caught:
        thalweg.rule(looks_up)
    assert isinstance(caught.value.__cause__, KeyError)


def test_a_rule_error_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="branches on a value"):
        thalweg.rule(if_on_a_tensor)


@pytest.mark.parametrize("thing", [5, "adam", None.__class__, torch.optim.Adam, [math.sqrt]])
def test_a_rule_is_made_of_a_function(thing: Any) -> None:
    with pytest.raises(RuleError, match="function"):
        thalweg.rule(thing)


def test_a_branch_behind_a_switch_is_refused_at_binding() -> None:
    """The definition traces the default switches; a value that opens another branch is traced with it."""

    @thalweg.rule
    def hidden(g, *, t, warm=False):
        if warm:
            return g if t > 1 else -g
        return g

    with pytest.raises(RuleError, match=r"rule 'hidden' .*branches on a value"):
        thalweg.Optimizer([torch.nn.Parameter(torch.ones(2))], hidden(warm=True))
    with pytest.raises(RuleError, match=re.escape(__file__)):
        thalweg.chain(hidden(warm=True))
