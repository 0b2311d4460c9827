"""A wrapper or a rule that is named as an optimizer: the error says what it is, and what to write works."""

from __future__ import annotations

import re

import pytest
import torch

from tests.train.helpers import blobs, quiet
from thalweg import chain, meta, rules
from thalweg.errors import TaskError
from thalweg.optim.named import find_optimizer, named_optimizers


def said_of(name: str) -> str:
    with pytest.raises(TaskError) as caught:
        find_optimizer(name)
    return str(caught.value)


def test_every_wrapper_says_how_it_is_used() -> None:
    for name in meta.__all__:
        made = getattr(meta, name)
        if isinstance(made, type) and made is not meta.Wrapper:
            assert f"{name} is a wrapper around an optimizer, not one." in said_of(name.lower())
    assert "accumulate=4, or --accumulate 4" in said_of("Accumulate")


def test_every_rule_that_is_no_optimizer_says_so() -> None:
    for name in {*rules.__all__} - {*named_optimizers(), "accumulate"}:
        assert f"{name!r} is a rule. Put it into a chain" in said_of(name)
    assert "after=rules.lookahead()" in said_of("Lookahead")
    assert "after=" not in said_of("centralize")


@pytest.mark.parametrize("name", ["sam", "asam", "nonfinite"])
def test_the_function_that_the_error_shows_trains(name: str) -> None:
    shown = re.search(r"(lambda .*?), with `", said_of(name))
    assert shown is not None
    function = eval(shown[1], {"torch": torch, **vars(meta)})  # the text is ours
    run = quiet(blobs(), function, lr=0.1, epochs=1)
    assert type(run.optimizer).__name__.lower() == name


def test_the_chains_that_the_error_shows_are_chains() -> None:
    assert "chain(rules.adam(), rules.ema())" in said_of("ema")
    chain(rules.adam(), rules.ema())
