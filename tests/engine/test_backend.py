"""The seam for engines: another engine steps what it can, and the plan needs no change for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch.nn import Parameter

import thalweg
from tests.exact import close
from thalweg import rules
from thalweg.engine.backends import backends
from thalweg.engine.cohort import Cohort
from thalweg.engine.eager.backend import Eager, EagerBatch
from thalweg.engine.member import Member
from thalweg.engine.passes import Pass
from thalweg.engine.program.program import Program
from thalweg.optim.stepping import stepper

SHAPES = [(3, 4), (5,), (2, 2), (7,), ()]


class Matrices:
    """An engine that steps all matrices of a dtype as one batch."""

    name = "matrices"
    alone = False

    def problem(self, program: Program) -> str | None:
        return "no signs" if any(v.op == "sign" for v in program.values) else None

    def kind(self, member: Member) -> torch.dtype | None:
        return member.param.dtype if member.param.ndim == 2 else None

    def refusal(self, member: Member) -> str | None:
        return None if member.param.ndim == 2 else "no matrix"

    def batch(self, cohort: Cohort, kind: Any, positions: Sequence[int]) -> MatrixBatch:
        return MatrixBatch(cohort, positions)


class MatrixBatch:
    moved = False

    def __init__(self, cohort: Cohort, positions: Sequence[int]) -> None:
        self.parts = [EagerBatch(cohort, cohort.members[k], cohort.row_of[k]) for k in positions]

    def holds(self) -> bool:
        return all(part.holds() for part in self.parts)

    def prepare(self) -> list[Any] | None:
        read = [part.prepare() for part in self.parts]
        return None if any(each is None for each in read) else read

    def step(self, prepared: list[Any], count: int) -> None:
        for part, grad in zip(self.parts, prepared, strict=True):
            part.step(grad, count)

    def run(self, prepared: list[Any], count: int) -> Pass:
        passes = [part.run(grad, count) for part, grad in zip(self.parts, prepared, strict=True)]
        sent: Any = None
        while True:
            shares = []
            for each in passes:
                try:
                    shares.append(each.send(sent))
                except StopIteration:
                    continue
            if not shares:
                return
            sent = yield tuple(sum(column) for column in zip(*shares, strict=True))

    def describe(self) -> str:
        return f"matrices  {len(self.parts)}"


def path(chain: thalweg.Chain, shapes: Sequence[tuple[int, ...]] = SHAPES) -> tuple[Any, str]:
    """Return the parameters after some steps, and what ran how."""
    draws = torch.Generator().manual_seed(0)
    params = [Parameter(torch.randn(s, generator=draws, dtype=torch.float64)) for s in shapes]
    optimizer = thalweg.Optimizer(params, chain, lr=0.1, engine="eager")
    for _ in range(4):
        for p in params:
            p.grad = torch.randn(p.shape, generator=draws, dtype=torch.float64)
        optimizer.step()
    return [p.detach() for p in params], optimizer.plan()


@pytest.mark.parametrize(
    "chain",
    [
        thalweg.chain(rules.adam()),
        thalweg.chain(rules.clip_by_norm(0.5), rules.momentum(0.9)),
        thalweg.chain(rules.clip_by_global_norm(0.5), rules.adam(), rules.ema(0.9)),
        thalweg.chain(rules.prodigy()),
    ],
    ids=["one pass", "a norm of each tensor", "a norm over all", "numbers from reductions"],
)
def test_a_new_engine_fits_without_a_change_of_the_plan(
    chain: thalweg.Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, _ = path(chain)
    monkeypatch.setattr(stepper, "backends", lambda engine: (Matrices(), Eager()))
    params, plan = path(chain)
    assert "matrices  2" in plan
    assert plan.count("eager") == 3
    assert plan.count("not matrices: no matrix") == 3
    close(params, expected, ulps=64, because="shares of a sum over all are added in another order")


def test_what_an_engine_cannot_run_goes_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stepper, "backends", lambda engine: (Matrices(), Eager()))
    for shape, reason in (((2, 2), "no signs"), ((3,), "no matrix")):
        chain = thalweg.chain(rules.sign() if reason == "no signs" else rules.adam())
        plan = path(chain, [shape])[1]
        assert plan == f"eager  {shape} float64 cpu; not matrices: {reason}"


def test_the_last_engine_steps_what_shares_memory_one_after_the_other() -> None:
    asked = [(each.name, each.alone) for each in backends("auto")]
    assert asked == [("fused", True), ("foreach", True), ("eager", False)]
    assert [each.name for each in backends("foreach")] == ["foreach", "eager"]
    assert [each.name for each in backends("eager")] == ["eager"]
