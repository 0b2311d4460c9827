"""The pages with one figure in a real browser."""

from __future__ import annotations

import csv
import io
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.report.plots.test_range_test_page import RATES, record
from tests.report.test_browser import CHROMIUM, DESK, PHONE, QUIET, Visit, check_layout, playwright
from thalweg.report.plots.range_test import plot_range_test
from thalweg.report.plots.schedule import plot_schedules
from thalweg.schedules import cosine

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        own = started.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        yield own
        own.close()


def test_a_page_with_one_figure_saves_what_it_shows(chromium: Any, tmp_path: Path) -> None:
    plot_range_test(record(), tmp_path / "lr.html")
    plot_schedules({"a, <b>": cosine(1.0, steps=4)}, 5, tmp_path / "schedules.html")
    ranged = Visit(chromium, tmp_path / "lr.html", DESK)
    name, content = ranged.saved('[data-save="csv"]')
    assert name == "range-test-b-mine-digits-script.csv"
    rows = list(csv.reader(io.StringIO(content)))
    assert rows[0] == ["curve", "learning_rate", "loss"]
    assert len(rows) == 1 + 61 + 46 + 46
    assert [float(row[1]) for row in rows if row[0] == "seed 3"] == pytest.approx(RATES)
    name, content = ranged.saved('[data-save="json"]')
    assert (name, json.loads(content)) == ("range-test-b-mine-digits-script.json", record())
    planned = Visit(chromium, tmp_path / "schedules.html", DESK)
    name, content = planned.saved('[data-save="csv"]')
    assert name == "schedules.csv"
    assert list(csv.reader(io.StringIO(content)))[1] == ["a, <b>", "0", "1"]
    for visited in (ranged, planned):
        assert visited.said == []
        visited.context.close()


def test_rates_do_not_touch_on_a_phone(chromium: Any, tmp_path: Path) -> None:
    plot_range_test(record(), tmp_path / "lr.html")
    phone = Visit(chromium, tmp_path / "lr.html", PHONE)
    check_layout(phone)
    ticks = "[...document.querySelectorAll('.x-tick')]"
    boxes = phone.page.evaluate(
        f"{ticks}.map(t => t.getBoundingClientRect()).map(b => [b.left, b.right])"
    )
    assert 3 <= len(boxes) <= 7
    assert all(a[1] < b[0] for a, b in itertools.pairwise(boxes))
    phone.context.close()


def test_a_chart_is_read_with_keys_and_a_part_of_it_is_seen(chromium: Any, tmp_path: Path) -> None:
    plot_range_test(record(), tmp_path / "lr.html")
    visited = Visit(chromium, tmp_path / "lr.html", DESK)
    page, ticks = visited.page, "[...document.querySelectorAll('.y-tick')].map(t => t.textContent)"
    page.focus(".chart")
    page.keyboard.press("ArrowRight")
    assert page.inner_text(".tip") == "seed 3: 2 at 10⁻⁵"
    page.keyboard.press("ArrowDown")
    assert page.inner_text(".tip") == "seed 4: 2.1 at 10⁻⁵"
    page.keyboard.press("Escape")
    assert not page.locator(".tip").is_visible()
    whole = page.evaluate(ticks)
    box = page.locator(".chart").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 300, box["y"] + 150)
    page.mouse.down()
    page.mouse.move(box["x"] + 600, box["y"] + 250)
    page.mouse.up()
    assert page.evaluate(ticks) != whole
    page.click("text=Whole chart")
    assert page.evaluate(ticks) == whole
    assert not page.locator("text=Whole chart").is_visible()
    assert visited.said == []
    visited.context.close()
