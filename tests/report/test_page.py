from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from tests.report.example import example
from thalweg.report import race_page, write_race_report
from thalweg.report.figures import race_figures
from thalweg.report.palette import colours

# Attributes by which a page loads or leads to something else.
_LINKS = ("src", "href", "action", "data", "poster", "srcset", "background", "formaction")
_VOID = {"meta", "link", "br", "img", "input", "hr"}


class Page(HTMLParser):
    """Collects tags, links, scripts, styles and words, and checks that every tag closes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.scripts: dict[str, str] = {}
        self.styles: list[str] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self._script = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in _LINKS]
        self.links += [
            value or "" for name, value in attrs if name == "style" and "url(" in str(value)
        ]
        if tag == "script":
            self._script = dict(attrs).get("id") or f"script {len(self.scripts)}"
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        inside = self.open[-1] if self.open else ""
        if inside == "script":
            self.scripts[self._script] = self.scripts.get(self._script, "") + data
        elif inside == "style":
            self.styles.append(data)
        else:
            self.words.append(data)


@pytest.fixture(scope="module")
def result() -> dict[str, Any]:
    return example()


@pytest.fixture(scope="module")
def page(result: dict[str, Any]) -> Page:
    return Page(race_page(result))


def test_the_page_loads_nothing_from_elsewhere(page: Page, result: dict[str, Any]) -> None:
    assert page.links == []
    assert not {"link", "img", "iframe", "object", "embed"} & set(page.tags)
    assert not any("url(" in style or "@import" in style for style in page.styles)
    text = race_page(result)
    plotly = max(page.scripts.values(), key=len)
    assert "plotly.js" in plotly[:200]
    assert text.count(plotly) == 1
    assert "//" not in text.replace(plotly, "").replace("// ", "")
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy


def test_every_tag_is_closed(page: Page) -> None:
    assert page.open == []
    assert page.tags.count("html") == page.tags.count("main") == page.tags.count("table") == 1


def test_the_embedded_result_is_the_result(page: Page, result: dict[str, Any]) -> None:
    assert json.loads(page.scripts["race-data"]) == result
    assert json.loads(page.scripts["race-figures"]) == race_figures(result)


def test_names_are_shown_as_they_are_and_never_as_html(page: Page, result: dict[str, Any]) -> None:
    words = " ".join(page.words)
    for entrant in result["entrants"]:
        assert entrant["name"] in words
    assert result["task"] in words
    assert "b" not in page.tags or "<b>&mine" in words
    assert page.tags.count("script") == 4


def test_the_table_has_a_row_for_each_entrant_in_rank_order(result: dict[str, Any]) -> None:
    body = re.search(r"<tbody>(.*)</tbody>", race_page(result), re.DOTALL)
    assert body is not None
    rows = body[1].split("</tr>")[:-1]
    assert len(rows) == 3
    assert "adam" in rows[0]
    assert "upper edge" in rows[1]
    assert "missed" in rows[2]
    assert [row.count("<circle") for row in rows] == [2, 2, 0]
    assert [row.count("<path") for row in rows] == [0, 0, 1]


def test_cells_carry_what_they_are_sorted_by(result: dict[str, Any]) -> None:
    keys = re.findall(r'data-key="([^"]*)"', race_page(result))
    assert len(keys) == 3 * 8
    steps = [float(key) for key in keys[3::8]]
    assert steps == sorted(steps)
    assert steps[:2] == [20, 40]
    assert steps[2] > 1e9


def test_figures_show_every_entrant(result: dict[str, Any]) -> None:
    figures = race_figures(result)
    names = {entrant["name"] for entrant in result["entrants"]}
    for chart, views in figures.items():
        for view, figure in views.items():
            assert {trace["meta"]["entrant"] for trace in figure["data"]} == names, (chart, view)


def test_learning_curves_are_those_of_the_selected_rate(result: dict[str, Any]) -> None:
    measured = race_figures(result)["curves"]["measured"]["data"]
    (adam,) = [t for t in measured if t["meta"] == {"entrant": "adam", "role": "line"}]
    assert adam["x"] == [10, 20, 30, 40]
    assert adam["y"] == pytest.approx([0.65, 0.915, 0.945, 0.95])
    (around,) = [t for t in measured if t["meta"] == {"entrant": "adam", "role": "band"}]
    assert around["y"] == [0.7, 0.92, 0.95, 0.96, 0.94, 0.94, 0.91, 0.6]


def test_sensitivity_marks_selection_edge_and_misses(result: dict[str, Any]) -> None:
    figure = race_figures(result)["sensitivity"]["target"]
    by_role = {(t["meta"]["entrant"], t["meta"]["role"]): t for t in figure["data"]}
    adam, sgd = by_role["adam", "points"], by_role["sgd", "points"]
    assert (adam["x"], adam["y"]) == ([0.01, 0.1], [20, None])
    assert adam["marker"]["size"][0] > adam["marker"]["size"][1]
    assert adam["marker"]["symbol"] == ["circle", "circle"]
    assert sgd["marker"]["symbol"] == ["circle", "triangle-right"]
    assert by_role["adam", "misses"]["x"] == [0.1]
    assert by_role["sgd", "misses"]["x"] == [0.1]
    assert min(by_role["adam", "misses"]["y"]) > 40
    assert "missed" in figure["layout"]["yaxis"]["ticktext"]


def test_without_a_target_there_is_no_line_and_no_choice_of_sensitivity() -> None:
    result = example() | {"target": None}
    for summary in (*result["standings"], *result["sensitivity"]):
        summary.update(steps=None, seconds=None, reached=0)
    for chart in race_figures(result).values():
        for figure in chart.values():
            assert "shapes" not in figure["layout"]
    assert 'data-chart="sensitivity"' not in race_page(result)
    assert 'data-chart="sensitivity"' in race_page(example())


def test_a_race_without_trials_has_a_page_too() -> None:
    result = example()
    result.update(standings=[], sensitivity=[], trials=[])
    result["run"].update(finished=0)
    page = Page(race_page(result))
    assert "nothing to rank" in " ".join(page.words)


def test_the_report_is_written_whole(tmp_path: Path, result: dict[str, Any]) -> None:
    path = write_race_report(result, tmp_path / "deep" / "report.html")
    assert path.read_text(encoding="utf-8") == race_page(result)
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]


def test_an_optimizer_has_its_colour_whoever_else_runs() -> None:
    assert colours(["adam"])["adam"] == colours(["sgd", "mine", "adam"])["adam"]
    known = ["sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "mine", "yours"]
    chosen = colours(known)
    assert len({colour.light for colour in chosen.values()}) == len(known)
    assert len({colour.dark for colour in chosen.values()}) == len(known)
    assert len(colours([f"entrant {number}" for number in range(40)])) == 40
