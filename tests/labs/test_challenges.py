"""Labs on the challenges of optimization: other settings, what each must show, and the doubling of widths."""

from __future__ import annotations

import math
from typing import Any

import pytest

from thalweg import labs
from thalweg.labs.lab import LabResult


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("identifiability", {"units": 5, "layers": 1, "scale": 1000, "seed": 3}),
        ("cliffs", {"layers": 25, "start": 1.3, "rate": 0.9, "clip": 3}),
        ("cliffs", {"layers": 15, "start": 1.15, "rate": 0.3}),
        ("long-products", {"radii": "0.5,1.9", "steps": 60, "size": 2, "seed": 4}),
        ("inexact-gradients", {"seed": 8, "rate": 1.0, "bias": -0.5, "steps": 150, "runs": 300}),
        ("limits", {"widths": "2,50", "rate": 1.0, "seed": 7}),
    ],
)
def test_with_other_settings_too(name: str, settings: dict[str, Any]) -> None:
    for finding in labs.find(name).run(settings).findings:
        assert finding.holds, finding


def found(result: LabResult) -> dict[str, float]:
    return {finding.name: finding.found for finding in result.findings}


def test_the_plain_step_is_thrown_away_and_the_clipped_run_survives() -> None:
    at = found(labs.run("cliffs"))
    assert at["plain: log₁₀ of the loss after it"] > 20
    assert at["clipped: loss at the end"] < 1e-6


def test_gradients_grow_and_fade_as_powers() -> None:
    rates = found(labs.run("long-products", radii=(0.9, 1.1)))
    assert rates["λ = 0.9: log₁₀ of the change a step"] < -0.04
    assert rates["λ = 1.1: log₁₀ of the change a step"] > 0.04


def test_shorter_steps_lower_the_floor_of_noise_and_not_that_of_bias() -> None:
    long, short = (
        found(labs.run("inexact-gradients", rate=rate, steps=steps, runs=500))
        for rate, steps in ((0.8, 150), (0.1, 600))
    )
    name = "noise and bias"
    assert long[f"{name}: deviation"] > 2 * short[f"{name}: deviation"]
    assert long[f"{name}: mean"] == pytest.approx(short[f"{name}: mean"], abs=0.2)


def test_a_wider_network_learns_what_a_minimal_one_misses() -> None:
    shares = found(labs.run("limits", runs=400))
    assert shares["n = 2: share of runs that learn"] < 0.7
    assert shares["n = 10: share of runs that learn"] > 0.97


def test_only_one_side_of_the_hill_leads_to_the_valley_and_a_weight_grows_without_end() -> None:
    result = labs.run("local-structure")
    at = found(result)
    assert at["right side of the hill: value at the end"] < -1.9
    assert at["wrong side of the hill: value at the end"] > -0.01
    gained = at["separable classes: weight gained by the last half of the steps"]
    assert gained == pytest.approx(math.log(2), abs=0.02)


def test_the_second_order_takes_half_of_what_the_first_promises() -> None:
    at = found(labs.run("ill-conditioning", kappas="10,100", size=50))
    assert at["share of −ε·gᵀg that ½ε²·gᵀHg takes away at last"] == pytest.approx(0.5, abs=0.1)
