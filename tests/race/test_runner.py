"""A race as a whole: what it runs, and what comes of it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from tests.exact import RERUN, differs, same
from tests.race.races import TRIALS, by_stage, outcome, small
from tests.race.tasks import Spy, line
from thalweg import meta, optim
from thalweg.errors import TaskError
from thalweg.objective import Cost
from thalweg.race import Entrant, Race, RaceProgress, race
from thalweg.race.entrants.space import choice, uniform
from thalweg.tasks import Data, Task
from thalweg.train import fit


def test_a_trial_is_what_fit_gives() -> None:
    result = race(
        line(batch_size=16), ["sgd"], [0.1], seeds=[3], final_seeds=[7], epochs=20, out=None
    )
    assert [(record.stage, record.seed) for record in result.records] == [
        ("tuning", 3),
        ("final", 7),
    ]
    for record in result.records:
        run = fit(
            line(), optim.SGD, lr=0.1, epochs=20, batch_size=16, seed=record.seed, progress=False
        )
        assert record.status == "finished"
        assert record.steps == record.gradients == run.steps == 60
        assert record.final == run.history[-1].validation["mse"]  # type: ignore[index]
        # fit looks after each epoch of three steps, the race at every step
        assert record.curve.steps == tuple(range(1, 61))
        assert record.curve.gradients == tuple(map(float, range(1, 61)))
        assert list(record.curve.metric[2::3]) == pytest.approx(
            run.history.column("validation_mse"), rel=1e-11
        )
        assert record.epochs == record.curve.epochs[-1] == 20


def test_everyone_has_the_same_budget() -> None:
    contest = Race(line(), **small(), out=None)
    contest.run()
    for stage, each in (("tuning", 4), ("final", 2)):
        records = by_stage(contest, stage)
        assert [record.entrant for record in records].count("sgd") == each
        assert [record.entrant for record in records].count("adam") == each
        assert {record.gradients for record in records} == {4.0}
    assert {record.seed for record in by_stage(contest, "tuning")} == {0, 1}
    assert {record.seed for record in by_stage(contest, "final")} == {2, 3}


def test_who_computes_two_gradients_a_step_takes_half_the_steps() -> None:
    def sam(params: Any, lr: float) -> torch.optim.Optimizer:
        return meta.SAM(torch.optim.SGD(params, lr))

    lbfgs = Entrant("lbfgs", torch.optim.LBFGS, {"max_iter": 3}, (1.0,))
    entrants = [Entrant("sam", sam, {}, (0.1,)), Entrant("sgd", optim.SGD, {}, (0.1,)), lbfgs]
    result = race(
        line(batch_size=12), entrants, seeds=1, final_seeds=2, epochs=8, stack=False, out=None
    )
    of = {record.entrant: record for record in result.records if record.stage == "final"}
    assert (of["sgd"].steps, of["sgd"].gradients) == (32, 32.0)
    assert (of["sam"].steps, of["sam"].gradients) == (16, 32.0)
    assert of["sam"].curve.gradients == tuple(2.0 * step for step in of["sam"].curve.steps)
    assert 32 <= of["lbfgs"].gradients < 32 + 4  # it does not stop within a step
    assert of["lbfgs"].steps < 32
    assert all(record.status == "finished" for record in of.values())


def test_a_seed_gives_all_entrants_the_same_weights_and_data_order() -> None:
    twins = [Entrant("one", Spy, {}, (0.1,)), Entrant("two", Spy, {}, (0.1,))]
    contest = Race(
        line(), twins, seeds=2, final_seeds=1, epochs=2, batch_size=16, stack=False, out=None
    )
    contest.prepare()
    Spy.notes.clear()  # those of the warm-up
    contest.run()
    notes = Spy.notes[:6]  # then the steps are timed
    order = ["one", "two"] * 3
    assert [record.entrant for record in contest.result().records] == order
    for (weights, gradients), (others, theirs) in zip(notes[::2], notes[1::2], strict=True):
        assert len(gradients) == 6
        same(weights, others, because="a copy")
        same(gradients, theirs, because=RERUN)
    (first, first_gradients), (second, second_gradients) = notes[0], notes[2]
    differs(first, second, everywhere=True)
    differs(first_gradients, second_gradients, everywhere=True)


def test_planted_speeds_are_ranked_by_the_final_alone() -> None:
    entrants = [
        Entrant("slow", optim.SGD, {}, (0.03,)),
        Entrant("fast", optim.SGD, {}, (0.3, 1e-5)),
        Entrant("never", optim.SGD, {}, (1e-6,)),
    ]
    result = race(
        line(), entrants, trials=2, seeds=1, final_seeds=6, epochs=100, batch_size=None,
        stack=False, out=None,
    )  # fmt: skip
    places = [(p["entrant"], p["trials"], p["reached"]) for p in result.to_dict()["standings"]]
    assert places == [("fast", 6, 6), ("slow", 6, 6), ("never", 6, 0)]
    fast, slow, never = result.to_dict()["standings"]
    assert fast["lr"] > 0.1
    assert fast["steps"] < slow["steps"]
    assert never["steps"] is None
    assert result.judgement.to_dict()["judged_on"] == "final"


def test_what_a_trial_ends_in_is_a_result_and_the_others_go_on() -> None:
    def fails(params: Any, lr: float) -> torch.optim.Optimizer:
        if lr == 0.2:
            raise OSError("the optimizer is out")
        if lr == 0.4:
            raise MemoryError
        return torch.optim.SGD(params, lr)

    class Spoilt(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            self.param_groups[0]["params"][0].data.fill_(math.nan)

    entrants = [
        Entrant("sgd", optim.SGD, {}, (0.1, 1e30)),
        Entrant("fails", fails, {}, (0.1, 0.2, 0.4)),
        Entrant("spoilt", Spoilt, {}, (0.1,)),
    ]
    result = race(
        line(), entrants, trials=3, seeds=1, final_seeds=1, epochs=4, stack=False, out=None
    )
    own = {0.1, 0.2, 0.4, 1e30}
    status = {
        (record.entrant, record.lr): record.status for record in result.records if record.lr in own
    }
    assert status == {
        ("sgd", 0.1): "finished",
        ("sgd", 1e30): "diverged",
        ("fails", 0.1): "finished",
        ("fails", 0.2): "failed",
        ("fails", 0.4): "failed",
        ("spoilt", 0.1): "diverged",
    }
    errors = {(record.entrant, record.lr): record.error for record in result.records}
    assert errors["sgd", 0.1] is None
    assert errors["fails", 0.2] == "OSError: the optimizer is out"
    assert (errors["fails", 0.4] or "").startswith("MemoryError")
    assert "step" in (errors["sgd", 1e30] or "")
    # who lost everything has no final
    assert {record.entrant for record in by_stage(result, "final")} == {"sgd", "fails"}
    document = result.to_dict()
    assert [place["entrant"] for place in document["standings"]][-1] == "spoilt"
    assert document["run"]["planned"] == document["run"]["finished"] == 9 + 2


@pytest.mark.parametrize("search", ["quasi-random", "halving", "tpe"])
def test_every_search_runs_and_goes_on(search: str, tmp_path: Path) -> None:
    if search == "tpe":
        pytest.importorskip("optuna")
    momentum = Entrant("momentum", optim.SGD, {}, (0.01, 1.0), {"momentum": uniform(0.1, 0.9)})
    nesterov = Entrant(
        "nesterov", optim.SGD, {"momentum": 0.9}, (0.01, 1.0), {"nesterov": choice(False, True)}
    )
    settings = small(
        entrants=[momentum, nesterov], lrs=None, search=search, trials=4, epochs=9, seeds=1
    )
    whole = Race(line(), **settings, out=tmp_path)
    whole.run()
    result = whole.result()
    tuned = {name: [r for r in by_stage(whole, "tuning") if r.entrant == name] for name in
             ("momentum", "nesterov")}  # fmt: skip
    spent = {name: sum(record.gradients for record in records) for name, records in tuned.items()}
    assert spent["momentum"] == spent["nesterov"] <= 4 * 9
    assert all(set(record.hyperparameters) == {"momentum"} for record in tuned["momentum"])
    final = by_stage(whole, "final")
    assert len(final) == 4
    for name in tuned:
        (point,) = {(r.lr, *r.hyperparameters.items()) for r in final if r.entrant == name}
        longest = [r for r in tuned[name] if r.epochs == 9]
        assert point in {(r.lr, *r.hyperparameters.items()) for r in longest}
    document = json.loads(result.to_json())
    assert document["budget"]["search"] == search
    assert document["entrants"][0]["chosen"].keys() == {"lr", "momentum"}

    lines = (tmp_path / "records.jsonl").read_bytes().splitlines(keepends=True)
    for kept in (1, len(lines) // 2, len(lines) - 1):
        (tmp_path / "records.jsonl").write_bytes(b"".join(lines[:kept]))
        resumed = Race(line(), **settings, out=tmp_path)
        resumed.prepare()
        assert resumed.reused == kept
        resumed.run()
        assert outcome(resumed) == outcome(whole)


def test_a_grid_for_more_than_the_rate_is_refused() -> None:
    entrant = Entrant("sgd", optim.SGD, {}, (0.1,), {"momentum": uniform(0.1, 0.9)})
    assert Race(line(), [entrant], out=None, stack=False).plan.search == "quasi-random"
    with pytest.raises(TaskError, match="grid searches the learning rate alone"):
        Race(line(), [entrant], search="grid", out=None, stack=False)


def test_schedules_and_initializations_take_part() -> None:
    entrants = ["sgd", "sgd+cosine", Entrant("zeros", optim.SGD, {}, initialization="zeros")]
    result = race(line(), **small(entrants=entrants), out=None)
    (plain, cosine, zeros) = (
        next(r for r in result.records if r.entrant == name and r.lr == 0.3 and r.seed == 2)
        for name in ("sgd", "sgd+cosine", "zeros")
    )
    first = [record.curve.metric[0] for record in (plain, cosine, zeros)]
    assert first[0] == first[1] != first[2]  # the first step is at the peak
    assert plain.final != cosine.final
    document = result.to_dict()["entrants"]
    assert [(e["schedule"], e["initialization"]) for e in document] == [
        (None, None),
        ("cosine", None),
        (None, "zeros"),
    ]
    assert "schedules.cosine(" in document[1]["code"]


def test_an_executor_may_hand_records_over_in_any_order() -> None:
    class Backwards:
        name = "backwards"

        def run(self, task: Any, units: Any, setting: Any, run_unit: Any) -> Any:
            return reversed([run_unit(task, unit, setting) for unit in units])

    whole = Race(line(), **small(), out=None)
    backwards = Race(line(), **small(executor=Backwards()), out=None)
    for contest in (whole, backwards):
        contest.run()
    assert outcome(backwards) == outcome(whole)
    assert backwards.result().to_dict()["run"]["executor"] == "backwards"


@pytest.mark.parametrize(
    ("settings", "trials", "search"),
    [
        ({}, 9, "grid"),
        ({"lrs": [0.1, 0.2, 0.3]}, 3, "grid"),
        ({"lrs": [0.1, 0.2, 0.3], "trials": 5}, 5, "grid"),
        ({"search": "halving"}, 9, "halving"),
        ({"lrs": [0.1, 0.2], "search": "quasi-random"}, 9, "quasi-random"),
        ({"entrants": [Entrant("a", optim.SGD, {}, (0.1,))]}, 1, "grid"),
        ({"entrants": {"a": Entrant("b", optim.SGD, {}, (0.1, 0.2)), "c": "adam"}}, 9, "grid"),
    ],
)
def test_how_many_points_tune(settings: dict[str, Any], trials: int, search: str) -> None:
    plan = Race(line(), **({"entrants": ["sgd"], "stack": False} | settings), out=None).plan
    assert (plan.trials, plan.search) == (trials, search)
    assert (plan.tuning_seeds, plan.final_seeds) == ((0, 1, 2), tuple(range(3, 11)))


def test_entrants_may_be_an_iterator() -> None:
    plan = Race(line(), iter(["sgd", "adam"]), stack=False, out=None).plan
    assert [entrant.name for entrant in plan.entrants] == ["sgd", "adam"]
    assert plan.trials == 9


def test_threads_and_random_state_are_given_back() -> None:
    before, threads = torch.random.get_rng_state(), torch.get_num_threads()
    seen = set()

    def noted(params: Any, lr: float) -> torch.optim.Optimizer:
        seen.add(torch.get_num_threads())
        return torch.optim.SGD(params, lr)

    entrants = [Entrant("noted", noted, {}, (0.1,), initialization="normal")]
    race(line(), **small(entrants=entrants, lrs=None, threads=2), out=None)
    assert 2 in seen
    assert torch.get_num_threads() == threads
    same(torch.random.get_rng_state(), before, because="no random number was drawn")


def test_progress_is_told() -> None:
    told: list[RaceProgress] = []
    race(line(), **small(), out=None, progress=told.append)
    assert [progress.done for progress in told] == list(range(TRIALS + 1))
    assert {progress.planned for progress in told} == {TRIALS}
    assert [progress.share for progress in told] == pytest.approx(
        [done / TRIALS for done in range(TRIALS + 1)]
    )
    (first,) = told[0].running
    assert (first.entrant.name, first.stage) == ("sgd", "tuning")
    assert told[-2].running[0].stage == "final"
    assert told[0].seconds_left is None
    assert all((progress.seconds_left or 0) > 0 for progress in told[1:-1])
    assert told[-1].running == ()


def test_folder_has_the_name_of_the_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    contest = Race(line(name="my task/2", target=None), **small())
    assert contest.write_report() is not None  # of nothing yet
    contest.run()
    report = contest.write_report()
    assert report == Path("race-my-task-2/report.html")
    assert sorted(path.name for path in report.parent.iterdir()) == [
        "measured.json",
        "race.json",
        "records.jsonl",
        "report.html",
        "target.json",
    ]
    document = json.loads((report.parent / "race.json").read_text())
    assert document == contest.result().to_dict()


def test_out_none_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    contest = Race(line(target=None), **small(), out=None)
    contest.run()
    assert contest.write_report() is None
    assert list(tmp_path.iterdir()) == []


def no_validation() -> Any:
    return line(data=(torch.zeros(4, 1), torch.zeros(4, 1)), target=None)


@pytest.mark.parametrize(
    ("task", "change", "message"),
    [
        (line(), {"by": "speed"}, "steps, seconds or gradients, not by 'speed'"),
        (line(), {"by": "step"}, "Did you mean 'steps'"),
        (line(), {"threads": 0}, "threads=0"),
        (line(), {"epochs": 0}, "epochs=0"),
        (line(), {"trials": 0}, "trials=0"),
        (line(), {"batch_size": "all"}, "batch_size must be an integer, None .* got 'all'"),
        (line(), {"search": "haling"}, "No search is called 'haling'.*'halving'"),
        (line(), {"executor": "rai"}, "No executor is called 'rai'.*'ray'"),
        (line(), {"stack": -2}, "at least one model"),
        (
            line(),
            {"stack": "yes"},
            "stack must be True, False, a number of models or None; got 'yes'",
        ),
        (line(), {"seeds": 0}, "at least one seed"),
        (line(), {"final_seeds": 0}, "at least one seed"),
        (line(), {"final_seeds": [1, 2]}, "The seed 1 is among"),
        (line(), {"target": math.nan}, "finite"),
        (line(), {"entrants": ["adma"]}, "'adam'"),
        ("digitz", {}, "'digits'"),
        (3, {}, "one Task, or the name of one; got 3"),
        (["digits", "parity"], {}, r"Race several one after another, .* `thalweg.race.sum_up`"),
        (no_validation(), {}, "validation"),
    ],
)
def test_what_cannot_be_raced_is_refused_at_once(
    tmp_path: Path, task: Any, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(TaskError, match=message):
        Race(task, **small(**change), out=tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (line(model=lambda: nn.Linear(7, 1)), "cannot take a batch of the train inputs"),
        (line(cost=Cost(lambda o, t: 1 / 0), target=None), "fails on the first rows"),
        (line(cost=Cost("mse", "mse", penalty=lambda m: 1 / 0)), "penalty fails"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_the_first_trial(
    tmp_path: Path, task: Any, message: str
) -> None:
    contest = Race(task, **small(), out=tmp_path / "new")
    with pytest.raises(TaskError, match=message):
        contest.run()
    assert not (tmp_path / "new").exists()


def test_making_a_race_runs_no_code_of_the_task_and_leaves_files_alone(tmp_path: Path) -> None:
    def never(*arguments: Any, **options: Any) -> Any:
        raise AssertionError("called before the race ran")

    class Rows(Dataset[Any]):
        __getitem__ = never

        def __len__(self) -> int:  # which making the data asks for
            return 8

    task = Task(
        data=Data(DataLoader(Rows(), 4, shuffle=False), DataLoader(Rows(), 4)),
        cost=Cost(never, never, penalty=never),
        model=never,
    )
    rivals = [Entrant("own", never, {}, (0.1,), schedule=never, initialization=never), "adam"]
    folder = tmp_path / "race"
    folder.mkdir()
    for name in ("records.jsonl", "target.json", "measured.json"):
        (folder / name).write_text("kept")
    for stack in (None, True, False):
        contest = Race(task, rivals, stack=stack, out=folder, fresh=True)
        assert [entrant.name for entrant in contest.plan.entrants] == ["own", "adam"]
        assert contest.subject.metric
    assert {path.name: path.read_text() for path in folder.iterdir()} == dict.fromkeys(
        ("records.jsonl", "target.json", "measured.json"), "kept"
    )
    with pytest.raises(TaskError, match="called before the race ran"):
        contest.run()


def test_an_empty_folder_name_is_not_the_working_folder() -> None:
    with pytest.raises(TaskError, match="got an empty text"):
        Race(line(), **small(), out="")
