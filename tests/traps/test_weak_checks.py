"""Checks that let errors through, and the comparison of whole trajectories, which does not."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

from tests.optim.problem import Point, Problem, assert_same_path, follow
from thalweg import optim

from .subjects import EXACT, Make

STARTS = tuple(torch.linspace(-2.0, 3.0, n, dtype=torch.float64) for n in (2, 7, 40))
BOWL = Problem("bowl", STARTS, lambda _, point: [w.detach().to(torch.float64) for w in point])
"""½‖w‖², whose minimum is 0."""


def path(made: Make, steps: int) -> list[Point]:
    params = BOWL.parameters()
    return follow(BOWL, params, made(params), steps=steps)


def length(point: Sequence[Tensor]) -> float:
    return math.hypot(*(float(w.norm()) for w in point))


def apart(a: Sequence[Tensor], b: Sequence[Tensor]) -> float:
    return max(float((x - y).abs().max()) for x, y in zip(a, b, strict=True))


def the_loss_fell(actual: list[Point], expected: list[Point]) -> bool:
    return length(actual[-1]) < length(STARTS)


def the_minimum_is_near(actual: list[Point], expected: list[Point]) -> bool:
    return max(float(w.abs().max()) for w in actual[-1]) < 3e-2


def norms_agree(actual: list[Point], expected: list[Point]) -> bool:
    return abs(length(actual[-1]) / length(expected[-1]) - 1) < 0.01


def one_step_agrees(actual: list[Point], expected: list[Point]) -> bool:
    return apart(actual[0], expected[0]) < 1e-3


Weak = Callable[[list[Point], list[Point]], bool]
ADAM, SGD = optim.Adam, optim.SGD
# a weak check, what it is given, what it takes that for, and the number of steps
FOOLED: dict[str, tuple[Weak, Make, Make, int]] = {
    "a loss that fell, by another optimizer": (
        the_loss_fell,
        functools.partial(SGD, lr=0.01),
        functools.partial(ADAM, lr=0.01),
        50,
    ),
    "a loss that fell, by a step 1 % too long": (
        the_loss_fell,
        functools.partial(ADAM, lr=0.0101),
        functools.partial(ADAM, lr=0.01),
        50,
    ),
    "a minimum that is reached, by another momentum": (
        the_minimum_is_near,
        functools.partial(ADAM, lr=0.05, betas=(0.8, 0.999)),
        functools.partial(ADAM, lr=0.05, betas=(0.9, 0.999)),
        500,
    ),
    "norms within 1 %, without a step": (
        norms_agree,
        functools.partial(ADAM, lr=0.0),
        functools.partial(ADAM, lr=1e-3),
        10,
    ),
    "one step within 1e-3, without a step": (
        one_step_agrees,
        functools.partial(ADAM, lr=0.0),
        functools.partial(ADAM, lr=1e-3),
        1,
    ),
}


@pytest.mark.parametrize("error", FOOLED)
def test_what_fools_a_weak_check_does_not_fool_the_comparison_of_paths(error: str) -> None:
    fooled, wrong, right, steps = FOOLED[error]
    actual, expected = path(wrong, steps), path(right, steps)
    assert fooled(actual, expected)
    with pytest.raises(AssertionError, match=r"step [12], tensor 0"):
        assert_same_path(actual, expected, STARTS, EXACT)
    assert_same_path(path(right, steps), expected, STARTS, EXACT)


@functools.cache
def right() -> list[Point]:
    return path(functools.partial(ADAM, lr=0.01), 20)


def still() -> list[Point]:
    return path(functools.partial(ADAM, lr=0.0), 20)


def altered(step: int, change: Callable[[Tensor], Tensor]) -> list[Point]:
    """Return the right path with a change in the last tensor after one step."""
    points = [list(point) for point in right()]
    points[step][-1] = change(points[step][-1])
    return points


def one_element(w: Tensor) -> Tensor:
    return w + 1e-11 * torch.nn.functional.one_hot(torch.tensor(17), w.numel())


WRONG: dict[str, Callable[[], list[Point]]] = {
    "no step": still,
    "1 % of the last step": lambda: altered(-1, lambda w: w + 0.01 * (w - right()[-2][-1])),
    "1 % of a step in between": lambda: altered(7, lambda w: w + 0.01 * (w - right()[6][-1])),
    "a digit of one element": lambda: altered(12, one_element),
    "not a number": lambda: altered(3, lambda w: w * torch.nan),
    "a step less": lambda: right()[:-1],
}


@pytest.mark.parametrize("what", WRONG)
def test_the_comparison_of_paths_refuses_what_is_not_the_same(what: str) -> None:
    with pytest.raises(AssertionError):
        assert_same_path(WRONG[what](), right(), STARTS, EXACT)


def test_the_comparison_of_paths_refuses_two_that_do_not_move() -> None:
    with pytest.raises(AssertionError, match="has not moved"):
        assert_same_path(still(), still(), STARTS, EXACT)


def test_the_comparison_of_paths_allows_a_rounding() -> None:
    assert_same_path(altered(12, lambda w: w * (1 + 1e-15)), right(), STARTS, EXACT)
