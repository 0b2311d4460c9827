"""Labs on likelihood, risk, surrogates and batches: other settings, what each must show, wrong input."""

from __future__ import annotations

from typing import Any

import pytest

from thalweg import labs
from thalweg.errors import TaskError
from thalweg.labs.lab import LabResult


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("maximum-likelihood", {"sigma": 2.0, "seed": 3, "steps": 30}),
        ("empirical-risk", {"sizes": "9,40", "features": 2, "seed": 5}),
        ("surrogate-loss", {"rows": 20, "features": 15, "sets": 30, "seed": 4}),
        ("gradient-noise", {"batches": "2,20", "rows": 500, "seed": 3}),
        ("shuffling", {"rows": 10, "rate": 0.3, "epochs": 4, "seed": 5000}),
        ("streaming", {"rows": 5, "rate": 0.3, "growth": 1.1, "runs": 5000, "seed": 2}),
    ],
)
def test_with_other_settings_too(name: str, settings: dict[str, Any]) -> None:
    for finding in labs.find(name).run(settings).findings:
        assert finding.holds, finding


def found(result: LabResult) -> dict[str, float]:
    return {finding.name: finding.found for finding in result.findings}


def test_the_gap_between_the_risks_shrinks_with_the_rows() -> None:
    risks = found(labs.run("empirical-risk", sizes=(15, 150), sets=300))
    gaps = [risks[f"m = {m}: risk"] - risks[f"m = {m}: empirical risk"] for m in (15, 150)]
    assert gaps[0] > 5 * gaps[1] > 0


def test_sorted_rows_hurt_and_new_orders_help() -> None:
    distances = found(labs.run("shuffling"))
    by_order = {name.partition(":")[0]: value for name, value in distances.items()}
    assert by_order["sorted, never shuffled"] > 3 * by_order["shuffled once"]
    assert by_order["shuffled once"] > 1.2 * by_order["shuffled each epoch"]
    assert by_order["drawn with replacement"] > 1.2 * by_order["shuffled each epoch"]


def test_only_the_first_pass_is_unbiased() -> None:
    of_passes = labs.run("streaming").findings[:2]
    assert of_passes[0].theory == pytest.approx(0, abs=1e-12)
    assert of_passes[1].theory < -1.5 * of_passes[1].within  # far enough from 0 to be told apart


def test_the_surrogate_falls_where_the_training_error_is_gone() -> None:
    curves = {each.name: each for each in labs.run("surrogate-loss", sets=30).picture.curves}
    middle = len(curves["surrogate"].x) // 2
    assert curves["training error"].y[-1] == pytest.approx(0, abs=1e-3)
    for name in ("surrogate", "test error"):
        assert curves[name].y[-1] < curves[name].y[middle]


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("empirical-risk", {"sizes": (10, 10)}, "two different numbers"),
        ("empirical-risk", {"features": 12}, "at least features + 4"),
        ("gradient-noise", {"batches": 10}, "two different sizes"),
        ("surrogate-loss", {"features": 5}, "at least half of rows"),
    ],
)
def test_wrong_input(name: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(TaskError) as raised:
        labs.run(name, **settings)
    assert message in str(raised.value)
