from __future__ import annotations

import functools
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from tests.report.example import HOSTILE, awkward, example, planted_race, planted_races
from thalweg.report import notes, plain_table, race_page, verdict, write_race_report
from thalweg.report.parts.palette import colours, variable
from thalweg.report.sections.header import header
from thalweg.report.sections.provenance import run_section
from thalweg.report.sections.winner import winner_section

# Attributes by which a page loads or leads to something else.
_LINKS = ("src", "href", "action", "data", "poster", "srcset", "background", "formaction")
_VOID = {"meta", "link", "br", "img", "input", "hr"}


class Page(HTMLParser):
    """Collects tags, links, scripts, styles and words, and checks that every tag closes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.anchors: list[str] = []
        self.ids: list[str] = []
        self.headings: list[int] = []
        self.scripts: dict[str, str] = {}
        self.styles: list[str] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self._script = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        led = [value or "" for name, value in attrs if name in _LINKS]
        self.anchors += [link[1:] for link in led if link.startswith("#")]
        self.links += [link for link in led if not link.startswith("#")]
        self.ids += [value or "" for name, value in attrs if name == "id"]
        self.headings += [int(tag[1])] if tag in ("h1", "h2", "h3") else []
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


def check_loads_nothing(page: Page, text: str) -> None:
    """Check that a page of one figure is whole and asks for nothing outside it."""
    assert page.open == []
    assert page.links == []
    assert not {"link", "img", "iframe", "object", "embed", "b"} & set(page.tags)
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy.startswith("default-src 'none'")
    assert "//" not in text.replace("// ", "").replace("http://www.w3.org/2000/svg", "")


@pytest.fixture(scope="module")
def result() -> dict[str, Any]:
    return example()


@pytest.fixture(scope="module")
def page(result: dict[str, Any]) -> Page:
    return Page(race_page(result))


CASES = {
    "small": example,
    "planted": planted_race,
    "several tasks": planted_races,
    **{name: functools.partial(lambda race: race, race) for name, race in awkward().items()},
}


@pytest.mark.parametrize("case", CASES)
def test_whatever_the_race_the_page_is_whole_and_loads_nothing(case: str) -> None:
    given = CASES[case]()
    text = race_page(given)
    page = Page(text)
    assert page.open == []
    assert page.links == []
    assert not {"link", "img", "iframe", "object", "embed", "form"} & set(page.tags)
    assert not any("url(" in style or "@import" in style for style in page.styles)
    assert len(page.ids) == len(set(page.ids))
    assert set(page.anchors) <= set(page.ids)
    assert page.headings[0] == 1
    assert page.headings.count(1) == 1
    assert all(b - a <= 1 for a, b in zip(page.headings, page.headings[1:], strict=False))
    assert not re.search(r"\b(None|nan|inf|NaN)\b", " ".join(page.words).replace("NaN at step", ""))
    assert json.loads(page.scripts["race-data"]) == given
    assert text.count("const pointing =") == 1
    assert len(text) < 60_000 + 2 * len(page.scripts["race-data"] + page.scripts["race-figures"])
    assert verdict(given)
    assert plain_table(given) is not None
    assert notes(given) is not None


def test_the_policy_forbids_everything_else(result: dict[str, Any]) -> None:
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', race_page(result))
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy


def test_names_are_shown_as_they_are_and_never_as_html(page: Page, result: dict[str, Any]) -> None:
    words = " ".join(page.words)
    for entrant in result["entrants"]:
        assert entrant["name"] in words
    assert result["task"] in words
    assert page.tags.count("script") == 8
    assert page.tags.count("b") == 6  # the facts; the hostile name would add more
    assert f"# {HOSTILE}" in words
    text = race_page(result)
    assert text.count("</script>") == 8
    assert f"{variable(HOSTILE)}:#" in text


def test_sections_come_in_their_order() -> None:
    one = race_page(planted_race())
    keys = re.findall(r'<section class="card" id="([^"]*)"', one)
    assert keys == ["ranking", "curves", "sensitivity", "tuning", "cost", "code", "run", "notes"]
    several = race_page(planted_races())
    keys = re.findall(r'<section class="card" id="([^"]*)"', several)
    assert keys[:4] == ["costs", "profiles", "pairwise", "notes"]
    assert keys[4:6] == ["task-0-ranking", "task-0-curves"]
    assert {f"task-{k}-run" for k in range(4)} <= set(keys)


def test_what_is_not_there_has_no_section() -> None:
    pages = {name: race_page(race) for name, race in awkward().items()}
    for name, text in pages.items():
        assert 'id="run"' in text
        assert ('id="ranking"' in text) is (name != "nothing finished")
    assert "nothing to rank" in pages["nothing finished"]
    assert 'id="curves"' not in pages["nothing finished"]
    assert "not distinguishable" not in pages["one entrant"]
    assert 'class="forest"' not in pages["one entrant"]
    assert 'class="forest"' not in pages["no final trials yet"]


def test_the_winner_is_there_as_code(result: dict[str, Any]) -> None:
    text = race_page(result)
    blocks = re.findall(r"<pre tabindex=0><code>(.*?)</code></pre>", text, re.DOTALL)
    assert len(blocks) == 3
    assert blocks[0].endswith("optimizer = optim.Adam(model.parameters(), lr=0.01)")
    assert text.count('class="copy"') == 3


def test_cost_says_what_was_spent() -> None:
    race = planted_race()
    page = race_page(race)
    (card,) = re.findall(r'<section class="card" id="cost".*?</section>', page, re.DOTALL)
    (adam,) = [row for row in card.split("<tr") if "adam" in row and "<td" in row]
    (spent,) = [row for row in race["cost"] if row["entrant"] == "adam"]
    keys = re.findall(r'data-key="([^"]*)"', adam)
    assert float(keys[2]) == spent["tuning"]["gradients"] > 0
    assert float(keys[3]) == spent["final"]["gradients"] == 8 * 360
    assert "18 + 8" in adam
    assert "1.2" in adam  # milliseconds a step


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


def test_the_time_is_that_of_the_clock_where_it_is_known() -> None:
    race = planted_race()
    assert "<b>42\u00a0s</b><span>of training</span>" in header(race)
    race["run"]["wall_seconds"] = None
    assert "<span>of training</span>" in header(race)
    race["run"]["wall_seconds"] = 75.0
    assert "<b>1\u00a0min 15\u00a0s</b><span>in all</span>" in header(race)
    race["run"]["reused"] = 3
    assert "<span>in the last call</span>" in header(race)


def test_successive_halving_has_a_budget_of_full_points() -> None:
    race = planted_race()
    race["budget"]["search"] = "halving"
    assert "the budget of 9 full points by 2 seeds" in run_section(race).body
    assert "full points × seeds" in header(race)


def test_code_of_a_race_that_was_stopped_is_as_tuned_so_far() -> None:
    for name, words in (
        ("no final trials yet", "as tuned so far"),
        ("no target", "was tuned here"),
    ):
        section = winner_section(awkward()[name])
        assert section is not None
        assert words in section.hint


def test_what_older_results_call_the_engine_is_shown_as_the_executor() -> None:
    race = planted_race()
    run = {name: value for name, value in race["run"].items() if name != "executor"}
    older = {**race, "run": {**run, "engine": "local"}}
    assert run_section(older).body == run_section(race).body
