from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import pytest

from tests.report.example import HOSTILE, awkward, example, planted_race, planted_races, trial
from tests.report.judged import judged
from thalweg.report.page import race_sections
from thalweg.report.parts.axes import even_ticks, log_axis, log_ticks
from thalweg.report.parts.offline import asset, chart_scripts
from thalweg.report.parts.section import Figure
from thalweg.report.sections.across import profiles
from thalweg.report.sections.learning import learning_curves, learning_section
from thalweg.report.sections.sensitivity import (
    cost_over_rates,
    final_over_rates,
    sensitivity_section,
)
from thalweg.report.sections.tuning import budget_curves

RACES = {"planted": planted_race(), **awkward()}


def trace(figure: Figure, entrant: str, role: str) -> dict[str, Any]:
    (found,) = [t for t in figure["data"] if t["meta"] == {"entrant": entrant, "role": role}]
    return dict(found)


def of_table(figure: Figure, entrant: str, *columns: str) -> list[tuple[Any, ...]]:
    at = [figure["table"]["columns"].index(name) for name in columns]
    of = figure["table"]["columns"].index("entrant")
    return [tuple(row[k] for k in at) for row in figure["table"]["rows"] if row[of] == entrant]


@pytest.mark.parametrize("name", RACES)
def test_every_figure_is_sound_and_its_table_holds_what_it_draws(name: str) -> None:
    figures = [
        (section.key, view, figure)
        for section in race_sections(RACES[name])
        for view, figure in section.figures.items()
    ]
    entrants = {entrant["name"] for entrant in RACES[name]["entrants"]}
    for key, view, figure in figures:
        assert figure["data"], (key, view)
        assert {t["meta"]["entrant"] for t in figure["data"]} <= entrants
        columns, rows = figure["table"]["columns"], figure["table"]["rows"]
        assert all(len(row) == len(columns) for row in rows)
        told = {value for row in rows for value in row if isinstance(value, int | float)}
        for t in figure["data"]:
            if t["meta"]["role"] != "misses":
                assert len(t["x"]) == len(t["y"])
                drawn = {v for v in (*t["x"], *t["y"]) if v is not None}
                assert t["meta"]["role"] == "region" or drawn <= told, (key, view, t["meta"])
        for axis in ("xaxis", "yaxis"):
            ends = figure["layout"][axis].get("range")
            assert ends is None or ends[0] < ends[1]


def test_every_section_answers_every_question() -> None:
    for section in race_sections(RACES["planted"]):
        combinations: list[str] = [""]
        for choices in section.choices:
            combinations = [
                f"{start} {answer}".strip() for start in combinations for answer in choices
            ]
        assert not section.figures or set(section.figures) == set(combinations)


def test_learning_curves_are_those_of_the_final_trials() -> None:
    race = example()
    measured = learning_curves(race, "steps", best_so_far=False)
    adam = trace(measured, "adam", "line")
    assert adam["x"] == [10, 20, 30, 40]
    assert adam["y"] == pytest.approx([0.65, 0.915, 0.945, 0.95])
    around = trace(measured, "adam", "band")
    assert around["y"] == [0.7, 0.92, 0.95, 0.96, 0.94, 0.94, 0.91, 0.6]
    assert measured["table"]["columns"] == ["entrant", "steps", "median", "lowest", "highest"]
    seconds = learning_curves(race, "seconds", best_so_far=False)
    assert trace(seconds, "adam", "line")["x"] == pytest.approx([0.012, 0.024, 0.036, 0.048])


def test_before_the_final_the_curves_are_those_of_tuning() -> None:
    section = learning_section(RACES["no final trials yet"])
    assert section is not None
    assert "tuning seeds" in section.hint
    assert len(trace(section.figures["steps measured"], "adam", "line")["x"]) == 36


def test_a_median_curve_crosses_the_target_at_the_median_time() -> None:
    race = RACES["planted"]
    best = learning_curves(race, "steps", best_so_far=True)
    for place in race["standings"]:
        points = of_table(best, place["entrant"], "steps", "median")
        crossed = [x for x, y in points if y >= 0.95]
        if place["steps"] is None:
            assert not crossed
        else:  # an even number of seeds: the median lies between two evaluations
            assert math.ceil(place["steps"] / 10) * 10 == pytest.approx(crossed[0], abs=10)


def test_sensitivity_marks_choice_edge_and_misses() -> None:
    figure = cost_over_rates(example())
    adam, sgd = trace(figure, "adam", "points"), trace(figure, "sgd", "points")
    assert (adam["x"], adam["y"]) == ([0.01, 0.1], [20, None])
    assert adam["marker"]["size"][0] > adam["marker"]["size"][1]
    assert adam["marker"]["symbol"] == ["triangle-left", "circle"]
    assert sgd["marker"]["symbol"] == ["circle", "triangle-right"]
    assert trace(figure, "adam", "misses")["x"] == [0.1]
    assert min(trace(figure, "adam", "misses")["y"]) > 40
    assert "missed" in figure["layout"]["yaxis"]["ticktext"]
    assert of_table(figure, "sgd", "lr", "steps") == [(0.1, None), (1.0, 40)]


def test_the_good_region_is_drawn_and_open_ends_point_on() -> None:
    race = RACES["planted"]
    figure = cost_over_rates(race)
    for row in race["sensitivity"]:
        region = trace(figure, row["entrant"], "region")
        assert region["x"] == [row["low"], row["best"], row["high"]]
        symbols = region["marker"]["symbol"]
        assert (symbols[0] == "triangle-left") is ("lower" in row["open"])
        assert (symbols[2] == "triangle-right") is ("upper" in row["open"])
    assert len(figure["layout"]["yaxis2"]["ticktext"]) == len(race["sensitivity"])
    assert (
        trace(cost_over_rates(example()), "adam", "region")["marker"]["symbol"][0]
        == "triangle-left"
    )


def test_points_of_two_hyperparameters_are_no_curve() -> None:
    trials = [
        {**trial("adam", 0.01, 0, [0.5, value]), "hyperparameters": {"beta1": beta}}
        for beta, value in ((0.9, 0.95), (0.5, 0.92))
    ]
    race = judged(
        [{"name": "adam"}], trials, task="t", metric={"name": "accuracy", "direction": "max"},
        target=0.9, epochs=4, steps=20,
    )  # fmt: skip
    points = trace(final_over_rates(race), "adam", "points")
    assert points["mode"] == "markers"
    assert sorted(points["marker"]["size"]) == [6, 14]
    assert ", beta1 0.9: 95.0 %" in points["text"]
    assert of_table(final_over_rates(race), "adam", "beta1", "final") == [(0.5, 0.92), (0.9, 0.95)]


def test_shorter_trials_of_tuning_are_not_mixed_in() -> None:
    race = planted_race()
    race["tuning"].append({**race["tuning"][0], "epochs": 2, "lr": 123.0})
    assert 123.0 not in {row[1] for row in cost_over_rates(race)["table"]["rows"]}


def test_budget_curves_are_drawn_as_given() -> None:
    race = RACES["planted"]
    figure = budget_curves(race)
    for row in race["budget_curves"]:
        line = trace(figure, row["entrant"], "line")
        assert (line["x"], line["y"]) == (row["trials"], row["expected"])
    assert "steps to target" in figure["layout"]["yaxis"]["title"]["text"]
    without = budget_curves(RACES["no target"])
    assert "final validation accuracy" in without["layout"]["yaxis"]["title"]["text"]


def test_without_a_target_nothing_speaks_of_one() -> None:
    race = RACES["no target"]
    for section in race_sections(race):
        for figure in section.figures.values():
            assert "shapes" not in figure["layout"]
    section = sensitivity_section(race)
    assert section is not None
    assert section.choices == ()
    assert len(sensitivity_section(RACES["planted"]).choices) == 1  # type: ignore[union-attr]


def test_profiles_are_steps_from_factor_to_factor() -> None:
    several = planted_races()
    figure = profiles(several)
    for name, share in several["profiles"]["share"].items():
        line = trace(figure, name, "line")
        assert line["line"]["shape"] == "hv"
        assert line["y"] == [*share, share[-1]]
        assert line["x"][:-1] == several["profiles"]["factor"]
    widths = [t["line"]["width"] for t in figure["data"]]
    assert widths == sorted(widths, reverse=True)


def test_a_script_that_draws_reads_no_tags() -> None:
    names = {
        t["name"]
        for section in race_sections(example())
        for figure in section.figures.values()
        for t in figure["data"]
    }
    assert HOSTILE in names
    for script in (*chart_scripts(), asset("figures.js"), asset("one_figure.js")):
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write", script)


@pytest.mark.parametrize(
    ("low", "high"), [(1, 1.2), (100, 190), (0.9, 12), (1e-5, 10), (3, 3.01), (1e-9, 1e-8)]
)
def test_ticks_are_few_and_inside(low: float, high: float) -> None:
    ticks: Sequence[float] = log_ticks(low, high)
    assert 2 <= len(ticks) <= 16
    assert low / 1.01 <= min(ticks)
    assert max(ticks) <= high * 1.01
    assert len(even_ticks(low, high)) >= 2


def test_an_axis_over_one_value_has_a_length() -> None:
    low, high = log_axis([5.0])["range"]
    assert low < math.log10(5) < high
    assert log_axis([])["range"][0] < log_axis([])["range"][1]
