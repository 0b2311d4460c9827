"""Random rules give the same numbers in both engines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from torch import Tensor

import thalweg
from thalweg.engine import batch

from .trees import Tree, exact, near, rule_of

CHUNK = 64
SHAPES = ((), (0,), (1,), (7,), (3, 11), (3 * CHUNK + 5,))
STEPS = 3
DTYPES = (torch.float64, torch.float32, torch.bfloat16)
LR = 0.1

repeatable = settings(
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=80,
    phases=[Phase.generate],  # every smaller example would be compiled, for minutes
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
each_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)


@pytest.fixture(autouse=True, scope="module")
def _own_cache_and_small_chunks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Random kernels have no place in the cache of a user."""
    folder = tmp_path_factory.mktemp("kernels")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("THALWEG_CACHE", str(folder))
        patch.setattr(batch, "CHUNK", CHUNK)  # several chunks, and quick
        yield folder


ROUND = (0.0, -0.0, 1.0, -1.0, 0.5, 2.0)
INFINITE = (*ROUND, float("nan"), float("inf"), -float("inf"), 1e4, -1e-4)


def extreme(dtype: torch.dtype) -> tuple[float, ...]:
    finite = torch.finfo(dtype)
    subnormal = finite.smallest_normal / 4
    ends = (finite.smallest_normal, finite.max, -finite.max, finite.eps)
    return (*INFINITE, subnormal, -subnormal, *ends)


def draw(dtype: torch.dtype, seed: int, special: Sequence[float]) -> list[Tensor]:
    """Return tensors in which one element of three is a special value."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.tensor(special, dtype=dtype)
    drawn = []
    for shape in SHAPES:
        x = torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)
        which = torch.randint(len(values), shape, generator=generator)
        drawn.append(torch.where(torch.rand(shape, generator=generator) < 0.33, values[which], x))
    return drawn


class Walk:
    """Parameters of all shapes, stepped by one rule and one engine."""

    def __init__(
        self, rule: thalweg.Rule, engine: str, dtype: torch.dtype, special: Sequence[float]
    ) -> None:
        self.params = [torch.nn.Parameter(x) for x in draw(dtype, 0, special)]
        self.special = special
        self.optimizer = thalweg.Optimizer(self.params, rule, lr=LR, engine=engine)

    def step(self, number: int) -> None:
        gradients = draw(self.params[0].dtype, number, self.special)
        for p, g in zip(self.params, gradients, strict=True):
            p.grad = g
        self.optimizer.step()

    def numbers(self) -> list[Tensor]:
        """Return the parameters, then m, then v."""
        states = [self.optimizer.state[p] for p in self.params]
        return [
            *(p.detach() for p in self.params),
            *(state["m_"] for state in states),
            *(state["v_"] for state in states),
        ]

    def start_from(self, numbers: Sequence[Tensor]) -> None:
        for mine, other in zip(self.numbers(), numbers, strict=True):
            mine.copy_(other)


def assert_identical(actual: Tensor, expected: Tensor) -> None:
    """Compare the bits, but for those of NaNs."""
    assert actual.dtype == expected.dtype
    assert torch.equal(actual.isnan(), expected.isnan())
    known = ~expected.isnan()
    assert torch.equal(actual[known], expected[known])
    assert torch.equal(actual[known].signbit(), expected[known].signbit())


@each_dtype
@repeatable
@given(update=exact(4), m=exact(3), v=exact(2))
def test_arithmetic_is_the_same_to_the_last_bit(
    dtype: torch.dtype, update: Tree, m: Tree, v: Tree
) -> None:
    rule = rule_of(update, m, v)
    special = extreme(dtype)
    eager, fused = Walk(rule, "eager", dtype, special), Walk(rule, "fused", dtype, special)
    for number in range(1, STEPS + 1):
        for walk in (eager, fused):
            walk.step(number)
        for actual, expected in zip(fused.numbers(), eager.numbers(), strict=True):
            assert_identical(actual, expected)


# An ulp of bfloat16; some ulps of float32; and of float32 where a reduction adds thousands of elements.
TOLERANCE = {torch.float64: 1e-12, torch.float32: 4e-6, torch.bfloat16: 2.0**-7}


def assert_steps_alike(
    rule: thalweg.Rule, dtype: torch.dtype, special: Sequence[float], rtol: float
) -> None:
    """Compare step by step, each from the same point: what differs by an ulp may later differ by any amount.

    The update is also the new m, so the tolerance of p is relative to the larger of p and its step.
    """
    eager, fused = Walk(rule, "eager", dtype, special), Walk(rule, "fused", dtype, special)
    tiny = torch.finfo(dtype).smallest_normal
    for number in range(1, STEPS + 1):
        before = [p.detach().clone() for p in eager.params]
        for walk in (eager, fused):
            walk.step(number)
        actual, expected = fused.numbers(), eager.numbers()
        count = len(before)
        for a, e in zip(actual[count:], expected[count:], strict=True):
            torch.testing.assert_close(a, e, rtol=rtol, atol=tiny, equal_nan=True)
        for a, e, p, u in zip(actual, expected, before, expected[count:], strict=False):
            size = p.double().abs() + LR * u.double().abs()
            assert torch.equal(a.isnan(), e.isnan())
            close = (a == e) | e.isnan() | ((a.double() - e.double()).abs() <= rtol * size + tiny)
            assert close.all()
        fused.start_from(expected)


@each_dtype
@repeatable
@given(update=near(3, reducing=False), v=near(2, reducing=False))
def test_functions_are_the_same_to_a_few_ulps(dtype: torch.dtype, update: Tree, v: Tree) -> None:
    assert_steps_alike(rule_of(update, update, v), dtype, INFINITE, TOLERANCE[dtype])


@each_dtype
@repeatable
@given(update=near(3, reducing=True), v=near(2, reducing=True))
def test_reductions_are_the_same(dtype: torch.dtype, update: Tree, v: Tree) -> None:
    """Of ordinary numbers: the engines may overflow at different places of a long sum."""
    assert_steps_alike(rule_of(update, update, v), dtype, ROUND, 5 * TOLERANCE[dtype])


@given(st.data())
@settings(derandomize=True, database=None, max_examples=200, deadline=None)
def test_the_trees_use_the_whole_vocabulary(data: st.DataObject) -> None:
    """The strategies build what their names say, and no rule that is refused."""
    for trees in (exact(3), near(2, reducing=False), near(2, reducing=True)):
        tree = data.draw(trees)
        assert isinstance(rule_of(tree, tree, tree), thalweg.Rule)
