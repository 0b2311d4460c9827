from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.race.tasks import Spy, line
from thalweg import optim
from thalweg.errors import TaskError
from thalweg.objective import Cost
from thalweg.race import Entrant, Race, RaceProgress, RecordFile, race
from thalweg.race import trials as trials_module
from thalweg.tasks import Target
from thalweg.train import fit


def small(**other: Any) -> dict[str, Any]:
    """The arguments of a race of a few milliseconds."""
    return {"entrants": ["sgd", "adam"], "lrs": [0.03, 0.3], "seeds": 2, "epochs": 4} | other


def records_without_times(contest: Race) -> list[tuple[Any, ...]]:
    return [
        (r.entrant, r.lr, r.seed, r.status, r.reached_steps, r.final, r.curve.metric)
        for r in contest.result().records
    ]


def test_a_race_is_what_fit_gives_for_each_trial() -> None:
    result = race(line(), ["sgd"], [0.1], seeds=[3], epochs=20, batch_size=16, out=None)
    (record,) = result.records
    run = fit(line(), optim.SGD, lr=0.1, epochs=20, batch_size=16, seed=3, progress=False)
    assert run.reached is not None
    assert record.status == "finished"
    assert record.steps == run.steps == 60
    assert record.final == run.history[-1].validation["mse"]  # type: ignore[index]
    # fit looks at the target after each epoch of three steps, the race at every step.
    assert record.reached_steps in range(run.reached.step - 2, run.reached.step + 1)
    assert record.curve.steps == tuple(range(1, 61))
    assert record.curve.metric[-1] == pytest.approx(record.final, rel=1e-6)
    first_below = next(i for i, value in enumerate(record.curve.metric) if value <= 0.05)  # type: ignore[operator]
    assert record.curve.steps[first_below] == record.reached_steps


def test_a_seed_gives_all_entrants_the_same_weights_and_data_order() -> None:
    Spy.notes.clear()
    twins = [Entrant("one", Spy, {}, (0.1,)), Entrant("two", Spy, {}, (0.1,))]
    contest = Race(line(), twins, seeds=2, epochs=2, batch_size=16, out=None)
    Spy.notes.clear()  # those of the warm-up
    contest.run()
    assert len(Spy.notes) == 4
    (one, grads_one), (two, grads_two), (other, grads_other), _ = Spy.notes
    assert len(grads_one) == 6
    assert all(map(torch.equal, one, two))
    assert all(map(torch.equal, grads_one, grads_two))
    assert not any(map(torch.equal, one, other))
    assert not any(map(torch.equal, grads_one, grads_other))


def test_planted_speeds_are_ranked() -> None:
    entrants = [
        Entrant("slow", optim.SGD, {}, (0.03,)),
        Entrant("fast", optim.SGD, {}, (0.3,)),
        Entrant("never", optim.SGD, {}, (1e-6,)),
    ]
    result = race(line(), entrants, epochs=100, batch_size=None, out=None)
    places = [(place.rank, place.best.entrant, place.best.reached) for place in result.standings]
    assert places == [(1, "fast", 3), (2, "slow", 3), (3, "never", 0)]
    assert result.standings[2].best.steps == math.inf


def test_a_diverged_or_failed_trial_is_a_result_and_the_others_go_on() -> None:
    def fails(params: Any, lr: float) -> torch.optim.Optimizer:
        if lr > 0.1:
            raise OSError("the optimizer is out")
        return torch.optim.SGD(params, lr)

    entrants = [
        Entrant("sgd", optim.SGD, {}, (0.1, 1e30)),
        Entrant("fails", fails, {}, (0.1, 0.2)),
    ]
    result = race(line(), entrants, seeds=1, epochs=4, out=None)
    status = {(record.entrant, record.lr): record.status for record in result.records}
    assert status == {
        ("sgd", 0.1): "finished",
        ("sgd", 1e30): "diverged",
        ("fails", 0.1): "finished",
        ("fails", 0.2): "failed",
    }
    errors = {record.status: record.error for record in result.records}
    assert errors["finished"] is None
    assert errors["failed"] == "OSError: the optimizer is out"
    assert "step" in (errors["diverged"] or "")
    assert [place.best.lr for place in result.standings] == [0.1, 0.1]


def test_finished_trials_are_used_again(tmp_path: Path) -> None:
    first = Race(line(), **small(), out=tmp_path)
    assert first.reused == 0
    first.run()
    again = Race(line(), **small(), out=tmp_path)
    assert again.reused == 8
    again.run()
    assert again.result().records == first.result().records
    assert len(RecordFile(tmp_path / "records.jsonl").read()) == 8


def twice_the_mse(outputs: Any, targets: Any) -> Any:
    return 2 * nn.functional.mse_loss(outputs, targets)


def thrice_the_mse(outputs: Any, targets: Any) -> Any:
    return 3 * nn.functional.mse_loss(outputs, targets)


class Doubling(nn.Linear):
    """A linear layer with another forward pass, but the very same parameters and repr."""

    def forward(self, input: Any) -> Any:
        return 2 * super().forward(input)

    def extra_repr(self) -> str:
        return nn.Linear(1, 1).extra_repr()


def other_data() -> Any:
    task = line()
    inputs, targets = task.data.validation.inputs, task.data.validation.targets  # type: ignore[union-attr]
    return type(task.data)(task.data.train, (inputs, targets + 1e-3))


@pytest.mark.parametrize(
    ("change", "task"),
    [
        ({"epochs": 5}, line()),
        ({"batch_size": 8}, line()),
        ({"seeds": [5, 6]}, line()),
        ({"lrs": [0.02, 0.2]}, line()),
        ({"target": 0.01}, line()),
        ({"threads": torch.get_num_threads() + 1}, line()),
        ({}, line(name="other")),
        ({}, line(data=other_data())),
        ({}, line(cost="l1_loss", target=None)),
        ({}, line(model=lambda: Doubling(1, 1))),
        ({}, line(model=lambda: nn.Linear(1, 1).double())),
    ],
)
def test_another_configuration_runs_anew(tmp_path: Path, change: dict[str, Any], task: Any) -> None:
    Race(line(), **small(), out=tmp_path).run()
    assert Race(line(), **small(), out=tmp_path).reused == 8
    assert Race(task, **small(**change), out=tmp_path).reused == 0


def test_functions_are_compared_by_what_they_compute(tmp_path: Path) -> None:
    def task(loss: Any) -> Any:
        loss.__name__ = loss.__qualname__ = "loss"
        return line(cost=loss, target=None)

    Race(task(twice_the_mse), **small(), out=tmp_path).run()
    assert Race(task(twice_the_mse), **small(), out=tmp_path).reused == 8
    assert Race(task(thrice_the_mse), **small(), out=tmp_path).reused == 0


def test_a_subset_of_a_race_uses_what_fits(tmp_path: Path) -> None:
    Race(line(), **small(), out=tmp_path).run()
    assert Race(line(), **small(entrants=["sgd", "rmsprop"]), out=tmp_path).reused == 4
    assert Race(line(), **small(lrs=[0.3, 0.5]), out=tmp_path).reused == 4


def test_fresh_runs_anew_and_keeps_the_old_records(tmp_path: Path) -> None:
    Race(line(), **small(), out=tmp_path).run()
    fresh = Race(line(), **small(), out=tmp_path, fresh=True)
    assert fresh.reused == 0
    fresh.run()
    assert len(RecordFile(tmp_path / "records.jsonl").read()) == 8
    assert len(RecordFile(tmp_path / "records.1.jsonl").read()) == 8


def test_an_interrupted_race_keeps_what_was_finished_and_goes_on_to_the_same_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Race(line(), **small(), out=None)
    whole.run()

    count = 0

    def interrupted(*arguments: Any, **others: Any) -> Any:
        nonlocal count
        count += 1
        if count == 4:
            raise KeyboardInterrupt
        return fit(*arguments, **others)

    monkeypatch.setattr(trials_module, "fit", interrupted)
    broken = Race(line(), **small(), out=tmp_path)
    with pytest.raises(KeyboardInterrupt):
        broken.run()
    values = broken.result().to_dict()
    assert (values["run"]["finished"], values["run"]["planned"]) == (3, 8)
    assert values["run"]["interrupted"] is True
    assert len(RecordFile(tmp_path / "records.jsonl").read()) == 3
    assert len(values["standings"]) == 2

    monkeypatch.undo()
    resumed = Race(line(), **small(), out=tmp_path)
    assert resumed.reused == 3
    resumed.run()
    assert records_without_times(resumed) == records_without_times(whole)


def test_a_run_that_fit_calls_interrupted_ends_the_race(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: Any, **others: Any) -> Any:
        run = fit(*arguments, **others)
        run.stopped = "interrupted"
        return run

    monkeypatch.setattr(trials_module, "fit", interrupted)
    contest = Race(line(), **small(), out=None)
    with pytest.raises(KeyboardInterrupt):
        contest.run()
    assert contest.result().records == ()


def test_threads_and_random_state_are_given_back() -> None:
    before, threads = torch.random.get_rng_state(), torch.get_num_threads()
    seen = set()

    def noted(params: Any, lr: float) -> torch.optim.Optimizer:
        seen.add(torch.get_num_threads())
        return torch.optim.SGD(params, lr)

    race(line(), [Entrant("noted", noted, {}, (0.1,))], seeds=1, epochs=1, threads=2, out=None)
    assert seen == {2}
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.random.get_rng_state(), before)


def test_progress_is_told() -> None:
    told: list[RaceProgress] = []
    race(line(), **small(), out=None, progress=told.append)
    assert [progress.done for progress in told] == list(range(9))
    assert {progress.planned for progress in told} == {8}
    assert told[0].current is not None
    assert told[0].current.entrant.name == "sgd"
    assert told[0].seconds_left is None
    assert all((progress.seconds_left or 0) > 0 for progress in told[1:-1])
    assert told[-1].current is None


def test_without_a_target_the_final_metric_decides() -> None:
    result = race(line(target=None), ["sgd"], [0.1, 0.001], seeds=1, epochs=5, out=None)
    assert result.subject.metric == "mse"
    assert result.subject.target is None
    assert result.standings[0].best.lr == 0.1
    assert result.to_dict()["target"] is None
    assert "No target was set" in str(result)


def test_target_may_be_given_as_number_or_target() -> None:
    as_number = Race(line(), **small(target=0.2), out=None)
    assert (as_number.subject.metric, as_number.subject.target) == ("mse", 0.2)
    as_target = Race(line(), **small(target=Target("loss", 0.3)), out=None)
    assert (as_target.subject.metric, as_target.subject.target) == ("loss", 0.3)
    without_metrics = line(cost="mse", target=None)
    assert Race(without_metrics, **small(target=0.2), out=None).subject.metric == "loss"


def test_ranking_by_seconds() -> None:
    result = race(line(), **small(by="seconds"), out=None)
    seconds = [place.best.seconds for place in result.standings]
    assert seconds == sorted(seconds)
    assert result.to_dict()["rank_by"] == "seconds"


def test_folder_has_the_name_of_the_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    contest = Race(line(name="my task/2"), **small())
    contest.run()
    report = contest.write_report()
    assert report == Path("race-my-task-2/report.html")
    assert sorted(path.name for path in report.parent.iterdir()) == [
        "race.json",
        "records.jsonl",
        "report.html",
    ]


def test_out_none_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    contest = Race(line(), **small(), out=None)
    contest.run()
    assert contest.write_report() is None
    assert list(tmp_path.iterdir()) == []


def no_validation() -> Any:
    return line(data=(torch.zeros(4, 1), torch.zeros(4, 1)), target=None)


@pytest.mark.parametrize(
    ("task", "change", "message"),
    [
        (line(), {"by": "speed"}, "steps or by seconds"),
        (line(), {"threads": 0}, "threads=0"),
        (line(), {"epochs": 0}, "epochs=0"),
        (line(), {"target": math.nan}, "finite"),
        ("digitz", {}, "'digits'"),
        (no_validation(), {}, "validation"),
        (line(model=lambda: nn.Linear(7, 1)), {}, "cannot take a batch of the train inputs"),
        (line(cost=Cost(lambda o, t: 1 / 0), target=None), {}, "fails on the first rows"),
        (line(cost=Cost("mse", "mse", penalty=lambda m: 1 / 0)), {}, "fail on the first rows"),
    ],
)
def test_what_cannot_be_raced_is_refused_at_once(
    task: Any, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(TaskError, match=message):
        Race(task, **small(**change), out=None)


def test_a_record_written_just_before_the_interruption_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append = RecordFile.append

    def interrupted(self: RecordFile, record: Any) -> None:
        append(self, record)
        raise KeyboardInterrupt

    monkeypatch.setattr(RecordFile, "append", interrupted)
    contest = Race(line(), **small(), out=tmp_path)
    with pytest.raises(KeyboardInterrupt):
        contest.run()
    assert len(contest.result().records) == 1
