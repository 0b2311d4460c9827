"""The doctor as a callback: the run is the same, what is wrong is confirmed, gauges are written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.doctor.helpers import net, rows
from tests.exact import RERUN, same
from thalweg import Cost, Task, fit, load_task
from thalweg.doctor import Diagnosis, Report
from thalweg.errors import CheckpointError
from thalweg.tasks import Data
from thalweg.train import FitDivergedError
from thalweg.train.folder.gauges import read_gauges


def task(model: Any = net) -> Task:
    x, y = rows(256)
    return Task(Data.arrays(x, y, validation=rows(64, seed=1)), Cost("cross_entropy"), model)


def run(diagnosis: Diagnosis | None, lr: float = 0.01, **settings: Any) -> Any:
    callbacks = [] if diagnosis is None else [diagnosis]
    given = {"epochs": 3, "batch_size": 32, "progress": False, **settings}
    return fit(task(), settings.pop("optimizer", "adam"), lr=lr, callbacks=callbacks, **given)


def test_the_run_is_the_same_to_the_bit() -> None:
    diagnosis = Diagnosis(budget=1e9)
    watched, alone = run(diagnosis), run(None)
    same(dict(watched.model.state_dict()), dict(alone.model.state_dict()), because=RERUN)
    assert [e.train.loss for e in watched.history] == [e.train.loss for e in alone.history]
    assert watched.gradients == alone.gradients, "forks are not training"
    assert diagnosis.report.steps == 24
    assert diagnosis.report.healthy, str(diagnosis.report)
    assert diagnosis.doctor is not None
    assert len(diagnosis.doctor.watched.validations) == 3
    assert diagnosis.doctor.watched.planned == 24


def test_a_fault_is_confirmed_when_the_run_is_over() -> None:
    diagnosis = Diagnosis(budget=1e9)
    run(diagnosis, lr=3.0, epochs=8)
    assert diagnosis.report["lr_too_high"].status == "confirmed"
    assert diagnosis.report.cost.gradients > 0


@pytest.mark.parametrize("seed", [0, 1])
def test_noise_about_a_minimum_of_0_is_no_rate_that_is_too_high(seed: int) -> None:
    """It triples the smallest loss, a hundredth of the first, and a lower rate would take most of it out."""
    diagnosis = Diagnosis()
    fit(
        load_task("deep_quadratic"),
        "adam",
        lr=0.1,
        seed=seed,
        callbacks=[diagnosis],
        progress=False,
    )
    assert diagnosis.report.healthy, diagnosis.report


def test_a_run_that_diverges_is_told_of() -> None:
    diagnosis = Diagnosis(budget=1e9, forks=0)

    class Root(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = net()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.log(self.inner(x) * 0 - 1)

    with pytest.raises(FitDivergedError):
        fit(task(Root), "adam", lr=0.01, epochs=1, callbacks=[diagnosis], progress=False)
    verdict = diagnosis.report["non_finite"]
    assert (verdict.status, verdict.since) == ("confirmed", 1)


def test_before_a_run_there_is_an_empty_report() -> None:
    assert Diagnosis().report == Report()


def test_gauges_are_written_and_read(tmp_path: Path) -> None:
    diagnosis = Diagnosis(budget=1e9, folder=tmp_path)
    run(diagnosis)
    read = read_gauges(tmp_path)
    assert read.parameters == tuple(name for name, _ in net().named_parameters())
    assert read.layers == ("0", "2", "4")
    samples = len(read.arrays["steps"])
    assert samples >= 4
    assert read.arrays["update"].shape == (samples, len(read.parameters))
    assert read.arrays["layer_gradient"].shape == (len(read.arrays["layer_steps"]), 3)
    assert len(read.arrays["loss"]) == 24
    assert bool((read.arrays["update"] > 0).all())


def test_gauges_that_are_not_there_or_were_edited_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="Record them"):
        read_gauges(tmp_path)
    (tmp_path / "gauges.safetensors").write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_gauges(tmp_path)
    from safetensors.torch import save_file

    save_file({"steps": torch.zeros(2)}, tmp_path / "gauges.safetensors")
    with pytest.raises(CheckpointError, match="holds no gauges"):
        read_gauges(tmp_path)
