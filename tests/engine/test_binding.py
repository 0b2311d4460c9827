"""Rules are bound to numbers and composed; mistakes are refused there, and what is allowed works."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import thalweg
from tests.exact import same
from thalweg import rules
from thalweg.errors import RuleError


@thalweg.rule
def scaled(g, m, *, factor, beta=0.9, nesterov=False, kind="plain"):
    """A rule of every kind of hyperparameter, at the top of a module so that it can be pickled."""
    m = beta * m + g
    update = g + beta * m if nesterov else m
    return (factor * update if kind == "plain" else torch.sign(update) * factor), m


@thalweg.rule(lr_inside=True)
def inside(g, *, lr):
    return lr * g


def descent(g):
    return g


MISTAKES: dict[str, tuple[Callable[[], Any], tuple[str, ...]]] = {
    "an unknown name": (
        lambda: scaled(1.0, nestrov=True),
        ("scaled()", "no hyperparameter 'nestrov'", "Did you mean 'nesterov'?", "factor, beta"),
    ),
    "an unknown name far from all": (
        lambda: scaled(1.0, zzz=1.0),
        ("no hyperparameter 'zzz'", "It has: factor, beta, nesterov, kind"),
    ),
    "a rule that has none": (
        lambda: rules.descend(beta=0.9),
        ("descend()", "no hyperparameter 'beta'", "It has: none"),
    ),
    "none where one is required": (lambda: scaled(), ("scaled()", "factor", "scaled(factor=…)")),
    "a bare rule in a chain": (lambda: thalweg.chain(scaled), ("needs a value for factor",)),
    "a bare rule in an optimizer": (
        lambda: thalweg.Optimizer([torch.nn.Parameter(torch.ones(1))], scaled),
        ("needs a value for factor",),
    ),
    "two values": (lambda: scaled(1.0, factor=2.0), ("two values", "'factor'")),
    "too many values": (
        lambda: scaled(1.0, 0.9, False, "plain", 3.0),
        ("takes 4 hyperparameters (factor, beta, nesterov, kind)", "got 5"),
    ),
    "a number for a switch": (
        lambda: scaled(1.0, nesterov=1),
        ("nesterov", "switch: it must be of type bool", "got 1"),
    ),
    "a bool for a word": (
        lambda: scaled(1.0, kind=True),
        ("kind", "switch: it must be of type str"),
    ),
    "a word for a switch": (
        lambda: scaled(1.0, nesterov="no"),
        ("switch: it must be of type bool", "'no'"),
    ),
    "a switch for a number": (lambda: scaled(1.0, beta=True), ("beta", "must be a number", "True")),
    "a word for a number": (lambda: scaled("2"), ("factor", "must be a number", "'2'")),
    "nothing for a number": (lambda: scaled(1.0, beta=None), ("must be a number", "None")),
    "a pair for a number": (lambda: scaled(1.0, beta=(0.9, 0.99)), ("must be a number",)),
    "a vector for a number": (lambda: scaled(1.0, beta=torch.ones(2)), ("must be a number",)),
    "an array for a number": (lambda: scaled(1.0, beta=np.ones(2)), ("must be a number",)),
    "lr": (lambda: scaled(1.0, lr=0.1), ("does not take lr", "Optimizer(…, lr=…)")),
    "lr of a rule that knows lr": (lambda: inside(lr=0.1), ("does not take lr",)),
    "lr_inside before the end": (
        lambda: thalweg.chain(inside, rules.descend),
        ("inside()", "lr_inside=True", "cannot stand after it"),
    ),
    "lr_inside within a nested chain": (
        lambda: thalweg.chain(thalweg.chain(rules.descend, inside), rules.l2(0.1)),
        ("inside()", "l2(weight_decay=0.1) cannot stand after it"),
    ),
    "an update after the step": (
        lambda: thalweg.chain(rules.decay(0.1), rules.descend),
        ("decay(weight_decay=0.1)", "after_step=True", "descend()", "cannot stand after it"),
    ),
    "an empty chain": (lambda: thalweg.chain(), ("at least one rule",)),
    "an undecorated function": (
        lambda: thalweg.chain(rules.descend, descent),
        ("Link 2", "not a rule", "Decorate it with @rule"),
    ),
    "something else": (lambda: thalweg.chain(0.1), ("Link 1", "0.1", "not a rule")),
    "an undecorated function in an optimizer": (
        lambda: thalweg.Optimizer([torch.nn.Parameter(torch.ones(1))], descent),
        ("not a rule", "@rule"),
    ),
    "an unknown name in a step": (
        lambda: one_step(thalweg.chain(scaled(1.0)), bets=0.5),
        ("no hyperparameter 'bets'", "'beta'", "scaled("),
    ),
    "a switch for a number in a step": (
        lambda: one_step(thalweg.chain(scaled(1.0)), beta=True),
        ("must be a number",),
    ),
    "a number for a switch in a step": (
        lambda: one_step(thalweg.chain(scaled(1.0)), nesterov=0.0),
        ("switch: it must be of type bool",),
    ),
}


def one_step(chain: thalweg.Chain, **hyperparameters: Any) -> Any:
    w = torch.ones(2, dtype=torch.float64)
    return chain.step(w, 3 * w, chain.init(w), lr=0.1, **hyperparameters)[0]


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_in_binding(mistake: str) -> None:
    make, texts = MISTAKES[mistake]
    with pytest.raises(RuleError) as caught:
        make()
    for text in texts:
        assert text in str(caught.value)
    assert "\n" not in str(caught.value)


def test_switches_branch() -> None:
    """m = 3; the update is m, or 3 + 0.9·3 with nesterov, or its sign."""
    values = {
        (False, "plain"): 3.0,
        (True, "plain"): 5.7,
        (False, "sign"): 1.0,
        (True, "sign"): 1.0,
    }
    for (nesterov, kind), update in values.items():
        expected = torch.full((2,), 1.0 - 0.1 * 2.0 * update, dtype=torch.float64)
        bound = one_step(thalweg.chain(scaled(2.0, nesterov=nesterov, kind=kind)))
        torch.testing.assert_close(bound, expected)
        given = one_step(thalweg.chain(scaled(2.0)), nesterov=nesterov, kind=kind)
        torch.testing.assert_close(given, expected)


@pytest.mark.parametrize("number", [2, 2.0, np.float32(2), np.int64(2), torch.tensor(2.0)])
def test_every_kind_of_number_is_a_number(number: Any) -> None:
    expected = torch.full((2,), 1.0 - 0.1 * 2.0 * 3.0, dtype=torch.float64)
    torch.testing.assert_close(one_step(thalweg.chain(scaled(number))), expected)
    w = torch.nn.Parameter(torch.ones(2, dtype=torch.float64))
    w.grad = torch.full_like(w, 3.0)
    thalweg.Optimizer([w], scaled(number), lr=0.1).step()
    torch.testing.assert_close(w.detach(), expected)


def test_names_that_two_links_share_are_qualified() -> None:
    both = thalweg.chain(scaled(1.0, beta=0.5), rules.momentum(0.8), scaled(3.0))
    assert both.states == ("scaled.m", "b", "scaled2.m")
    assert both.hyperparameters == {
        "scaled.factor": 1.0,
        "scaled.beta": 0.5,
        "scaled.nesterov": False,
        "scaled.kind": "plain",
        "momentum": 0.8,
        "dampening": 0.0,
        "momentum.nesterov": False,
        "scaled2.factor": 3.0,
        "scaled2.beta": 0.9,
        "scaled2.nesterov": False,
        "scaled2.kind": "plain",
    }
    # first steps: m₁ = 3, b = 3, m₂ = 3
    torch.testing.assert_close(one_step(both), torch.full((2,), 1.0 - 0.1 * 9.0).double())
    changed = one_step(both, **{"scaled.factor": 5.0, "scaled2.nesterov": True})
    # 15 + 0.9·15 = 28.5, times 3
    torch.testing.assert_close(changed, torch.full((2,), 1.0 - 0.1 * 85.5).double())


def test_a_chain_may_stand_in_a_chain() -> None:
    inner = thalweg.chain(rules.clip_by_norm(1.0), scaled(1.0))
    last = rules.decay(0.1)
    nested = thalweg.chain(thalweg.chain(inner), last)
    flat = thalweg.chain(*inner.links, last)
    assert nested.links == flat.links
    assert len(nested.links) == 3
    same(one_step(nested), one_step(flat), because="the same program")


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))]
)
def test_rules_and_chains_are_copied(copied: Callable[[Any], Any]) -> None:
    assert copied(scaled) is scaled
    link = copied(scaled(2.0, nesterov=True))
    assert link.rule is scaled
    assert repr(link) == repr(scaled(2.0, nesterov=True))
    chain = thalweg.chain(rules.clip_by_norm(1.0), scaled(2.0, beta=0.5))
    again = copied(chain)
    assert again.hyperparameters == chain.hyperparameters
    assert again.states == chain.states
    same(one_step(again), one_step(chain), because="the same program")


def test_a_rule_keeps_the_face_of_its_function() -> None:
    assert (
        scaled.__doc__
        == "A rule of every kind of hyperparameter, at the top of a module so that it can be pickled."
    )
    assert (scaled.__module__, scaled.__qualname__, scaled.name) == (__name__, "scaled", "scaled")
    assert repr(scaled(2.0)) == "scaled(factor=2.0, beta=0.9, nesterov=False, kind='plain')"
    assert repr(thalweg.chain(rules.descend, rules.decay(0.1))) == (
        "chain(descend(), decay(weight_decay=0.1))"
    )


def test_scalar_states_may_be_annotated_as_text() -> None:
    from thalweg import Scalar

    def counter(g, count: Scalar = 2):
        return count * g, count + 1

    for annotation in (Scalar, "Scalar", "thalweg.Scalar"):
        counter.__annotations__["count"] = annotation
        made = thalweg.chain(thalweg.rule(counter))
        assert made.scalar_states == {"count": 2.0}
        w = torch.ones(1)
        assert made.step(w, w, made.init(w), lr=1.0)[1] == {"t": 1, "count": 3.0}
