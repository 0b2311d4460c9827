"""The page of a lab in a real browser: its slider moves between results that were computed ahead."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.report.test_browser import CHROMIUM, PHONE, QUIET, Visit, check_layout, playwright
from thalweg import labs

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
LINES = "[...document.querySelectorAll('.chart .curve')].map(l => l.getAttribute('d')).join()"
SHOWN = (
    "[...document.querySelectorAll('[data-stop]')].filter(b => b.checkVisibility())"
    ".map(b => b.dataset.stop)"
)


@pytest.fixture(scope="module")
def phone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visit]:
    page = tmp_path_factory.mktemp("labs") / "layers.html"
    labs.write_lab_page(labs.sweep(labs.run("many-layers")), page)
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        visited = Visit(browser, page, PHONE)
        yield visited
        assert visited.said == []
        assert [url for url in visited.asked if not url.startswith(("file:", "blob:"))] == []
        browser.close()


def test_keys_move_the_slider_and_all_that_belongs_to_it(phone: Visit) -> None:
    page = phone.page
    check_layout(phone)
    phone.until(f"{LINES}.length > 100")
    assert page.evaluate(SHOWN) == ["3"]
    before = page.evaluate(LINES)
    page.focus("#slider")
    page.keyboard.press("ArrowRight")
    phone.until(f"{LINES} !== {json.dumps(before)}")
    assert page.evaluate(SHOWN) == ["4"]
    assert page.inner_text("#slider-value") == "40 layers"
    assert page.get_attribute("#slider", "aria-valuetext") == "40 layers"
    assert "ε = 0.1: first order" in page.inner_text("[data-stop='4']")
    assert "There is nothing for it to watch" in page.inner_text("[data-stop='4']")
    name, content = phone.saved('[data-save="json"]')
    assert (name, json.loads(content)["settings"]["layers"]) == ("lab-many-layers.json", 40)
    page.focus("#slider")
    page.keyboard.press("Home")
    phone.until(f"{SHOWN}.join() === '0'")
    _, content = phone.saved('[data-save="csv"]')
    assert content.splitlines()[0] == "curve,learning rate ε,change of ŷ"
    check_layout(phone)


def test_it_is_legible_in_the_dark(phone: Visit) -> None:
    phone.page.emulate_media(color_scheme="dark")
    background = "getComputedStyle(document.querySelector('.card')).backgroundColor"
    phone.until(f"{background} === 'rgb(24, 27, 31)'")
    ticks = "getComputedStyle(document.querySelector('.x-tick')).fill"
    phone.until(f"{ticks} === 'rgb(176, 182, 190)'")
