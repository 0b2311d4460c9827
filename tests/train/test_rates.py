"""Learning rates that are functions of the step."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.exact import RERUN, RESUMED
from tests.train.helpers import blobs, other_run, quiet, same_run
from thalweg import optim, schedules
from thalweg.errors import CheckpointError, TaskError
from thalweg.rules import adam, ema
from thalweg.schedules import cosine, linear
from thalweg.train import Recipe

STEPS_AN_EPOCH = 5
DECAY = cosine(0.05, steps=4 * STEPS_AN_EPOCH, warmup=3)


def halved(k: int) -> float:
    return 0.1 * 0.5**k


@pytest.mark.parametrize("optimizer", [optim.Adam, optim.Lion, adam, functools.partial(optim.SGD)])
def test_the_rate_of_an_epochs_last_step_is_on_record(optimizer: Any) -> None:
    run = quiet(blobs(), optimizer, lr=DECAY, epochs=4)
    assert run.steps == 4 * STEPS_AN_EPOCH
    expected = [DECAY(STEPS_AN_EPOCH * epoch - 1) for epoch in range(1, 5)]
    assert run.history.column("lr") == expected


def test_it_is_the_same_as_a_scheduler_of_pytorch() -> None:
    def scheduler(optimizer: torch.optim.Optimizer) -> Any:
        return schedules.scheduler(optimizer, DECAY)

    run = quiet(blobs(), optim.Adam, lr=DECAY, epochs=4)
    twin = quiet(blobs(), optim.Adam, lr=1.0, scheduler=scheduler, scheduler_step="step", epochs=4)
    for p, q in zip(run.model.parameters(), twin.model.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-12, atol=1e-14)
    other_run(run, quiet(blobs(), optim.Adam, lr=0.05, epochs=4))


@pytest.mark.parametrize("lr", [DECAY, halved, lambda k: 0.01 / (1 + k)])
@pytest.mark.parametrize(
    "optimizer", [optim.Adam, functools.partial(optim.ScheduleFreeAdamW), optim.Prodigy]
)
def test_a_resumed_run_goes_on_with_the_schedule(optimizer: Any, lr: Any, tmp_path: Path) -> None:
    whole = quiet(blobs(), optimizer, lr=lr, epochs=4)
    quiet(blobs(), optimizer, lr=lr, epochs=2, checkpoint=tmp_path / "run")
    resumed = quiet(blobs(), optimizer, lr=lr, epochs=4, checkpoint=tmp_path / "run", resume=True)
    same_run(resumed, whole, because=RESUMED)


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ({"lr": DECAY}, {"lr": linear(0.05, 0.0, 20)}, r"lr: 'cosine\(0.05, .*now"),
        ({"lr": DECAY}, {"lr": DECAY(0)}, "lr: 'cosine"),
        ({"lr": DECAY(0)}, {"lr": DECAY}, "now"),
        ({"lr": halved}, {"lr": DECAY}, "lr: 'halved' in the checkpoint"),
    ],
)
def test_a_checkpoint_of_another_schedule_is_refused(
    first: dict[str, Any], second: dict[str, Any], message: str, tmp_path: Path
) -> None:
    quiet(blobs(), optim.Adam, epochs=1, checkpoint=tmp_path / "run", **first)
    with pytest.raises(CheckpointError, match=message):
        quiet(blobs(), optim.Adam, epochs=2, checkpoint=tmp_path / "run", resume=True, **second)


def test_other_hyperparameters_may_be_schedules_too(tmp_path: Path) -> None:
    def build(end: float) -> Any:
        return functools.partial(optim.AdamW, weight_decay=linear(0.1, end, 20))

    whole = quiet(blobs(), build(0.0), epochs=2)
    other_run(whole, quiet(blobs(), build(0.1), epochs=2))
    quiet(blobs(), build(0.0), epochs=1, checkpoint=tmp_path / "run")
    again = {"epochs": 2, "checkpoint": tmp_path / "run", "resume": True}
    same_run(quiet(blobs(), build(0.0), **again), whole, because=RERUN)
    with pytest.raises(CheckpointError, match="weight_decay: 'linear"):
        quiet(blobs(), build(0.1), **again)


@pytest.mark.parametrize(
    "optimizer",
    [
        torch.optim.SGD,
        torch.optim.Adam,
        functools.partial(torch.optim.SGD, momentum=0.9),
        lambda params, lr: torch.optim.SGD([{"params": params, "lr": lr}]),
    ],
)
def test_an_optimizer_that_takes_none_is_said(optimizer: Any) -> None:
    with pytest.raises(TaskError, match=r"for the optimizers of thalweg\.optim.*scheduler="):
        quiet(blobs(), optimizer, lr=DECAY, epochs=1)


def test_a_schedule_leaves_no_place_for_a_scheduler() -> None:
    step = functools.partial(torch.optim.lr_scheduler.StepLR, step_size=1)
    with pytest.raises(TaskError, match="lr is a schedule already"):
        Recipe(blobs(), optim.Adam, lr=DECAY, scheduler=step)


@pytest.mark.parametrize("lr", [lambda k: "high", lambda k: -0.1, lambda k: None])
def test_a_schedule_of_nonsense_is_refused(lr: Any) -> None:
    with pytest.raises(TaskError, match="cannot be built"):
        quiet(blobs(), optim.Lion, lr=lr, epochs=1)


def test_a_recipe_shows_its_schedule() -> None:
    recipe = Recipe(blobs(), optim.Adam, lr=DECAY)
    assert "lr=cosine(0.05, steps=20, warmup=3)" in repr(recipe)
    assert recipe.replace(lr=0.1).lr == 0.1


def test_schedule_and_average_together() -> None:
    run = quiet(blobs(), functools.partial(optim.Adam, after=ema(0.9)), lr=DECAY, epochs=3)
    assert run.evaluate("validation") == run.history[-1].validation
    assert run.history.column("lr")[-1] == DECAY(14)
