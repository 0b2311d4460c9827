"""The command, the picture and the page of a graph."""

from __future__ import annotations

import csv
import io
import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import torch

from tests.cli.commands import call, line_file
from tests.network.test_nodes import Blocks, gauges_of
from tests.report.test_browser import CHROMIUM, PHONE, QUIET, Visit, playwright
from thalweg.cli.graph import EXAMPLES
from thalweg.network.drawing import drawing
from thalweg.network.page import graph_page, write_graph_page
from thalweg.network.record import graph_record

__all__ = ["line_file"]


def test_the_command_prints_a_tree_and_writes_page_and_picture(line_file: Path) -> None:
    result = call("graph", "line.py:steep", "--html", "g.html", "--svg", "g.svg", "--unfold")
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0] == "Sequential: 4 calls; recorded while a batch ran through."
    assert lines[3].split() == ["0", "Linear", "4", "8", "8"]
    assert lines[-1] == "13 parameters; FLOPs a row: 16 forward, 24 backward"
    root = ET.parse("g.svg").getroot()  # it is our own file
    assert root.tag.endswith("svg")
    again = call("graph", "line.py:steep", "--html", "g.html")
    assert (again.exit_code, "--force" in again.stderr) == (2, True)


def test_json_is_the_record(line_file: Path) -> None:
    record = json.loads(call("graph", "line.py", "--json").stdout)
    assert record["schema"] == "thalweg.graph/1"
    assert [node["label"] for node in record["nodes"]] == ["input", "Linear"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("line.py", "nothing"), "There is no run 'nothing'"),
        (("line.py", "--rows", "0"), "--rows must be an integer ≥ 1"),
        (("line.py", "--svg", "a.png"), "ends in .svg"),
        (("line.py", "--html", "a.txt"), "ends in .html"),
        (("line.py:broken",), "cannot be run on"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(
    line_file: Path, arguments: tuple[str, ...], words: str
) -> None:
    result = call("graph", *arguments)
    assert result.exit_code == 2
    assert words in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert EXAMPLES[0].startswith("thalweg graph")


def test_names_of_modules_cannot_break_the_page() -> None:
    model = torch.nn.Sequential()
    model.add_module("</script><b>", torch.nn.Linear(2, 2))
    record = graph_record(model, torch.zeros(1, 2), name="<i>&", fold=True)
    page = graph_page(record)
    assert "</script><b>" not in page
    assert "<i>" not in page
    ET.fromstring(drawing(record, alone=True))  # it is our own text


def doctors(*verdicts: dict[str, str]) -> str:
    full = [
        {"kind": "fault", "status": "confirmed", "words": "Why.", "where": "", **v}
        for v in verdicts
    ]
    return json.dumps({"schema": "thalweg.doctor/1", "report": {"verdicts": full}})


def test_verdicts_mark_the_nodes_that_they_name(line_file: Path) -> None:
    found = [
        {"symptom": "dead_units", "where": "2"},
        {"symptom": "not_moving", "where": "0.weight", "kind": "warning"},
        {"symptom": "lr_too_high"},
    ]
    Path("doctor.json").write_text(doctors(*found))
    arguments = ("line.py:steep", "--doctor", "doctor.json", "--svg", "g.svg", "--html", "g.html")
    result = call("graph", *arguments)
    assert result.exit_code == 0, result.stderr
    assert "- Fault: dead units in 2 (confirmed). Why." in result.stdout
    svg = Path("g.svg").read_text()
    assert (svg.count('"mark fault"'), svg.count('"mark warning"')) == (1, 1)
    assert "Fault: lr too high (confirmed). Why." in Path("g.html").read_text()
    record = json.loads(call("graph", *arguments[:3], "--json").stdout)
    assert [len(node["verdicts"]) for node in record["nodes"]] == [0, 1, 0, 1]
    assert [each["symptom"] for each in record["elsewhere"]] == ["lr_too_high"]


@pytest.mark.parametrize(
    "text", ["", "[]", '{"schema": "thalweg.doctor/1"}', doctors({"where": "0"})]
)
def test_a_file_that_is_not_of_the_doctor_is_refused(line_file: Path, text: str) -> None:
    Path("doctor.json").write_text(text)
    result = call("graph", "line.py", "--doctor", "doctor.json")
    assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1), result.stderr
    assert "doctor.json" in result.stderr


_OFF_MIDDLE = """Math.max(...[...document.querySelectorAll(".node:not(.flat)")].map((node) => {
  const box = node.querySelector(".card-of").getBoundingClientRect();
  const written = [...node.querySelectorAll("text")].filter((each) => each.textContent);
  const lines = written.map((each) => each.getBoundingClientRect());
  const middle = (lines[0].top + lines[lines.length - 1].bottom) / 2;
  return Math.abs(middle - (box.top + box.bottom) / 2) / box.height;
}))"""
"""How far from the middle of a node its lines stand, as a share of its height; the most of all nodes."""


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
def test_the_page_in_a_browser(tmp_path: Path) -> None:
    model = Blocks(4)
    gauges = gauges_of(model, gradient=0.5, update=0.01, weight=2.0)
    record = graph_record(model, torch.zeros(2, 8, 32), name="blocks", gauges=gauges)
    page = write_graph_page(record, tmp_path / "graph.html")
    assert page.stat().st_size < 2**20
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        seen = Visit(browser, page, PHONE)
        assert seen.page.evaluate("document.documentElement.scrollWidth") <= 390
        assert seen.page.locator(".node").count() == 8
        assert seen.page.locator(".times").text_content() == "× 4"
        seen.page.click('[data-measure="ratio"]')
        assert seen.page.locator('[data-node="1"] .m').text_content() == "0.005"
        seen.page.click('[data-node="2"]')
        seen.page.keyboard.press("ArrowDown")
        said = seen.page.locator("#said").text_content() or ""
        assert "blocks.0.qkv" in said
        assert "blocks.3.qkv" in said
        name, content = seen.saved('[data-save="csv"]')
        rows = list(csv.reader(io.StringIO(content)))
        assert (name, len(rows)) == ("graph-blocks.csv", 9)
        assert ET.fromstring(seen.saved('[data-save="svg"]')[1]).tag.endswith("svg")
        plain = torch.nn.Sequential(torch.nn.Conv1d(1, 1, 1), torch.nn.AvgPool1d(2))
        few = graph_record(plain, torch.zeros(2, 1, 8), name="few")
        other = Visit(browser, write_graph_page(few, tmp_path / "few.html"), PHONE)
        for measure in ("FLOPs", "parameters"):  # two lines or three in a node
            other.page.click(f"text={measure}")
            assert other.page.evaluate(_OFF_MIDDLE) < 0.06
        assert seen.said == []
        assert [url for url in seen.asked if not url.startswith(("file:", "blob:"))] == []
        browser.close()
