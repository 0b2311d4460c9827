"""The command and the page of a landscape."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

from tests.cli.commands import call, interrupting, line_file
from tests.report.test_browser import CHROMIUM, PHONE, QUIET, Visit, playwright
from thalweg.cli.landscape import EXAMPLES
from thalweg.landscape import evaluated
from thalweg.landscape.page import landscape_page, write_landscape_page
from thalweg.landscape.record import SCHEMA
from thalweg.train import load_run

__all__ = ["line_file"]


def trained(name: str, *options: str) -> None:
    task = "line.py:steep" if "--plain" not in options else "line.py"
    given = [each for each in options if each != "--plain"]
    result = call("train", task, "--epochs", "3", "--out", name, *given)
    assert result.exit_code == 0, result.stderr


@pytest.fixture
def two(line_file: Path) -> Path:
    trained("a", "-o", "sgd", "--lr", "0.1", "--keep-path")
    trained("b", "-o", "adam", "--lr", "0.05", "--keep-path")
    return line_file.parent


def test_paths_and_grid_are_on_one_plane(two: Path) -> None:
    result = call(
        "landscape", "a", "b", "--points", "7", "--html", "l.html", "--svg", "l.svg", "--json"
    )
    assert result.exit_code == 0, result.stderr
    assert "evaluations of 48 rows, about" in result.stderr
    record: dict[str, Any] = json.loads(result.stdout)
    assert (record["schema"], record["plane"], record["rows"]) == (SCHEMA, "pca", 48)
    assert 0.5 < record["random_walk"] < 1
    assert record["evaluations"] == record["planned"]
    assert len(record["loss"]) == len(record["ys"])
    for path, name in zip(record["paths"], ("a", "b"), strict=True):
        run = load_run(two / name)
        assert path["loss"][-1] == pytest.approx(run.evaluate("train")["loss"], rel=1e-5)
        assert min(record["xs"]) < min(path["x"])
        assert max(path["x"]) < max(record["xs"])
    page = (two / "l.html").read_text()
    assert "Random walks from the same starts" in page
    picture = ElementTree.parse(two / "l.svg")
    words = [each.text for each in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert words[-2:] == ["sgd", "adam"]
    assert "--e1:" in (two / "l.svg").read_text()
    for option, name in (("--html", "l.html"), ("--svg", "l.svg")):
        refused = call("landscape", "a", option, name)
        assert (refused.exit_code, f"{name} exists" in refused.stderr) == (2, True)


def test_ends_alone_have_a_line_and_one_end_a_random_plane(line_file: Path) -> None:
    trained("a", "-o", "sgd")
    trained("b", "-o", "adam")
    both = json.loads(call("landscape", "a", "b", "--points", "5", "--json").stdout)
    assert both["plane"] == "line"
    assert all(abs(path["y"][0]) + path["off"][0] < 1e-5 for path in both["paths"])
    result = call("landscape", "a", "--points", "5")
    assert "two random directions" in result.stdout
    assert "Only the end is known of a" in result.stdout


def test_ctrl_c_keeps_what_is_computed(two: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupting(monkeypatch, evaluated, "_collected", at=12)
    result = call("landscape", "a", "b", "--points", "9", "--html", "l.html")
    assert result.exit_code == 130
    assert "It was interrupted" in result.stdout
    assert "It was interrupted" in (two / "l.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("a", "nothing"), "There is no run 'nothing'"),
        (("a", "other"), "several tasks"),
        (("a", "--plane", "pcaa"), "Did you mean"),
        (("a", "--points", "2"), "--points must be an integer ≥ 3"),
        (("a", "--span", "0"), "--span must be a number above 0"),
        (("cut",), "has neither"),
        (("edited",), "another model"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(
    line_file: Path, arguments: tuple[str, ...], words: str
) -> None:
    for name in {"a", *arguments} & {"a", "cut", "edited"}:
        trained(name)
    if "other" in arguments:
        trained("other", "--plain")
    if "cut" in arguments:
        (line_file.parent / "cut" / "model.safetensors").unlink()
    if "edited" in arguments:
        trained("plain", "--plain")
        (line_file.parent / "plain" / "model.safetensors").replace("edited/model.safetensors")
    result = call("landscape", *arguments)
    assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1), result.stderr
    assert words in result.stderr
    assert EXAMPLES[0].startswith("thalweg landscape")


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
def test_the_page_in_a_browser(two: Path) -> None:
    record = json.loads(call("landscape", "a", "b", "--points", "9", "--json").stdout)
    record["task"] = "</script><i>"
    assert "</script><i>" not in landscape_page(record)
    page = write_landscape_page(record, two / "l.html")
    assert page.stat().st_size < 2**20
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        seen = Visit(browser, page, PHONE)
        assert seen.page.evaluate("document.documentElement.scrollWidth") <= 390
        cut_off = """[...document.querySelectorAll(".plane text")].filter((each) => {
          const at = each.getBoundingClientRect(), all = each.ownerSVGElement.getBoundingClientRect();
          return at.left < all.left - 1 || at.right > all.right + 1;
        }).map((each) => each.textContent)"""
        assert seen.page.evaluate(cut_off) == []
        place = "document.querySelector('[data-way=\"1\"]').getAttribute('cx')"
        end = float(seen.page.evaluate(place))
        seen.page.focus("#share")
        seen.page.keyboard.press("Home")
        assert float(seen.page.evaluate(place)) != end
        assert "step 0: loss" in (seen.page.locator("#said").text_content() or "")
        rows = seen.saved('[data-save="csv"]')[1].splitlines()
        assert len(rows) == 1 + len(record["xs"]) * len(record["ys"])
        assert "--card" in seen.saved('[data-save="svg"]')[1]
        assert seen.said == []
        browser.close()
