"""Races on the second device: `tests.second_device` calls the checks, in a process that has it."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from tests import second_device
from tests.exact import same
from tests.race.races import outcome, small
from tests.race.stack.subjects import SETTING, entrant, near, task, trials
from thalweg import optim
from thalweg.race import Race
from thalweg.race.stack import choice, why_not
from thalweg.race.stack.run import run_unit
from thalweg.race.stack.train import ModelStack, enter
from thalweg.race.stack.try_task import probe_task
from thalweg.race.trials.recipe import recipe_of
from thalweg.race.trials.records import TrialRecord
from thalweg.tasks import Task
from thalweg.train.restored.randomness import isolated

THERE = torch.device(second_device.NAME)
ON_DEVICE = replace(SETTING, device=THERE, draws=True)
ENTRANTS = [entrant(optim.Adam), entrant(torch.optim.SGD)]


def pictures() -> nn.Module:
    """A model with convolutions, statistics and noise."""
    return nn.Sequential(
        *(nn.Unflatten(1, (1, 2, 2)), nn.Conv2d(1, 3, 2, padding=1), nn.BatchNorm2d(3), nn.ReLU()),
        *(nn.Dropout(0.3), nn.Flatten(), nn.Linear(27, 3)),
    )


def assert_alike(ours: TrialRecord, theirs: TrialRecord) -> None:
    """Assert that two trials have the same curve, to the order of sums."""
    assert ours.status == theirs.status == "finished", (ours.error, theirs.error)
    assert (ours.steps, ours.gradients) == (theirs.steps, theirs.gradients)
    for mine, other in zip(ours.curve.loss, theirs.curve.loss, strict=True):
        near(mine, other, 1e-8, ours.key)


def check_trials_are_those_of_the_cpu() -> None:
    """Weights, order and noise are drawn as there: alone, and in a stack."""
    subject, unit = task(pictures), trials(ENTRANTS, [0.03], [0, 1], epochs=2)
    expected = [run_unit(subject, (one,), SETTING)[0] for one in unit]
    alone = [run_unit(subject, (one,), ON_DEVICE)[0] for one in unit]
    stacked = run_unit(subject, unit, ON_DEVICE)
    assert [record.stacked for record in stacked] == [4] * 4
    for theirs, mine, together in zip(expected, alone, stacked, strict=True):
        assert_alike(mine, theirs)
        assert_alike(together, theirs)


def check_noise_of_every_kind_is_that_of_the_cpu() -> None:
    class Noisy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 3)

        def forward(self, x: Any) -> Any:
            x = x + 0.1 * torch.randn_like(x) + 0.1 * torch.rand(x.shape, device=x.device)
            return self.layer(x) * torch.bernoulli(torch.full_like(x[:, :3], 0.9))

    subject, unit = task(Noisy), trials(ENTRANTS, [0.03], [0, 1], epochs=1)
    assert why_not(subject, [trial for _, trial in unit], ON_DEVICE) is None
    expected = [run_unit(subject, (one,), SETTING)[0] for one in unit]
    for ours in (run_unit(subject, unit, ON_DEVICE), run_unit(subject, unit[:1], ON_DEVICE)):
        for mine, theirs in zip(ours, expected, strict=False):
            assert_alike(mine, theirs)


def check_a_stack_waits_once_a_step() -> None:
    """For the losses, which say who diverges; the data are moved before the first step."""
    subject, unit = task(), trials(ENTRANTS, [0.03], [0, 1])
    with isolated():
        found = probe_task(subject, THERE)
        stack = ModelStack([enter(recipe_of(subject, t, ON_DEVICE)) for _, t in unit], found)
        stack.try_step()
        batch = next(stack._batches.epoch(1))
        second_device.waits.clear()
        for _ in range(3):
            stack.advance(batch, 1)
    assert second_device.waits == ["aten::_copy_from"] * 3


def check_records_of_another_device_are_others() -> None:
    """Their keys hold the device, so a race that changes it trains again; one that does not goes on."""
    with tempfile.TemporaryDirectory() as folder:
        made = [
            Race(task(), **small(out=folder, target=0.3, **other))
            for other in ({"device": THERE}, {"device": "second"}, {})
        ]
        counts = []
        for contest in made:
            contest.run()
            counts.append(contest.reused)
        assert counts == [0, 12, 0]
        there, _, here = [outcome(contest) for contest in made]
        same(there["chosen"], here["chosen"], because="choices between scores that are far apart")
        assert not there["records"].keys() & here["records"].keys()
        machines = [contest.result().circumstances.machine for contest in made]
        assert machines[0].startswith("second, Second Device 1; ")
        assert machines[0].endswith(f"; {machines[2]}")


def check_a_task_may_have_its_own_device() -> None:
    subject: Task = task(lambda: nn.Linear(4, 3).to(THERE))
    contest = Race(subject, **small(out=None, target=0.3, stack=True))
    contest.run()
    assert min(record.stacked for record in contest.result().records) > 1
    assert contest.result().circumstances.machine.startswith("second")
    elsewhere = Race(subject, **small(out=None, target=0.3, device="cpu"))
    elsewhere.run()
    assert {record.status for record in elsewhere.result().records} == {"finished"}
    assert not elsewhere.result().circumstances.machine.startswith("second")


def check_clocks_wait_for_the_device() -> None:
    """Of seconds a step, and of a stack that is tried."""
    from thalweg.race.trials.timing import measure_seconds

    subject, unit = task(), trials(ENTRANTS, [0.03], [0])
    module = type(torch.get_device_module(THERE))
    before = module.synchronized
    points = {trial.entrant.name: (trial.entrant, trial.point) for _, trial in unit}
    times = measure_seconds(subject, points, ON_DEVICE)
    assert len(times) == 2
    assert module.synchronized - before >= 2 * 2 * 11  # before and after each turn


def check_a_stack_fits_the_memory_of_the_device() -> None:
    second_device.free_bytes = 10_000
    assert choice._limit(THERE) == 5_000
    found = choice.worth_it(task(), [t for _, t in trials(ENTRANTS, [0.03], range(20))], ON_DEVICE)
    assert found.size <= 5, found
    second_device.free_bytes = 1 << 30


def check_a_model_on_two_devices() -> None:
    def both() -> nn.Module:
        return nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 3).to(THERE))

    _, trial = trials(ENTRANTS, [0.03], [0])[0]
    assert "several devices, cpu, second:0" in str(why_not(task(both), [trial], SETTING))


def check_what_a_device_cannot_do() -> None:
    with pytest.raises(Exception, match="one process that holds the device; got workers=2"):
        Race(task(), **small(device=THERE, workers=2))
    with pytest.raises(Exception, match="Ray cluster train on their CPUs"):
        Race(task(), **small(device=THERE, executor="ray"))
