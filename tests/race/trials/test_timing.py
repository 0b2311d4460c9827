"""Seconds a step: measured in turns, without a trace, and not of entrants that fail."""

from __future__ import annotations

import functools
import time
from typing import Any

import pytest
import torch
from torch.utils.data import IterableDataset

from tests.exact import same
from tests.race.tasks import line
from thalweg import meta, optim
from thalweg.race import Entrant, Point
from thalweg.race.trials import timing as timing_module
from thalweg.race.trials.plan import Setting
from thalweg.race.trials.step_time import StepTime
from thalweg.race.trials.timing import measure_seconds
from thalweg.tasks import Task

SETTING = Setting(16, "mse", "min")


def timed(*entrants: Entrant, task: Task | None = None) -> dict[str, StepTime]:
    points = {entrant.name: (entrant, Point(0.1)) for entrant in entrants}
    return measure_seconds(task or line(), points, SETTING)


def measured(*entrants: Entrant, task: Task | None = None) -> dict[str, float]:
    return {name: time.seconds for name, time in timed(*entrants, task=task).items()}


class Slow(torch.optim.SGD):
    """SGD that waits for three milliseconds a step."""

    def step(self, closure: Any = None) -> Any:
        end = time.perf_counter() + 3e-3
        while time.perf_counter() < end:
            pass
        return super().step(closure)


def test_a_slow_optimizer_is_found_to_be_slow() -> None:
    seconds = measured(Entrant("slow", Slow), Entrant("fast", torch.optim.SGD))
    assert seconds["slow"] > 3e-3
    assert seconds["slow"] > seconds["fast"] > 0


def test_the_turns_are_kept_with_their_spread_and_the_share_of_a_processor() -> None:
    """An optimizer that takes twice as long at every other step, and one that sleeps."""

    class Uneven(Slow):
        steps = 0

        def step(self, closure: Any = None) -> Any:
            self.steps += 1
            return super().step(closure) if self.steps % 2 else torch.optim.SGD.step(self, closure)

    class Sleeping(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            time.sleep(0.01)
            return super().step(closure)

    times = timed(Entrant("uneven", Uneven), Entrant("sleeping", Sleeping))
    uneven, sleeping = times["uneven"], times["sleeping"]
    assert uneven.error is not None
    assert uneven.error.repetitions == len(uneven.turns) == 11
    assert uneven.error.spread > 0.3
    assert sleeping.busy is not None
    assert 0 <= sleeping.busy < 0.9


def test_who_evaluates_the_objective_twice_pays_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    passes = 0
    backward = torch.autograd.backward

    def counted(*arguments: Any, **options: Any) -> None:
        nonlocal passes
        passes += 1
        backward(*arguments, **options)

    monkeypatch.setattr(torch.autograd, "backward", counted)
    measured(Entrant("sgd", torch.optim.SGD))
    plain, passes = passes, 0
    sam = Entrant("sam", lambda params, lr: meta.SAM(torch.optim.SGD(params, lr)))
    assert set(measured(sam)) == {"sam"}
    assert passes == 2 * plain
    lbfgs = Entrant("lbfgs", functools.partial(torch.optim.LBFGS, max_iter=2))
    assert set(measured(lbfgs)) == {"lbfgs"}


def raising(at: int) -> Entrant:
    class Raising(torch.optim.SGD):
        steps = 0

        def step(self, closure: Any = None) -> Any:
            self.steps += 1
            if self.steps > at:
                raise FloatingPointError("no more")
            return super().step(closure)

    return Entrant(f"raising at {at}", Raising)


def test_entrants_that_raise_at_once_or_later_are_left_out() -> None:
    def unbuilt(params: Any, lr: float) -> Any:
        raise OSError

    lost = [raising(0), raising(2), raising(5), Entrant("unbuilt", unbuilt)]
    assert set(measured(lost[0], Entrant("sgd", optim.SGD), *lost[1:])) == {"sgd"}
    assert measured(*lost) == {}
    assert measured() == {}


def test_data_that_can_be_run_through_once_are_left_out() -> None:
    class Once(IterableDataset[Any]):
        def __init__(self) -> None:
            rows = [(torch.zeros(1), torch.zeros(1))] * 64
            self.rows = iter(rows)

        def __iter__(self) -> Any:
            return self.rows

    assert measured(Entrant("sgd", optim.SGD), task=line(data=Once(), target=None)) == {}


def test_entrants_take_turns_at_going_first(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []

    def noting(name: str) -> Entrant:
        class Noting(torch.optim.SGD):
            def step(self, closure: Any = None) -> Any:
                order.append(name)
                return super().step(closure)

        return Entrant(name, Noting)

    monkeypatch.setattr(timing_module, "_SECONDS_A_TURN", 0.0)
    measured(noting("a"), noting("b"))
    assert "".join(order) == "aaabbb" + "abba" * 5 + "ab"


def test_schedules_initializations_and_searched_values_are_those_of_the_entrant() -> None:
    seen: list[Any] = []

    class Noting(optim.SGD):
        def __init__(self, params: Any, lr: Any, **others: Any) -> None:
            super().__init__(params, lr, **others)
            seen.append(
                (callable(lr), others, [p.tolist() for p in self.param_groups[0]["params"]])
            )

    entrant = Entrant(
        "noting", Noting, {"nesterov": True}, schedule="cosine", initialization="ones"
    )
    point = Point(0.1, (("momentum", 0.5),))
    measure_seconds(line(), {"noting": (entrant, point)}, SETTING)
    ((scheduled, others, (weight, _)),) = seen
    assert (scheduled, others, weight) == (True, {"nesterov": True, "momentum": 0.5}, [[1.0]])


def test_the_random_state_is_left_as_it_was() -> None:
    before = torch.random.get_rng_state()
    measured(Entrant("sgd", torch.optim.SGD, initialization="normal"), raising(1))
    same(torch.random.get_rng_state(), before, because="no random number was drawn")
