"""What the doctor says of the labs' trainings, and that these are the labs' own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from tests.labs.conftest import TOGETHER
from thalweg import labs
from thalweg.labs.challenges import cliffs, inexact_gradients, limits, local_structure
from thalweg.labs.lab import LabResult
from thalweg.labs.learning import shuffling, surrogate_loss
from thalweg.labs.watching import Patient, examine, linear

WATCHED = [name for name, lab in labs.LABS.items() if not isinstance(lab.patients, str)]


@TOGETHER
@pytest.mark.parametrize(
    ("name", "run", "symptoms"),
    [
        ("cliffs", 0, {"cliff", "exploding_gradient", "lr_too_high"}),
        ("saddle", 0, {"plateau_or_saddle"}),
        ("ill-conditioning", 0, {"ill_conditioning"}),
        ("local-structure", 0, {"plateau_or_saddle"}),
        ("long-products", 0, {"vanishing_gradient"}),
        ("long-products", 1, {"exploding_gradient"}),
        ("streaming", 0, {"batch_too_small"}),
    ],
)
def test_it_names_the_fault_that_the_lab_shows(
    name: str, run: int, symptoms: set[str], results: dict[str, LabResult]
) -> None:
    found = results[name].examinations[run]
    assert found.agreement == "as meant"
    named = {verdict.symptom for verdict in found.report.faults}
    assert symptoms & named, found.report
    assert any("Remedy: " in line for line in found.lines())


@TOGETHER
@pytest.mark.parametrize("name", ["linear-regression", "pca", "surrogate-loss", "continuation"])
def test_it_calls_a_healthy_run_healthy(name: str, results: dict[str, LabResult]) -> None:
    (found,) = results[name].examinations
    assert found.agreement == "as meant"
    assert found.report.healthy, found.report
    assert "meant: a healthy run; the doctor: as meant" in str(results[name])


@TOGETHER
def test_it_sees_that_rows_are_sorted(results: dict[str, LabResult]) -> None:
    ordered, shuffled = results["shuffling"].examinations
    assert "data_order" in ordered.report
    assert "data_order" not in shuffled.report


@TOGETHER
@pytest.mark.parametrize("name", labs.LABS)
def test_each_lab_says_what_the_doctor_says_or_why_it_says_nothing(
    name: str, results: dict[str, LabResult]
) -> None:
    text = str(results[name])
    if name in WATCHED:
        assert results[name].examinations
        for each in results[name].examinations:
            assert each.summary() in text
            assert each.report.steps >= 1
    else:
        assert "There is nothing for the doctor to watch: " in text
        assert len(str(labs.LABS[name].patients)) > 30


def ends_of(patient: Patient, steps: int) -> torch.Tensor:
    return examine(replace(patient, batches=patient.batches[:steps], forks=0.0)).weights


def test_the_run_that_is_watched_is_that_of_the_lab() -> None:
    """Torch's backward pass and optimizers, and the labs' own formulas, sum in other orders."""
    cases: list[tuple[Patient, int, Any]] = []
    plain = cliffs.Settings()
    cases.append((cliffs.patients(plain)[0], 1, cliffs.compute(plain).plain[1]))
    rows = shuffling.Settings(runs=50, epochs=2)
    paths = shuffling.compute(rows).paths
    for patient, kind in zip(shuffling.patients(rows), ("sorted", "epoch"), strict=True):
        cases.append((patient, 40, paths[kind][-1, :1]))
    noisy = inexact_gradients.Settings(runs=100, steps=150)
    found = inexact_gradients.compute(noisy).paths
    runs = inexact_gradients.patients(noisy)
    cases += [(patient, 150, found[patient.run][-1, 0]) for patient in runs]
    hill = local_structure.Settings()
    cases.append(
        (local_structure.patients(hill)[0], 1000, local_structure.compute(hill).left[-1][None])
    )
    for patient, steps, expected in cases:
        weights = ends_of(patient, steps).sort().values
        assert torch.allclose(weights, expected.sort().values, rtol=1e-9, atol=1e-12), patient.run


def test_the_losses_that_are_watched_are_those_of_the_lab() -> None:
    sets = surrogate_loss.Settings(sets=20, steps=500)
    (patient,) = surrogate_loss.patients(sets)
    last = examine(replace(patient, forks=0.0)).report.losses[-1][1]
    assert last == pytest.approx(
        float(surrogate_loss.compute(sets).surrogate[-8:, 0].mean()), rel=0.02
    )
    narrow = limits.patients(limits.Settings(runs=100))[0]
    stuck = examine(replace(narrow, forks=0.0)).report.losses[-1][1]
    assert stuck == pytest.approx(0.25, abs=1e-6)


def test_how_a_report_compares_with_what_is_meant() -> None:
    """A line that a rate above 2 throws off, watched without forks."""

    def said(rate: float, *meant: str) -> str:
        x = torch.linspace(-1, 1, 8, dtype=torch.float64)[:, None]
        model = linear(torch.ones(1, dtype=torch.float64))
        optimizer = torch.optim.SGD(model.parameters(), lr=rate)
        batches = [(x, 0 * x)] * 64
        return examine(
            Patient("a line", model, optimizer, "mse", batches, meant, forks=0.0)
        ).agreement

    assert said(3.0, "lr_too_high") == "as meant"
    assert said(3.0) == "other faults"
    assert said(3.0, "data_order") == "not seen"
