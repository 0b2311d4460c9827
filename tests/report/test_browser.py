"""The pages in a real browser: what a reader sees, clicks and saves."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.report.example import HOSTILE, awkward, example, planted_race, planted_races
from thalweg.report import write_race_report
from thalweg.report.sections.learning import learning_curves

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.full,  # tests/report/plots/test_browser_one_figure.py stands for them in `make test`
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine"),
]

QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
RACES = {
    "one": planted_race(),
    "several": planted_races(),
    "hostile": example(),
    "nobody": awkward()["target reached by nobody"],
    "nothing": awkward()["nothing finished"],
}
DESK, PHONE = {"width": 1200, "height": 900}, {"width": 390, "height": 800}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    # one browser for all, since it takes seconds to start
    with playwright.sync_playwright() as started:
        own = started.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        yield own
        own.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("reports")
    for name, race in RACES.items():
        write_race_report(race, path / f"{name}.html")
    return path


class Visit:
    """A page, opened, with what it said and asked for."""

    def __init__(self, browser: Any, path: Path, size: dict[str, int]) -> None:
        self.context = browser.new_context(
            viewport=size, color_scheme="light", permissions=["clipboard-read", "clipboard-write"]
        )
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page = self.context.new_page()
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(path.as_uri())

    def as_at_first(self) -> None:
        """Put back what a test before may have changed; a page takes a second to open again."""
        self.page.set_viewport_size(DESK)
        self.page.emulate_media(media="screen", color_scheme="light")
        if self.page.locator(".chip.all").is_visible():
            self.page.click(".chip.all")
        for group in self.page.locator(".views:visible").all():
            group.locator("button").first.click()

    def until(self, expression: str) -> None:
        """Wait until an expression is true; the page's policy forbids Playwright's own way."""
        for _ in range(100):
            if self.page.evaluate(expression):
                return
            self.page.wait_for_timeout(50)
        raise AssertionError(f"never true: {expression}")

    def saved(self, selector: str) -> tuple[str, str]:
        """The name and the text of the file that a button saves."""
        name, content = self.saved_bytes(selector)
        return name, content.decode("utf-8")

    def saved_bytes(self, selector: str) -> tuple[str, bytes]:
        """The name and the content of the file that a button saves."""
        with self.page.expect_download() as download:
            self.page.click(selector)
        return download.value.suggested_filename, Path(download.value.path()).read_bytes()

    def seen(self, chart: str) -> list[str]:
        """The entrants whose lines a figure shows."""
        names: list[str] = self.page.evaluate(
            "id => [...document.querySelectorAll(`[id='${id}'] .trace`)].map(t => t.dataset.name)",
            chart,
        )
        return names

    def column(self, table: str, number: int) -> list[str]:
        """The sort keys of one column of a table, from the top."""
        keys: list[str] = self.page.evaluate(
            "([table, k]) => [...document.querySelectorAll(table + ' tbody tr')]"
            ".map(row => row.cells[k].dataset.key)",
            [table, number],
        )
        return keys


@pytest.fixture(scope="module")
def opened() -> dict[str, Visit]:
    return {}


@pytest.fixture
def visit(browser: Any, folder: Path, opened: dict[str, Visit]) -> Iterator[Any]:
    def open_page(name: str) -> Visit:
        if name not in opened:
            opened[name] = Visit(browser, folder / f"{name}.html", DESK)
        opened[name].as_at_first()
        return opened[name]

    yield open_page
    for one in opened.values():
        assert one.said == []
        assert [url for url in one.asked if not url.startswith(("file:", "blob:", "data:"))] == []


def check_layout(visited: Visit) -> None:
    """Nothing sticks out of the page or of its card, and no visible figure is empty."""
    page = visited.page
    visited.until(
        "[...document.querySelectorAll('.chart > svg')].filter(s => s.checkVisibility())"
        ".every(s => s.viewBox.baseVal.width === s.closest('.chart').clientWidth)"
    )
    width, inner = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert width <= inner
    empty = page.evaluate(
        "[...document.querySelectorAll('.chart')].filter(c => c.offsetParent)"
        ".filter(c => !c.querySelector('svg .trace')).length"
    )
    assert empty == 0
    cut = page.evaluate(
        "[...document.querySelectorAll('.chart')].filter(c => c.offsetParent).flatMap(c => {"
        " const b = c.getBoundingClientRect(); return [...c.querySelectorAll('text')].filter(t => {"
        " const r = t.getBoundingClientRect(); return r.left < b.left - 1 || r.right > b.right + 1; })"
        ".map(t => t.textContent); })"
    )
    assert cut == []
    beyond = page.evaluate(
        "[...document.querySelectorAll('.card')].filter(c => c.offsetParent"
        " && [...c.querySelectorAll('.chart, .code, dl')].some(e =>"
        " e.getBoundingClientRect().right > innerWidth)).map(c => c.id)"
    )
    assert beyond == []


@pytest.mark.parametrize("name", RACES)
def test_pages_load_without_errors_or_network_at_any_width(visit: Any, name: str) -> None:
    visited = visit(name)
    check_layout(visited)
    for width in (900, 390, 320):
        visited.page.set_viewport_size({"width": width, "height": 800})
        check_layout(visited)


def test_a_page_opened_on_a_phone_fits_it(browser: Any, folder: Path) -> None:
    phone = Visit(browser, folder / "one.html", PHONE)
    check_layout(phone)
    assert phone.page.evaluate("document.getElementById('curves-chart').clientWidth") <= 390
    scrolls = "document.querySelector('#ranking .scroll').scrollWidth"
    assert phone.page.evaluate(scrolls) > 390  # the table scrolls, inside its card
    assert phone.said == []
    phone.context.close()


def test_a_table_sorts_both_ways_by_mouse_and_by_keyboard(visit: Any) -> None:
    visited = visit("one")
    page, table = visited.page, "#ranking .ranking"
    steps = page.locator("#ranking .ranking th").nth(2)
    steps.locator("button").click()
    keys = [float(key) for key in visited.column(table, 2)]
    assert keys == sorted(keys)
    assert steps.get_attribute("aria-sort") == "ascending"
    steps.locator("button").focus()
    page.keyboard.press("Enter")
    keys = [float(key) for key in visited.column(table, 2)]
    assert keys[:-1] == sorted(keys[:-1], reverse=True)
    assert keys[-1] == 9e99  # the miss stays last
    assert steps.get_attribute("aria-sort") == "descending"
    assert page.locator("#ranking th[aria-sort]").count() == 1
    assert page.locator("#ranking .ranking").get_attribute("data-sorted") == "otherwise"
    page.locator("#ranking .ranking th button").nth(1).click()
    names = visited.column(table, 1)
    assert names == sorted(names)
    page.locator("#ranking .ranking th button").nth(0).click()
    ranks = [float(key) for key in visited.column(table, 0)]
    assert ranks == sorted(ranks)
    assert page.locator("#ranking .ranking").get_attribute("data-sorted") is None
    assert page.locator("#cost th[aria-sort]").count() == 0


def test_chips_switch_entrants_off_in_every_figure(visit: Any) -> None:
    visited = visit("one")
    page = visited.page
    charts = ["curves-chart", "sensitivity-chart", "tuning-chart"]
    assert all("adam" in visited.seen(chart) for chart in charts)
    assert not page.locator(".chip.all").is_visible()
    page.click('.chip[data-entrant="adam"]')
    assert page.locator('.chip[data-entrant="adam"]').get_attribute("aria-pressed") == "false"
    assert all("adam" not in visited.seen(chart) for chart in charts)
    assert all("nesterov" in visited.seen(chart) for chart in charts)
    page.click(".chip.all")
    assert all("adam" in visited.seen(chart) for chart in charts)
    page.dblclick('.chip[data-entrant="sgd"]')
    assert set(visited.seen("curves-chart")) == {"sgd"}


def test_buttons_choose_what_a_figure_shows(visit: Any) -> None:
    visited = visit("one")
    page = visited.page

    def shown() -> tuple[Any, ...]:
        return tuple(
            page.evaluate(
                "['.axis-title', '.x-tick'].flatMap(s => "
                "[...document.querySelectorAll(`#curves-chart ${s}`)].map(t => t.textContent))"
            )
        )

    assert shown() == ("validation accuracy, best so far", "steps", "100", "200", "300")
    page.click('#curves [data-answer="seconds"]')
    assert shown()[1:3] == ("seconds of training", "0.1")
    page.click('#curves [data-answer="measured"]')
    assert shown()[:2] == ("validation accuracy", "seconds of training")
    page.click('#curves [data-answer="gradients"]')
    assert shown()[:2] == ("validation accuracy", "gradient-equivalents")
    pressed = page.locator('#curves [aria-pressed="true"]').all_inner_texts()
    assert pressed == ["gradients", "as measured"]
    page.click('#sensitivity [data-answer="final"]')
    title = page.locator("#sensitivity-chart .axis-title").first.text_content()
    assert title == "final validation accuracy"


def test_what_is_saved_is_what_is_seen(visit: Any) -> None:
    visited, race = visit("one"), RACES["one"]
    page = visited.page
    page.click('#curves [data-answer="measured"]')
    page.click('.chip[data-entrant="adam"]')
    name, content = visited.saved("#curves .csv")
    assert name == "race-digits-curves-steps-measured.csv"
    table = learning_curves(race, "steps", best_so_far=False)["table"]
    lines = list(csv.reader(io.StringIO(content)))
    assert lines[0] == table["columns"]
    wanted = [row for row in table["rows"] if row[0] != "adam"]
    assert [[row[0], *map(float, row[1:])] for row in lines[1:]] == wanted
    assert len(wanted) == 5 * 36

    name, content = visited.saved("#ranking .csv")
    assert name == "race-digits-ranking.csv"
    rows = list(csv.DictReader(io.StringIO(content)))
    assert [row["entrant"] for row in rows] == [p["entrant"] for p in race["standings"]]
    for row, place in zip(rows, race["standings"], strict=True):
        assert row["steps"] == ("" if place["steps"] is None else f"{place['steps']:g}")
        assert float(row["final"]) == place["final"]
    assert rows[1]["against_first_outcome"] == "not distinguishable"
    assert rows[3]["against_first_outcome"] == "worse"


def test_everything_can_be_saved(visit: Any) -> None:
    visited, race = visit("hostile"), RACES["hostile"]
    name, content = visited.saved('[data-save="json"]')
    assert name == "race-digits-script.json"
    assert json.loads(content) == race
    _, content = visited.saved('[data-save="trials"]')
    rows = list(csv.DictReader(io.StringIO(content)))
    assert [(row["entrant"], float(row["lr"])) for row in rows] == [
        (trial["entrant"], trial["lr"]) for trial in race["trials"]
    ]
    assert HOSTILE in {row["entrant"] for row in rows}
    _, content = visited.saved('[data-save="curves"]')
    rows = list(csv.DictReader(io.StringIO(content)))
    assert [float(row["accuracy"]) for row in rows] == [
        value for trial in race["trials"] for value in trial["curve"]["metric"]
    ]


def test_several_tasks_share_a_page(visit: Any) -> None:
    visited, several = visit("several"), RACES["several"]
    page = visited.page
    assert page.locator(".task:visible").count() == 1
    assert page.locator(".tabs a").all_inner_texts() == several["costs"]["tasks"]
    page.click('.tabs a[href="#task-2"]')
    assert page.locator(".task:visible h2").all_inner_texts() == ["parity"]
    assert page.locator('.tabs a[aria-current="true"]').inner_text() == "parity"
    assert "adam" in visited.seen("task-2-curves-chart")
    name, content = visited.saved("#task-2-ranking .csv")
    assert name == "race-parity-ranking.csv"
    first = next(csv.DictReader(io.StringIO(content)))
    assert first["entrant"] == several["races"][2]["standings"][0]["entrant"]
    name, content = visited.saved("#profiles .csv")
    assert name == "races-profiles.csv"
    adam = [row for row in csv.DictReader(io.StringIO(content)) if row["entrant"] == "adam"]
    assert [float(row["share"]) for row in adam] == several["profiles"]["share"]["adam"]
    _, content = visited.saved('#task-2 [data-save="json"]')
    assert json.loads(content) == several["races"][2]
    page.click('.chip[data-entrant="adam"]')
    page.click('.tabs a[href="#task-0"]')
    assert "adam" not in visited.seen("task-0-curves-chart")
    assert "adam" not in visited.seen("profiles-chart")


def test_the_winner_can_be_copied(visit: Any) -> None:
    visited = visit("hostile")
    page = visited.page
    page.click("#code .copy >> nth=0")
    visited.until("document.querySelector('.copy').textContent === 'Copied'")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.endswith("optimizer = optim.Adam(model.parameters(), lr=0.01)")


def test_figures_follow_the_colour_scheme(visit: Any) -> None:
    visited = visit("one")
    page = visited.page
    line = "getComputedStyle(document.querySelector('#curves-chart .curve')).stroke"
    read = (
        f"[getComputedStyle(document.body).backgroundColor, {line},"
        " getComputedStyle(document.querySelector('.name'), '::before').backgroundColor]"
    )
    light = page.evaluate(read)
    page.emulate_media(color_scheme="dark")
    dark = page.evaluate(read)
    assert all(a != b for a, b in zip(light, dark, strict=True))
    assert sum(map(int, dark[0][4:-1].split(","))) < 120 < sum(map(int, light[0][4:-1].split(",")))


def test_paper_is_light_and_shows_every_task(visit: Any) -> None:
    page = visit("several").page
    page.emulate_media(media="print", color_scheme="dark")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator(".task:visible").count() == 4
    assert not page.locator(".chips").is_visible()
    ink = "getComputedStyle(document.querySelector('#task-3-curves-chart text')).fill"
    assert page.evaluate(ink) == "rgb(76, 82, 90)"
    page.emulate_media(media="screen")
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator(".task:visible").count() == 1


def test_a_hostile_name_is_only_a_name(visit: Any) -> None:
    visited = visit("hostile")
    page = visited.page
    assert page.locator("#ranking .name").nth(2).inner_text() == HOSTILE
    assert HOSTILE in visited.seen("curves-chart")
    page.locator(".chip").nth(2).click()
    assert HOSTILE not in visited.seen("curves-chart")
    assert "digits </script>" in page.title()


def test_without_scripts_the_tables_can_be_read(browser: Any, folder: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((folder / "several.html").as_uri())
    assert page.locator(".task:visible").count() == 4
    assert page.locator("#task-1-ranking .ranking tbody tr").count() == 6
    assert page.locator("#pairwise td.bad").first.is_visible()
    assert page.locator("noscript").first.is_visible()
    context.close()


def test_heads_of_the_costs_are_one_line_on_a_phone(browser: Any, folder: Path) -> None:
    phone = Visit(browser, folder / "one.html", PHONE)
    height = "document.querySelector('#cost thead').getBoundingClientRect().height"
    assert phone.page.evaluate(height) < 40
    phone.context.close()


def test_text_has_enough_contrast(visit: Any) -> None:
    page = visit("one").page
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        ratios = page.evaluate(
            """() => {
              const css = getComputedStyle(document.documentElement);
              const light = (name) => {
                const value = parseInt(css.getPropertyValue(name).trim().slice(1), 16);
                const linear = [16, 8, 0].map((shift) => ((value >> shift) & 255) / 255)
                  .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
                return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
              };
              const ratio = (a, b) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
              const pairs = [["--ink", "--page"], ["--soft", "--page"], ["--faint", "--page"],
                ["--faint", "--card"], ["--accent", "--card"], ["--warn", "--warn-page"]];
              return pairs.map(([a, b]) => ratio(light(a), light(b)));
            }"""
        )
        assert min(ratios) >= 4.5, (scheme, ratios)
