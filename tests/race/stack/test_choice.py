"""Whether to stack, and what goes into one stack."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from tests.exact import same
from tests.race.stack.subjects import SETTING, entrant, task, trials
from thalweg import optim
from thalweg.race.stack import StackChoice, choice, stacks, worth_it

ADAM = entrant(optim.Adam)


def _unit(epochs: int = 3, seeds: int = 6, name: str = "") -> Any:
    return trials([entrant(optim.Adam, name)], [0.01, 0.1], range(seeds), epochs)


def _trials(**how: Any) -> list[Any]:
    return [trial for _, trial in _unit(**how)]


def _clock(monkeypatch: pytest.MonkeyPatch, stacked: float) -> None:
    """Let a step or an evaluation of one model take a second, and one of a stack so many."""

    def time(step: Any, device: Any) -> float:
        step()
        return stacked if step.__name__ in ("try_step", "measured") else 1.0

    monkeypatch.setattr(choice, "_time", time)
    monkeypatch.setattr(choice, "_STEP", 4.0)


def test_a_stack_that_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    _clock(monkeypatch, stacked=0.5)
    chosen = worth_it(task(), _trials(), SETTING)
    assert chosen == StackChoice(True, 12, "stacked: 8 × faster in stacks of 12")


def test_a_stack_that_does_not_pay(monkeypatch: pytest.MonkeyPatch) -> None:
    _clock(monkeypatch, stacked=8.0)
    chosen = worth_it(task(), _trials(), SETTING)
    assert chosen == StackChoice(False, 1, "one by one: a stack of 4 would be 0.5 × as fast")


def test_memory_bounds_a_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    _clock(monkeypatch, stacked=0.5)
    small = choice._footprint(
        choice.recipe_of(task(), _trials()[0], SETTING), choice.probe_task(task())
    )
    monkeypatch.setattr(choice, "_BYTES", 5 * small + 1)
    assert worth_it(task(), _trials(), SETTING).size == 5


def test_the_footprint_counts_what_the_backward_pass_keeps() -> None:
    def bytes_of(width: int) -> int:
        subject = task(lambda: nn.Sequential(nn.Linear(4, width), nn.Tanh(), nn.Linear(width, 3)))
        recipe = choice.recipe_of(subject, _trials()[0], SETTING)
        return choice._footprint(recipe, choice.probe_task(subject))

    # of each unit: 4 + 1 + 3 parameters of 8 bytes, and at least one activation for 8 rows
    assert bytes_of(101) - bytes_of(100) >= 8 * (8 * 8 + 8)


def test_a_single_trial_is_no_stack() -> None:
    assert not worth_it(task(), _trials(seeds=1)[:1], SETTING).stack


def test_what_cannot_be_measured_is_trained_one_by_one() -> None:
    chosen = worth_it(
        task(), [t for _, t in trials([entrant(torch.optim.LBFGS)], [0.1], [0, 1])], SETTING
    )
    assert not chosen.stack
    assert chosen.why.startswith("one by one: StackError")


def test_measuring_leaves_no_trace() -> None:
    torch.manual_seed(5)
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    assert worth_it(task(), _trials(), SETTING).size >= 1
    same(before, torch.get_rng_state(), because="no random number was drawn")
    assert torch.get_num_threads() == threads


def test_stacks_are_balanced_and_keep_the_order() -> None:
    pairs = _unit(seeds=5)
    units = stacks(pairs, 4)
    assert [len(unit) for unit in units] == [3, 4, 3]
    assert [pair for unit in units for pair in unit] == list(pairs)
    assert stacks(pairs, 10) == [pairs]


def test_what_does_not_go_together() -> None:
    short, long, lone = (
        _unit(epochs=2, seeds=2),
        _unit(epochs=4, seeds=1),
        _unit(name="lone", seeds=1),
    )
    units = stacks((*short, *long, *lone), 100, alone={"lone"})
    assert units == [(lone[0],), (lone[1],), short, long]
    assert stacks(short, 1) == [(pair,) for pair in short]
    assert stacks((), 8) == []
