from __future__ import annotations

import functools
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.report.test_page import Page, check_loads_nothing
from thalweg.report.plots.schedule import MOST_POINTS, plot_schedules
from thalweg.schedules import constant, cosine, linear, piecewise, warm_restarts

NAMED = {"<b>mine & 'yours'": cosine(3e-4, steps=50), "steps": piecewise({0: 1e-4, 20: 1e-5})}


def test_each_schedule_is_a_curve_of_its_values() -> None:
    figure = plot_schedules(NAMED, 60)
    assert [curve["name"] for curve in figure.data] == list(NAMED)
    for curve, schedule in zip(figure.data, NAMED.values(), strict=True):
        assert curve["x"] == list(range(60))
        assert curve["y"] == [schedule(k) for k in range(60)]
    assert "type" not in figure.layout["yaxis"]


def test_names_are_the_kinds_and_where_they_repeat_the_code() -> None:
    made = [linear(1.0, 0.0, 5), cosine(steps=5), cosine(steps=9)]
    assert [curve["name"] for curve in plot_schedules(made, 10).data] == [
        "linear", "cosine(steps=5)", "cosine(steps=9)"
    ]  # fmt: skip
    (only,) = plot_schedules(linear(1.0, 0.0, 5), 10).data
    assert only["name"] == "linear"


def test_any_function_of_the_step_is_a_schedule(tmp_path: Path) -> None:
    def halving(k: int) -> float:
        return 0.5**k

    (only,) = plot_schedules(lambda k: 0.1, 20).data
    assert (only["name"], only["y"]) == ("<lambda>", [0.1] * 20)
    raised = functools.partial(pow, 2)
    figure = plot_schedules([halving, raised, cosine(steps=5)], 4, tmp_path / "a.html")
    assert [curve["name"].partition("(")[0] for curve in figure.data] == [
        "halving", "functools.partial", "cosine"
    ]  # fmt: skip
    assert figure.data[0]["y"] == [1.0, 0.5, 0.25, 0.125]
    assert figure.data[1]["y"] == [1.0, 2.0, 4.0, 8.0]
    assert plot_schedules({"mine": halving}, 2).data[0]["y"] == [1.0, 0.5]


def test_on_a_logarithmic_axis_zero_is_a_gap() -> None:
    figure = plot_schedules(linear(1.0, 0.0, 4), 6, log=True)
    assert figure.layout["yaxis"]["type"] == "log"
    assert figure.data[0]["y"] == [1.0, 0.75, 0.5, 0.25, None, None]
    assert plot_schedules(linear(1.0, 0.0, 4), 6).data[0]["y"][4:] == [0.0, 0.0]


@pytest.mark.parametrize("steps", [1, 2, MOST_POINTS, MOST_POINTS + 1, 3 * MOST_POINTS, 1_000_003])
def test_long_curves_are_thinned_and_keep_both_ends(steps: int) -> None:
    schedule = warm_restarts(1.0, period=1000, growth=2)
    (curve,) = plot_schedules(schedule, steps).data
    assert curve["x"][0] == 0
    assert curve["x"][-1] == steps - 1
    assert len(set(curve["x"])) == len(curve["x"]) <= MOST_POINTS + 1
    assert len(curve["x"]) >= min(steps, MOST_POINTS / 2)
    assert [schedule(k) for k in curve["x"]] == curve["y"]


def test_the_page_shows_the_figure_and_loads_nothing(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "schedules.html"
    figure = plot_schedules(NAMED, 60, path, log=True)
    assert [file.name for file in path.parent.iterdir()] == ["schedules.html"]
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    check_loads_nothing(page, text)
    assert len(text) < 100_000

    drawn = json.loads(page.scripts["figure"])
    assert drawn == {"data": figure.data, "layout": figure.layout}
    assert [trace["y"] for trace in drawn["data"]] == [curve["y"] for curve in figure.data]
    assert drawn["layout"]["yaxis"]["type"] == "log"
    words = " ".join(page.words)
    for name, schedule in NAMED.items():
        assert name in words
        assert repr(schedule) in words
    assert re.findall(r"--e(\d):#", " ".join(page.styles)) == ["0", "1", "0", "1"]


def test_the_page_holds_what_its_buttons_save(tmp_path: Path) -> None:
    plot_schedules(NAMED, 60, tmp_path / "a.html")
    saved = json.loads(Page((tmp_path / "a.html").read_text(encoding="utf-8")).scripts["saved"])
    assert saved["names"] == list(NAMED)
    for each, (name, schedule) in zip(saved["record"]["schedules"], NAMED.items(), strict=True):
        assert (each["name"], each["code"]) == (name, repr(schedule))
        assert each["values"] == [schedule(k) for k in each["steps_taken"]]


def test_a_path_may_be_text_and_a_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.HTML"
    plot_schedules(constant(1.0), 1, str(path))
    first = path.read_text(encoding="utf-8")
    plot_schedules(constant(2.0), 1, str(path))
    assert "constant(1.0)" in first
    assert "constant(2.0)" in path.read_text(encoding="utf-8")
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("name", ["a.png", "a", "a.htm", "html"])
def test_another_kind_of_file_is_refused_and_not_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=r"must end in \.html, got "):
        plot_schedules(NAMED, 10, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("steps", [0, -1, 2.5, True, "9"])
def test_steps_are_a_whole_number(steps: Any) -> None:
    with pytest.raises(ValueError, match="steps must be an integer of at least 1, got"):
        plot_schedules(NAMED, steps)


@pytest.mark.parametrize("wrong", [0.1, [0.1], {"a": 1.0}, "cosine", None])
def test_what_is_no_schedule_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"Expected schedules, such as .*, got"):
        plot_schedules(wrong, 10)


@pytest.mark.parametrize("nothing", [[], {}])
def test_nothing_to_draw_is_refused(nothing: Any) -> None:
    with pytest.raises(ValueError, match="No schedules to draw: expected at least one"):
        plot_schedules(nothing, 10)
