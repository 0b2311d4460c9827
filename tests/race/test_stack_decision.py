"""Whether trials train in stacks: as asked, or as pays; and who trains alone all the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.race.races import TRIALS, outcome, small
from tests.race.tasks import line
from thalweg import meta, optim
from thalweg.errors import TaskError
from thalweg.race import Entrant, Race
from thalweg.race.entrants.space import uniform


def finals(contest: Race) -> dict[tuple[Any, ...], float | None]:
    return {
        (r.entrant, r.lr, *r.hyperparameters.items(), r.seed, r.epochs): r.final
        for r in contest.result().records
    }


def units(contest: Race) -> set[tuple[str, int]]:
    return {(record.entrant, record.stacked) for record in contest.result().records}


def ran(**settings: Any) -> Race:
    contest = Race(line(), **(small(out=None) | settings))
    contest.run()
    return contest


@pytest.mark.parametrize("stack", [False, 0, 1])
def test_alone_as_asked(stack: bool | int) -> None:
    contest = ran(stack=stack)
    assert units(contest) == {("sgd", 1), ("adam", 1)}
    assert contest.result().to_dict()["run"]["stacking"] == "each trial trains alone, as asked"


@pytest.mark.parametrize("stack", [True, 2, 3, 8, 99])
def test_stacks_give_what_trials_alone_give(stack: bool | int) -> None:
    together, alone = ran(stack=stack), ran(stack=False)
    assert finals(together) == pytest.approx(finals(alone), rel=1e-4)
    sizes = {size for _, size in units(together)}
    assert max(sizes) == {True: max(sizes), 2: 2, 3: 3, 8: 8, 99: 8}[stack] > 1
    ours, theirs = outcome(together), outcome(alone)
    assert ours["chosen"] == theirs["chosen"]


def test_what_pays_is_measured_once_and_decides_again(tmp_path: Path) -> None:
    first = ran(stack=None, out=tmp_path)
    (key, held), *_ = (
        pair
        for pair in json.loads((tmp_path / "measured.json").read_text())["measured"].items()
        if pair[0].startswith("stacking")
    )
    assert first.result().to_dict()["run"]["stacking"] == held["why"]
    for decided in (True, False):
        document = json.loads((tmp_path / "measured.json").read_text())
        document["measured"][key] = {"stack": decided, "size": 5, "why": "planted"}
        (tmp_path / "measured.json").write_text(json.dumps(document))
        again = Race(line(), **small(stack=None), out=tmp_path)
        again.prepare()
        assert (again.stacking.size, again.stacking.why) == (5 if decided else 1, "planted")


def test_who_cannot_be_stacked_trains_alone_and_the_others_together() -> None:
    def sam(params: Any, lr: float) -> torch.optim.Optimizer:
        return meta.SAM(torch.optim.SGD(params, lr))

    entrants = ["sgd", Entrant("sam", sam, {}, (0.03, 0.3)), "adam"]
    contest = ran(stack=8, entrants=entrants)
    sizes = units(contest)
    assert ("sam", 1) in sizes
    assert {size for name, size in sizes if name != "sam"} == {8, 4}
    assert contest.stacking.why.startswith("up to 8 models train together, as asked; alone: sam")
    assert list(contest.stacking.alone) == ["sam"]
    assert finals(contest) == pytest.approx(finals(ran(stack=False, entrants=entrants)), rel=1e-4)


def test_what_cannot_be_stacked_is_refused_where_it_was_asked_for() -> None:
    class Branching(nn.Linear):
        def forward(self, x: Any) -> Any:
            y = super().forward(x)
            return y if y.sum() > 0 else 2 * y

    task = line(model=lambda: Branching(1, 1))
    for wanted in (True, 4):
        with pytest.raises(TaskError, match=r"cannot be stacked.*branches on the data"):
            Race(task, **small(stack=wanted), out=None).run()
    contest = Race(task, **small(stack=None), out=None)
    contest.prepare()
    assert contest.stacking.size == 1
    assert "branches on the data" in contest.stacking.why


def test_searched_values_schedules_and_lengths_are_stacked() -> None:
    entrants = [
        Entrant("sgd", optim.SGD, {}, (0.01, 0.3), {"momentum": uniform(0.1, 0.9)}, "cosine"),
        Entrant("adam", optim.Adam, {}, (0.01, 0.3), initialization="zeros"),
    ]
    settings: dict[str, Any] = {
        "entrants": entrants, "lrs": None, "search": "halving", "trials": 3, "epochs": 9,
    }  # fmt: skip
    together, alone = ran(stack=16, **settings), ran(stack=False, **settings)
    assert finals(together) == pytest.approx(finals(alone), rel=1e-4)
    assert {record.epochs for record in together.result().records} == {1, 3, 9}


def test_a_lost_trial_leaves_the_stack_and_the_others_go_on() -> None:
    def fails(params: Any, lr: float) -> torch.optim.Optimizer:
        if lr > 1e20:
            raise OSError("out")
        return optim.SGD(params, lr)

    entrants = [
        Entrant("sgd", optim.SGD, {}, (0.3, 1e30)),
        Entrant("fails", fails, {}, (0.3, 1e30)),
    ]
    contest = ran(stack=8, entrants=entrants, lrs=None)
    status = {(r.entrant, r.lr): r.status for r in contest.result().records}
    assert status == {
        ("sgd", 0.3): "finished",
        ("sgd", 1e30): "diverged",
        ("fails", 0.3): "finished",
        ("fails", 1e30): "failed",
    }
    own = {key: final for key, final in finals(contest).items() if final is not None}
    other = finals(ran(stack=False, entrants=entrants, lrs=None))
    assert own == pytest.approx({key: other[key] for key in own}, rel=1e-4)


def broken(params: Any, lr: float) -> torch.optim.Optimizer:
    raise TypeError("it takes no lr")


class Stumbles(torch.optim.SGD):
    def step(self, closure: Any = None) -> Any:
        raise OSError("the step is out")


@pytest.mark.parametrize("factory", [broken, Stumbles])
def test_an_entrant_that_fails_keeps_nobody_from_stacking(
    factory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("thalweg.race.stack.choice._GAIN", 0.0)
    entrants = ["sgd", Entrant("fails", factory, {}, (0.03, 0.3)), "adam"]
    for stack in (None, True, 8):
        contest = ran(stack=stack, entrants=entrants)
        sizes = units(contest)
        assert min(size for name, size in sizes if name != "fails") > 1, contest.stacking
        assert {size for name, size in sizes if name == "fails"} == {1}
        assert contest.stacking.alone == ("fails",)
        assert "alone: fails (" in contest.stacking.why
    alone = ran(stack=8, entrants=[entrants[1]])
    assert alone.stacking.why == "each trial trains alone: the first steps of every entrant fail"
    assert {record.status for record in alone.result().records} == {"failed"}


def test_a_rate_that_is_refused_does_not_decide_whether_stacking_pays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(params: Any, lr: float) -> torch.optim.Optimizer:
        if lr > 1:
            raise ValueError("lr is at most 1")
        return optim.SGD(params, lr)

    monkeypatch.setattr("thalweg.race.stack.choice._GAIN", 0.0)
    entrants = ["sgd", Entrant("fails", fails, {}, (0.3, 3.0)), "adam"]
    contest = ran(stack=None, entrants=entrants, lrs=[0.3, 3.0])
    assert contest.stacking.size > 1, contest.stacking
    assert contest.stacking.alone == ()
    assert all(size > 1 for name, size in units(contest) if name != "fails")


def test_what_is_searched_and_has_no_default_is_stacked() -> None:
    def needs(params: Any, lr: float, momentum: float) -> torch.optim.Optimizer:
        return optim.SGD(params, lr, momentum=momentum)

    entrant = Entrant("needs", needs, {}, (0.01, 0.3), {"momentum": uniform(0.1, 0.9)})
    contest = ran(stack=8, entrants=[entrant], lrs=None, trials=3)
    assert contest.stacking.alone == ()
    assert all(size > 1 for _, size in units(contest))


def test_an_interrupted_race_of_stacks_goes_on(tmp_path: Path) -> None:
    whole = ran(stack=4)

    contest = Race(line(), **small(stack=4), out=tmp_path)
    told = 0

    def stop(progress: Any) -> None:
        nonlocal told
        told += 1
        if told == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        contest.run(stop)
    kept = len(contest.result().records)
    assert kept in (4, 8)
    resumed = Race(line(), **small(stack=4), out=tmp_path)
    resumed.prepare()
    assert resumed.reused == kept
    resumed.run()
    assert outcome(resumed) == outcome(whole)
    assert len(resumed.result().records) == TRIALS
