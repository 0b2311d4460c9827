"""Random rules give the same numbers in Triton's interpreter as eagerly."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings

from tests import examples
from tests.engine.test_fused_equals_eager import STEPS, Walk, extreme
from tests.engine.trees import Tree, exact, near, number, point, rule_of
from tests.exact import same

from .interpreter import assert_triton, interpreted

pytestmark = [interpreted, pytest.mark.full]

repeatable = settings(
    max_examples=3 * examples.MORE,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    deadline=None,
)
each_dtype = pytest.mark.parametrize(
    "dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16], ids=str
)
# An ulp of the half precisions; some ulps of float32 where a reduction adds hundreds of elements.
TOLERANCE = {
    torch.float64: 1e-12,
    torch.float32: 2e-5,
    torch.bfloat16: 5 * 2.0**-7,
    torch.float16: 5 * 2.0**-10,
}
ORDINARY = (0.0, -0.0, 1.0, -1.0, 0.5, 2.0)


@pytest.fixture(autouse=True, scope="module")
def _small_chunks() -> Iterator[None]:
    """Several chunks, and quick."""
    from thalweg.engine.triton import batch

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batch, "LONGEST", 64)
        patch.setattr(batch, "SHORTEST", 16)
        yield


@each_dtype
@repeatable
@given(update=exact(4), m=exact(3), v=exact(2), after=exact(2), kept=exact(1))
def test_arithmetic_is_the_same_to_the_last_bit(
    dtype: torch.dtype, update: Tree, m: Tree, v: Tree, after: Tree, kept: Tree
) -> None:
    chain = rule_of(update, m, v, after=after, kept=kept)
    special = extreme(dtype)
    eager, printed = Walk(chain, "eager", dtype, special), Walk(chain, "triton", dtype, special)
    for turn in range(1, STEPS + 1):
        for walk in (eager, printed):
            walk.step(turn)
        same(
            printed.numbers(),
            eager.numbers(),
            because="both engines round each operation by itself",
        )
    assert_triton(printed.optimizer)


@each_dtype
@repeatable
@given(update=near(3, reducing=True), v=near(2, reducing=True), d=number(1), after=point(1))
def test_functions_and_reductions_are_the_same(
    dtype: torch.dtype, update: Tree, v: Tree, d: Tree, after: Tree
) -> None:
    chain = rule_of(update, update, v, d, after, kept="g")
    eager, printed = Walk(chain, "eager", dtype, ORDINARY), Walk(chain, "triton", dtype, ORDINARY)
    for turn in range(1, STEPS + 1):
        before = [p.detach().clone() for p in eager.params]
        for walk in (eager, printed):
            walk.step(turn)
        for a, e, p in zip(printed.numbers(), eager.numbers(), before, strict=True):
            assert a.keys() == e.keys()
            for name in e.keys() & {"m_", "v_", "d_"}:
                torch.testing.assert_close(
                    a[name], e[name], rtol=TOLERANCE[dtype], atol=1e-30, equal_nan=True
                )
            step = 2 * p.double().abs() + e.get("m_", p).double().abs()
            x, y = a["p"].double(), e["p"].double()
            near_enough = (x - y).abs() <= TOLERANCE[dtype] * step + 1e-30
            assert (near_enough | (x == y) | y.isnan()).all()
        printed.start_from(eager)
    # what is stored by columns has no rows in one piece: the eager engine reduces over its units
    plan = printed.optimizer.plan().splitlines()
    assert plan[0].startswith("triton ")
    assert len(plan) <= 2
