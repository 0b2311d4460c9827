"""Which start is recommended, given a figure of each."""

from __future__ import annotations

import math

import pytest

from thalweg.init.recommended import MARGIN, recommended
from thalweg.init.spread import Spread

SCALED, PLAIN, OTHER = "orthogonal:gain=1.4|bias|lsuv", "orthogonal|bias", "he|fixup"
FOUR_SEEDS = 4


def chosen(figures: dict[str, float], std: float = 0.1, seeds: int = FOUR_SEEDS) -> tuple[str, ...]:
    spreads = {name: Spread(mean, std) for name, mean in figures.items()}
    return recommended(spreads, seeds, MARGIN)


@pytest.mark.parametrize("usual", [SCALED, PLAIN])
def test_the_usual_start_stays_unless_another_is_far_ahead(usual: str) -> None:
    error = 2 * 0.1 * math.sqrt(2 / FOUR_SEEDS)  # twice that of the difference of two means
    near, far = MARGIN + 0.99 * error, MARGIN + 1.01 * error
    assert chosen({OTHER: 3.0, usual: 3.0 + near}) == (usual, OTHER)
    assert chosen({OTHER: 3.0, usual: 3.0 + far}) == (OTHER,)
    # a figure that is less sure overrules less
    assert chosen({OTHER: 3.0, usual: 3.0 + far}, std=0.2) == (usual, OTHER)


def test_what_is_behind_the_usual_start_is_told_apart_by_its_error_alone() -> None:
    assert chosen({PLAIN: 3.0, OTHER: 3.1, "default": 3.5}) == (PLAIN, OTHER)


def test_scaled_by_lsuv_is_more_usual_than_orthogonal_alone() -> None:
    assert chosen({PLAIN: 3.0, SCALED: 4.0}) == (SCALED, PLAIN)
    assert chosen({PLAIN: 3.0, SCALED: 6.0}) == (PLAIN,), "and orthogonal weights are no way out"
    assert chosen({OTHER: 1.0, PLAIN: 3.0, SCALED: 6.0}) == (OTHER,)
    assert chosen({SCALED: 4.0, "orthogonal|lsuv": 3.0})[0] == "orthogonal|lsuv", (
        "of two the better"
    )


def test_without_a_usual_start_the_best_is_recommended() -> None:
    assert chosen({"lsuv": 3.0, "he|bias": 2.9, "default": 2.0}) == ("default",)
    assert chosen({"lsuv": 3.0, "he|bias": 2.9}) == ("he|bias", "lsuv")


def test_a_figure_that_is_not_finite_is_no_choice() -> None:
    assert chosen({SCALED: math.nan, OTHER: 9.0}) == (OTHER,)
    assert chosen({SCALED: math.nan, OTHER: math.inf}) == ()
