"""Models that diverge or fail leave the stack, and trouble no other."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.exact import same
from tests.race.stack.subjects import (
    SETTING,
    alone,
    assert_same_curve,
    entrant,
    records_alone,
    stacked,
    task,
    trials,
)
from thalweg import optim
from thalweg.objective import Cost
from thalweg.race.entrants.known import Entrant
from thalweg.race.stack import run as module
from thalweg.race.stack import run_stack
from thalweg.race.trials.plan import Trial, Unit
from thalweg.race.trials.point import Point

WILD = Cost(lambda o, t: o.pow(4).mean(), metrics="accuracy")
"""A loss that a high rate takes to infinity."""


def wild(rates: list[float], epochs: int = 6, seeds: tuple[int, ...] = (0, 1)) -> Unit:
    return trials([entrant(optim.SGD), entrant(torch.optim.SGD, "torch")], rates, seeds, epochs)


def assert_close(ours: Any, theirs: Any) -> None:
    """Assert that columns agree; a value that is not finite is None."""
    assert [value is None for value in ours] == [value is None for value in theirs]
    finite = [value for value in theirs if value is not None]
    assert [value for value in ours if value is not None] == pytest.approx(finite, rel=1e-8)


def assert_same_records(subject: Any, unit: Unit) -> list[Any]:
    ours, theirs = run_stack(subject, unit, SETTING), records_alone(subject, unit)
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.status == other.status, (mine.error, other.error)
        assert mine.error == other.error
        assert mine.steps == other.steps
        assert mine.final == pytest.approx(other.final)
        assert mine.curve.steps == other.curve.steps
        assert mine.curve.epochs == other.curve.epochs
        assert mine.curve.gradients == other.curve.gradients
        assert_close(mine.curve.loss, other.curve.loss)
        assert_close(mine.curve.metric, other.curve.metric)
        assert (mine.key, mine.entrant, mine.lr, mine.seed) == (
            other.key,
            other.entrant,
            other.lr,
            other.seed,
        )
        assert (mine.stage, mine.epochs, mine.hyperparameters) == (
            other.stage,
            other.epochs,
            other.hyperparameters,
        )
    return list(ours)


@pytest.mark.parametrize("share", [[0.01, 0.1, 1e3, 0.02, 0.03], [1e3, 0.1, 2e4], [1e3, 1e4]])
def test_diverged(share: list[float]) -> None:
    """A few, most (the stack is put together again) and all diverge, with the words of a run alone."""
    records = assert_same_records(task(cost=WILD), wild(share))
    assert any(record.status == "diverged" for record in records)
    assert {record.stacked for record in records} == {len(wild(share))}


def test_what_a_diverged_model_leaves_behind() -> None:
    """Its run is that of a run alone, and the others are what they would be without it."""
    subject, unit = task(cost=WILD), wild([0.01, 1e3, 2e4, 0.1])
    members = stacked(subject, unit)
    fine = [k for k, member in enumerate(members) if member.status == "finished"]
    assert 0 < len(fine) < len(unit)
    runs = alone(subject, tuple(unit[k] for k in fine))
    for k, run in zip(fine, runs, strict=True):
        assert_same_curve(members[k].run, run, 1e-10, unit[k][0])
        for ours, theirs in zip(members[k].model.parameters(), run.model.parameters(), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


def test_nan_from_the_first_step() -> None:
    def spoil(model: torch.nn.Module) -> None:
        next(model.parameters()).fill_(float("nan"))

    bad = Entrant("bad", optim.SGD, initialization=spoil)
    records = assert_same_records(task(), trials([bad, entrant(optim.Adam)], [0.1], [0, 1]))
    assert [record.status for record in records] == ["diverged", "finished"] * 2
    assert "initial parameters" in records[0].error


def test_a_loss_that_is_nan_before_any_step() -> None:
    def logarithm(outputs: Any, targets: Any) -> Any:
        return outputs.log().mean()

    records = assert_same_records(task(cost=Cost(logarithm, metrics="accuracy")), wild([0.1]))
    assert all("logarithm" in record.error and record.steps == 0 for record in records)


class Breaks(torch.optim.SGD):
    """Raises at its fifth step."""

    def step(self, closure: Any = None) -> Any:
        self.taken = getattr(self, "taken", 0) + 1
        if self.taken == 5:
            raise ArithmeticError("five")
        return super().step(closure)


def _negative(lr: float, steps: int) -> Any:
    return lambda k: lr if k < 4 else -1.0


def test_failing_optimizers() -> None:
    def refuses(params: Any, lr: float) -> Any:
        raise ValueError("not today")

    several = [
        Entrant("breaks", Breaks),
        Entrant("schedule", optim.Adam, schedule=_negative),
        Entrant("refuses", refuses),
        Entrant("scheduled torch", torch.optim.SGD, schedule="cosine"),
        entrant(optim.Adam),
        entrant(torch.optim.Adam, "torch"),
    ]
    records = assert_same_records(task(), trials(several, [0.1], [0, 1]))
    assert [record.status for record in records[:6]] == ["failed"] * 3 + ["finished"] * 3
    assert "in epoch 1, batch 5. test_leaving.py" in records[0].error
    assert records[0].error.endswith("ArithmeticError: five.")
    assert "ValueError: Invalid learning rate" in records[1].error


def test_what_cannot_be_stacked_is_trained_one_by_one() -> None:
    closures = Entrant("lbfgs", torch.optim.LBFGS)
    unit = trials([closures, entrant(optim.Adam)], [0.1], [0], epochs=2)
    records = assert_same_records(task(), unit)
    assert {record.stacked for record in records} == {1}
    assert [record.status for record in records] == ["finished", "finished"]


def test_a_stack_of_this_task_is_not_trained_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else every test of records would compare runs alone with themselves."""
    monkeypatch.setattr(module, "run_trial", None)
    records = run_stack(task(), wild([0.01, 0.1], epochs=2), SETTING)
    assert [record.status for record in records] == ["finished"] * len(records)
    assert all(record.seconds > 0 and record.steps == 12 for record in records)
    # 44 rows in batches of 8, all of which are a batch of the task
    rows = [8, 16, 24, 32, 40, 44, 52, 60, 68, 76, 84, 88]
    for record in records:
        assert (record.gradients, record.unit) == (2.0, 44)
        assert record.curve.gradients == tuple(round(seen / 44, 6) for seen in rows)


def test_an_optimizer_that_draws_from_the_global_generator() -> None:
    class Draws(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            for group in self.param_groups:
                for p in group["params"]:
                    p.data.add_(torch.randn_like(p), alpha=1e-3)
            return super().step(closure)

    records = assert_same_records(task(), trials([entrant(Draws)], [0.1], [0, 1], epochs=2))
    assert {record.stacked for record in records} == {1}


def test_an_interrupt_is_passed_on() -> None:
    class Interrupts(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_stack(task(), trials([entrant(Interrupts)], [0.1], [0, 1]), SETTING)


def test_the_global_generator_is_left_as_it_was() -> None:
    torch.manual_seed(17)
    before = torch.get_rng_state()
    run_stack(task(), wild([0.01, 1e4], epochs=1), SETTING)
    same(before, torch.get_rng_state(), because="no random number was drawn")


def test_records_of_points() -> None:
    point = Point(0.1, (("momentum", 0.5),))
    pair = tuple((str(s), Trial(entrant(optim.SGD), point, s, 2, "final")) for s in (3, 4))
    records = assert_same_records(task(), pair)
    assert records[0].hyperparameters == {"momentum": 0.5}
    assert records[0].stage == "final"
