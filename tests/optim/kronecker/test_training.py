"""KFAC in `fit`, in checkpoints, in races and in the range test."""

from __future__ import annotations

import functools
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import thalweg
from tests.exact import RESUMED, close
from tests.train.helpers import blobs, other_run, quiet, same_run
from thalweg import optim
from thalweg.errors import TaskError
from thalweg.meta import Accumulate
from thalweg.race import race
from thalweg.race.entrants.known import Entrant, find_entrant
from thalweg.race.stack.reasons import why_not
from thalweg.race.trials.plan import Setting, Trial
from thalweg.race.trials.point import Point


def plain() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 3)).double()


@pytest.mark.parametrize("fisher", ["sampled", "empirical"])
def test_fit_drives_it_by_its_name(fisher: str) -> None:
    run = quiet(blobs(), "kfac", lr=0.03, epochs=3, fisher=fisher)
    other = quiet(blobs(), "sgd", lr=0.03, epochs=3)
    assert run.evaluate("train").loss < other.evaluate("train").loss
    again = quiet(blobs(), optim.KFAC, lr=0.03, epochs=3, fisher=fisher)
    same_run(run, again, because="the same instructions on the same shapes")


def test_a_sampled_refresh_costs_one_more_backward_pass() -> None:
    task = blobs(model=plain)
    steps = 5 * 4  # of 35 rows in batches of 8, in four epochs
    usual = quiet(task, "sgd", lr=0.01, epochs=4)
    assert usual.steps == steps
    whole = usual.gradients
    for every, refreshes in ((1, steps), (10, 2)):
        run = quiet(task, "kfac", lr=0.01, epochs=4, refresh=every)
        # a backward pass is two thirds of a gradient, of the 8 rows of an epoch's first batch
        expected = whole * 2 / 3 if every == 1 else refreshes * 2 / 3 * 8 / 35
        assert run.gradients - whole == pytest.approx(expected)
        empirical = quiet(task, "kfac", lr=0.01, epochs=4, refresh=every, fisher="empirical")
        assert empirical.gradients == pytest.approx(whole)


def test_a_run_is_resumed_to_the_bit(tmp_path: Path) -> None:
    task, rest = blobs(), {"lr": 0.03, "refresh": 7}
    whole = quiet(task, "kfac", epochs=4, **rest)
    quiet(task, "kfac", epochs=2, checkpoint=tmp_path, **rest)
    resumed = quiet(task, "kfac", epochs=4, checkpoint=tmp_path, resume=True, **rest)
    same_run(resumed, whole, because=RESUMED)


@pytest.mark.parametrize("fisher", ["sampled", "empirical"])
def test_batches_are_gathered_and_gradients_clipped(fisher: str) -> None:
    def built(model: Any, lr: float) -> torch.optim.Optimizer:
        return Accumulate(optim.KFAC(model, lr=lr, fisher=fisher), 2)

    built.needs_model = True  # type: ignore[attr-defined]
    task = blobs(model=plain)
    by_setting = quiet(task, "kfac", lr=0.03, epochs=2, accumulate=2, fisher=fisher)
    same_run(quiet(task, built, lr=0.03, epochs=2), by_setting, because="the same steps")
    clipped = quiet(task, "kfac", lr=0.03, epochs=2, clip_norm=1e-3, fisher=fisher)
    other_run(clipped, quiet(task, "kfac", lr=0.03, epochs=2, fisher=fisher))


@pytest.mark.parametrize("fisher", ["sampled", "empirical"])
def test_factors_are_computed_in_the_parameters_type_under_autocast(fisher: str) -> None:
    task = blobs(model=lambda: plain().float())
    given: dict[str, Any] = {"lr": 0.0, "epochs": 1, "fisher": fisher}
    found = [
        quiet(task, "kfac", **given, **more).optimizer.state_dict()["state"][0]
        for more in ({}, {"autocast": "bfloat16"})
    ]
    # the inputs are the same, and in bfloat16 the products would be off by 2⁻⁹
    close(found[1]["factor_a"], found[0]["factor_a"], ulps=64, because="sums of eight rows")
    assert found[1]["factor_b"].dtype == torch.float32


def test_a_schedule_and_groups_of_all_settings_are_taken() -> None:
    task = blobs(model=plain)
    scheduler = functools.partial(torch.optim.lr_scheduler.StepLR, step_size=1, gamma=0.1)
    run = quiet(task, "kfac", lr=0.03, epochs=2, scheduler=scheduler)
    assert run.optimizer.param_groups[0]["lr"] == pytest.approx(3e-4)
    peak = quiet(task, "kfac+cosine", lr=0.03, epochs=2)
    # the last of ten steps, the tenth part of half a cosine from its end
    assert peak.optimizer.param_groups[0]["lr"] == pytest.approx(
        0.015 * (1 + math.cos(math.pi * 0.9))
    )
    for changed in (
        {"damping": 0.1},
        {"momentum": 0.5},
        {"weight_decay": 0.1},
        {"averaging": 0.5},
        {"kl_clip": 1e-5},
        {"factored": False},
    ):
        other_run(
            quiet(task, "kfac", lr=0.03, epochs=3, **changed),
            quiet(task, "kfac", lr=0.03, epochs=3),
        )


def test_a_loss_of_no_distribution_wants_the_empirical_factors() -> None:
    x = torch.linspace(-1, 1, 40).reshape(-1, 1)
    made: Any = thalweg.Task  # it takes a tuple and a name, too
    task = made(data=(x, 2 * x), cost="huber", model=lambda: nn.Linear(1, 1))
    with pytest.raises(TaskError, match="not known to be the negative logarithm"):
        quiet(task, "kfac", epochs=1)
    run = quiet(task, "kfac", lr=0.1, epochs=5, fisher="empirical")
    assert run.evaluate("train").loss < 0.1


def test_what_has_no_block_is_named_before_training() -> None:
    task = blobs(model=lambda: nn.Sequential(nn.Linear(2, 3), nn.PReLU()).double())
    with pytest.raises(TaskError, match=r"'1.weight': it is a PReLU"):
        quiet(task, "kfac", epochs=1)
    rest = functools.partial(optim.AdamW, lr=1e-3)
    assert quiet(task, "kfac", lr=0.03, epochs=1, rest=rest).steps == 5


def test_a_range_test_drives_it() -> None:
    assert thalweg.find_lr(blobs(), optim.KFAC, steps=12).optimizer == "KFAC"


def test_it_is_an_entrant_in_the_races_batches_and_in_no_stack() -> None:
    entrant = find_entrant("kfac")
    assert (entrant.name, entrant.batch_size) == ("kfac", "race")
    trial = Trial(entrant, Point(0.01), seed=0, epochs=1)
    said = why_not(blobs(), [trial], Setting(8, "loss", "min"))
    assert said == "kfac: KFAC reads the layers of a model while it trains."


def test_a_race_judges_it_by_gradients() -> None:
    entrants = [
        Entrant("kfac", optim.KFAC, {}, (0.03,)),
        Entrant("adamw", optim.AdamW, {}, (0.03,)),
    ]
    result = race(blobs(), entrants, seeds=1, final_seeds=2, epochs=2, out=None)
    final = [record for record in result.records if record.stage == "final"]
    assert {record.status for record in final} == {"finished"}
    assert {record.entrant for record in final} == {"kfac", "adamw"}
