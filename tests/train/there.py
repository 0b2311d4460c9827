"""Training on the second device: `tests.second_device` calls the checks, in a process that has it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tests.exact import RERUN, same
from tests.race.stack.subjects import near, task
from thalweg import fit
from thalweg.tasks import load_task
from thalweg.train import Run

BOUND = 1e-4
"""Ten steps in float32 multiply differences of rounding by less than a thousand."""


def trained(epochs: int, **options: Any) -> Run:
    """Train a convolutional network on digits."""
    return fit(
        load_task("digits_cnn"), "adam", lr=0.01, epochs=epochs, seed=1, progress=False, **options
    )


def check_curves_are_those_of_the_cpu() -> None:
    here, there = trained(1), trained(1, device="second")
    assert {str(p.device) for p in there.model.parameters()} == {"second:0"}
    assert there.steps == here.steps == 10
    for split in ("train", "validation"):
        scores = [getattr(run.history.epochs[-1], split).loss for run in (here, there)]
        near(scores[1], scores[0], BOUND, split)


def check_noise_is_seeded_there_and_the_callers_generator_is_left() -> None:
    """Dropout draws from the device's own generator."""
    module = torch.get_device_module("second")
    subject = task(lambda: nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 3)))
    losses = []
    for _ in range(2):
        torch.rand(3, device="second")  # so that the generator is somewhere else
        before = module.get_rng_state()
        run = fit(subject, "sgd", lr=0.1, epochs=2, seed=1, device="second", progress=False)
        losses.append(run.history.epochs[-1].train.loss)
        same(module.get_rng_state(), before, because="the caller's state is put back")
    same(losses[0], losses[1], because=RERUN)


def check_a_run_goes_on_there() -> None:
    with tempfile.TemporaryDirectory() as folder:
        keep: Any = {"checkpoint": Path(folder) / "run.safetensors", "device": "second"}
        trained(1, **keep)
        resumed, whole = trained(2, resume=True, **keep), trained(2, device="second")
    near(
        resumed.history.epochs[-1].train.loss, whole.history.epochs[-1].train.loss, BOUND, "resumed"
    )
