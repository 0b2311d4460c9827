"""The slider of each lab: its findings hold from end to end, and break where it says that they do."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import pytest

from tests.labs.conftest import TOGETHER
from tests.labs.test_labs import DOCS, made
from thalweg import labs
from thalweg.errors import TaskError
from thalweg.labs.challenges import cliffs
from thalweg.labs.lab import LabResult
from thalweg.labs.settings import chosen

ENDS = [(name, lab.slider.stops[end]) for name, lab in labs.LABS.items() for end in (0, -1)]
QUICK = ("many-layers", "shuffling", "cliffs", "limits", "inexact-gradients", "continuation")


@pytest.mark.parametrize("name", labs.LABS)
def test_it_begins_where_the_usual_settings_are_and_all_its_stops_are_allowed(name: str) -> None:
    lab = labs.LABS[name]
    slider = lab.slider
    assert chosen(lab.settings, slider.settings_at(slider.default), name) == lab.settings()
    assert slider.default in slider.stops
    assert 5 <= len(slider.stops) <= 9
    assert all(a < b for a, b in itertools.pairwise(slider.stops))
    for stop in slider.stops:
        chosen(lab.settings, slider.settings_at(stop), name)
    fields = {each.name: each for each in dataclasses.fields(lab.settings)}
    assert slider.settings is not None or fields[slider.name].metadata["about"]
    assert len(slider.ends) > 20


def test_the_documentation_has_each_of_them() -> None:
    text = DOCS.read_text(encoding="utf-8")
    for name, lab in labs.LABS.items():
        slider = lab.slider
        row = f"| {name} | `{slider.name}` | {slider.about} | {slider.range} | {slider.default:g} |"
        assert row in text, row


@pytest.mark.parametrize(
    ("name", "value"),
    [pytest.param(*end, marks=() if end[0] in QUICK else pytest.mark.full) for end in ENDS],
)
def test_the_findings_hold_at_both_ends(name: str, value: float) -> None:
    result = labs.run(name, slider=value)
    assert result.slider == value
    for finding in result.findings:
        assert finding.holds, finding


def test_clipping_breaks_where_the_slider_says() -> None:
    """From about 200 on the run is left on the plain, from about 1000 on it is thrown to and fro."""
    on_plain, thrown = (cliffs.compute(cliffs.Settings(clip=clip)) for clip in (250.0, 1000.0))
    assert on_plain.losses[-1] > 0.01
    assert all(0 < float(w) < 0.9 for w in on_plain.clipped[1:, 0])
    assert (thrown.clipped[1:, 0].sign() == -thrown.clipped[:-1, 0].sign()).all()
    assert thrown.losses[-1] > 1


def test_it_moves_what_it_says() -> None:
    result = labs.run("ill-conditioning", slider=500, size=50)
    assert result.settings["kappas"] == (5.0, 15.0, 50.0, 150.0, 500.0)
    assert "Slider kappa = 500: largest condition number" in str(result)
    assert result.to_dict()["slider"]["value"] == 500
    aside = labs.run("coordinate-descent", alphas=(0.5,))
    assert (aside.slider, aside.to_dict()["slider"]["value"]) == (None, None)
    assert labs.run("coordinate-descent", sweeps=3).slider == 0.1
    assert made().run({"rows": 4}).slider == 4


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (6, "The slider of the lab 'made', rows, goes from 1 to 5 <rows>; got 6."),
        ("0.5", "goes from 1 to 5 <rows>; got '0.5'."),
        ("much", "goes from 1 to 5 <rows>; got 'much'."),
        (float("nan"), "got nan"),
        (True, "got True"),
        ("2.5", "rows, must be an integer from 1 to 5 <rows>; got '2.5'."),
    ],
)
def test_wrong_values(given: Any, message: str) -> None:
    with pytest.raises(TaskError) as raised:
        made().run(slider=given)
    assert message in str(raised.value)


def test_it_is_not_given_twice() -> None:
    with pytest.raises(TaskError, match="sets rows, which is given as a setting, too"):
        made().run({"rows": 2}, slider=3)


def test_a_sweep_has_all_stops_and_the_value_given() -> None:
    seen: list[tuple[int, int, str]] = []
    result = made().run({"noise": 1.0}, slider="2")
    found = labs.sweep(result, lambda *now: seen.append(now))
    assert [each.slider for each in found.results] == [1, 2, 3, 5]
    assert found.result is result
    assert all(each.settings["noise"] == 1.0 for each in found.results)
    assert seen == [(k, 4, f"rows = {value}") for k, value in enumerate((1, 2, 3, 5))]


def test_a_sweep_leaves_out_what_other_settings_do_not_allow() -> None:
    found = labs.sweep(labs.run("surrogate-loss", rows=40, sets=20))
    assert found.left_out == (15, 18)
    assert [each.slider for each in found.results] == [20, 25, 30]


def test_a_sweep_of_what_the_slider_cannot_stand_for_is_one_result() -> None:
    result = labs.run("coordinate-descent", alphas=(0.5,), sweeps=2)
    assert labs.sweep(result).results == (result,)


@TOGETHER
def test_verdict_and_slider_are_in_the_document(results: dict[str, LabResult]) -> None:
    document = results["cliffs"].to_dict()
    assert document["slider"]["name"] == "clip"
    assert (document["slider"]["low"], document["slider"]["high"]) == (1.0, 150.0)
    (run,) = document["doctor"]["runs"]
    assert run["agreement"] == "as meant"
    assert document["doctor"]["nothing"] is None
    assert results["lasso"].to_dict()["doctor"]["runs"] == []
    assert "no optimizer" in results["lasso"].to_dict()["doctor"]["nothing"]
