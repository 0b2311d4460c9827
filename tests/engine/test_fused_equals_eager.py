"""Random rules give the same numbers in all engines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import Parameter

import thalweg
from tests import examples
from tests.exact import same
from thalweg.engine.cpu import batch
from thalweg.engine.foreach import batch as foreach

from .trees import Tree, exact, near, number, point, rule_of

CHUNK = 64
SHAPES = ((), (0,), (1,), (7,), (3, 11), (3 * CHUNK + 5,), (2, CHUNK + 6), (4, 3, 2, 1), (5, 4))
TRANSPOSED = SHAPES[-1]
ABSENT = ((1, 4), (2, 3))
"""(step, parameter) without a gradient: one joins later, one misses a step."""
STEPS = 3
DTYPES = (torch.float64, torch.float32, torch.bfloat16)
LR = 0.1

repeatable = settings(
    max_examples=6 * examples.MORE,
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


def laid_out(x: Tensor) -> Parameter:
    """Return a parameter that is stored in an order of its own, where it has one."""
    if x.ndim == 4:
        return Parameter(x.to(memory_format=torch.channels_last))
    return Parameter(x.t().contiguous().t() if x.shape == TRANSPOSED else x)


ENGINES = ("eager", "fused", "foreach")
STATES = ("m_", "v_", "d_", "kept_")


class Walk:
    """Parameters of all shapes in two groups, stepped by one chain and one engine."""

    def __init__(
        self, chain: thalweg.Chain, engine: str, dtype: torch.dtype, special: Sequence[float]
    ) -> None:
        self.params = [laid_out(x) for x in draw(dtype, 0, special)]
        self.special = special
        groups = [
            {"params": self.params[::2]},
            {"params": self.params[1::2], "lr": LR / 2, "alpha": -0.6},
        ]
        self.optimizer = thalweg.Optimizer(groups, chain, lr=LR, engine=engine)

    def step(self, number: int) -> None:
        gradients = draw(self.params[0].dtype, number, self.special)
        for k, (p, g) in enumerate(zip(self.params, gradients, strict=True)):
            p.grad = None if (number, k) in ABSENT else g
        self.optimizer.step()

    def numbers(self) -> list[dict[str, Tensor]]:
        """Return each parameter and its states; one that has not joined yet has none."""
        return [{"p": p.detach(), **self.optimizer.state.get(p, {})} for p in self.params]

    def start_from(self, other: Walk) -> None:
        for mine, theirs in zip(self.numbers(), other.numbers(), strict=True):
            for name, value in theirs.items():
                mine[name].copy_(value)


@each_dtype
@repeatable
@given(update=exact(4), m=exact(3), v=exact(2), after=exact(2), kept=exact(1))
def test_arithmetic_is_the_same_to_the_last_bit(
    dtype: torch.dtype, update: Tree, m: Tree, v: Tree, after: Tree, kept: Tree
) -> None:
    chain = rule_of(update, m, v, after=after, kept=kept)
    special = extreme(dtype)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(foreach, "FUSES", False)
        eager, *others = (Walk(chain, engine, dtype, special) for engine in ENGINES)
        for turn in range(1, STEPS + 1):
            for walk in (eager, *others):
                walk.step(turn)
            for walk in others:
                same(
                    walk.numbers(),
                    eager.numbers(),
                    because="each engine rounds each operation by itself",
                )


# An ulp of bfloat16; some ulps of float32; and of float32 where a reduction adds thousands of elements.
TOLERANCE = {torch.float64: 1e-12, torch.float32: 4e-6, torch.bfloat16: 2.0**-7}


def assert_steps_alike(
    chain: thalweg.Chain, dtype: torch.dtype, special: Sequence[float], rtol: float
) -> None:
    """Compare step by step, each from the same point: what differs by an ulp may later differ by any amount.

    The update is also the new m, so the tolerance of the points is relative to the larger of p and its step.
    """
    eager, *others = (Walk(chain, engine, dtype, special) for engine in ENGINES)
    for turn in range(1, STEPS + 1):
        before = [p.detach().clone() for p in eager.params]
        for walk in (eager, *others):
            walk.step(turn)
        for walk in others:
            assert_alike(walk.numbers(), eager.numbers(), before, rtol)
            walk.start_from(eager)


def assert_alike(
    actual: list[dict[str, Tensor]],
    expected: list[dict[str, Tensor]],
    before: list[Tensor],
    rtol: float,
) -> None:
    tiny = torch.finfo(before[0].dtype).smallest_normal
    for a, e, p in zip(actual, expected, before, strict=True):
        assert a.keys() == e.keys()
        for name in e.keys() & {"m_", "v_", "d_"}:
            torch.testing.assert_close(a[name], e[name], rtol=rtol, atol=tiny, equal_nan=True)
        size = 2 * p.double().abs() + 2 * LR * e.get("m_", p).double().abs()
        for name in e.keys() & {"p", "kept_"}:
            x, y = a[name], e[name]
            same(x.isnan(), y.isnan(), because="a NaN is made by the same operation")
            error = (x.double() - y.double()).abs()
            assert ((x == y) | y.isnan() | (error <= rtol * size + tiny)).all()


@each_dtype
@repeatable
@given(update=near(3, reducing=False), v=near(2, reducing=False), after=point(0))
def test_functions_are_the_same_to_a_few_ulps(
    dtype: torch.dtype, update: Tree, v: Tree, after: Tree
) -> None:
    chain = rule_of(update, update, v, after=after, kept="g")
    assert_steps_alike(chain, dtype, INFINITE, TOLERANCE[dtype])


@each_dtype
@repeatable
@given(update=near(3, reducing=True), v=near(2, reducing=True), d=number(1), after=point(1))
def test_reductions_are_the_same(
    dtype: torch.dtype, update: Tree, v: Tree, d: Tree, after: Tree
) -> None:
    """Of ordinary numbers: the engines may overflow at different places of a long sum."""
    chain = rule_of(update, update, v, d, after, kept="g")
    assert_steps_alike(chain, dtype, ROUND, 5 * TOLERANCE[dtype])


@pytest.mark.full
@given(st.data())
@settings(max_examples=100 * examples.MORE)
def test_the_trees_use_the_whole_vocabulary(data: st.DataObject) -> None:
    """The strategies build what their names say, and no rule that is refused."""
    for trees in (exact(3), near(2, reducing=False), near(2, reducing=True)):
        tree = data.draw(trees)
        chain = rule_of(tree, tree, tree, data.draw(number(1)), data.draw(point(1)), kept="g")
        assert list(chain.program(chain.hyperparameters).number_outputs) == ["d_"]
