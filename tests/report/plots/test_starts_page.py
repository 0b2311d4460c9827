"""The page and the notebook's view of how a model starts."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from thalweg.report.plots.depth import DepthLine, depth_svg
from thalweg.report.plots.starts import plot_starts, starts_html

NAMES = ("default", "<b>he</b>")


def record(layers: int = 3) -> dict[str, Any]:
    def started(name: str, slope: float) -> dict[str, Any]:
        rows = [
            {
                "layer": f"net.{k}",
                "activation": {"mean": slope * k, "std": 0.1},
                "gradient": {"mean": -6 + slope * k, "std": 0.2},
            }
            for k in range(layers)
        ]
        loss = {"mean": 2.5, "std": 0.01}
        steps = [12.0, 30.0, None]
        return {"strategy": name, "loss": loss, "drift": loss, "steps": steps, "layers": rows}

    return {
        "schema": "thalweg.init/1",
        "seeds": 5,
        "constant_loss": 2.302,
        "recommended": [NAMES[0]],
        "advice": "Recommended: default.",
        "strategies": [started(NAMES[0], 0.0), started(NAMES[1], -1.0)],
    }


RACE = {
    "verdict": "The best is among default and he: no winner.",
    "how": "adam for 3 epochs",
    "headings": ["start", "reached"],
    "rows": [["default", "0 of 8"], ["he", "0 of 8"]],
    "may_be_best": ["default", "he"],
    "evidence": ["default and he are not distinguishable: interval [-0.1, +0.2]."],
}


def points(svg: str, tag: str) -> list[list[tuple[float, float]]]:
    found = re.findall(rf'<{tag} points="([^"]*)"', svg)
    return [[tuple(map(float, p.split(","))) for p in each.split()] for each in found]  # type: ignore[misc]


def test_a_line_and_a_band_stand_where_the_numbers_are() -> None:
    line = DepthLine("he", ("a", "b", "c"), ((0.0, 0.5), (1.0, 0.5), (2.0, 0.5)))
    svg = depth_svg([line], "figure")
    ElementTree.fromstring(svg)
    (curve,), (band,) = points(svg, "polyline"), points(svg, "polygon")
    (x1, y1), (x2, y2), (x3, y3) = curve
    assert x2 - x1 == pytest.approx(x3 - x2, abs=0.2)
    assert y1 - y2 == pytest.approx(y2 - y3, abs=0.2)  # more is higher up, where y is smaller
    assert y1 > y2
    over, under = band[:3], band[:2:-1]
    for (_, high), (_, y), (_, low) in zip(over, curve, under, strict=True):
        assert (low - y, y - high) == pytest.approx(((y1 - y2) / 2,) * 2, abs=0.2)
    assert svg.count("<circle") == 3
    assert "he, b: +1.00 ± 0.50" in svg


@pytest.mark.parametrize("gone", [math.nan, math.inf, -math.inf, None])
def test_what_is_not_finite_is_a_gap(gone: float | None) -> None:
    given = record(5)
    given["strategies"][1]["layers"][2]["activation"]["mean"] = gone
    html = starts_html(given)
    assert html.count("<polyline") == 2 * 2 + 1
    assert "nan" not in html
    given["strategies"] = given["strategies"][1:]
    for row in given["strategies"][0]["layers"]:
        row["activation"]["mean"] = gone
    assert starts_html(given).count("<polyline") == 1


@pytest.mark.parametrize("layers", [1, 2, 200])
def test_any_depth_can_be_drawn(layers: int) -> None:
    for svg in re.findall(r"<svg.*?</svg>", starts_html(record(layers)), re.S):
        ElementTree.fromstring(svg)


def test_the_page_says_what_was_found_and_stands_alone(tmp_path: Path) -> None:
    document = json.loads(json.dumps({"task": "a <task>", **record(), "race": RACE}))
    page = plot_starts(document, tmp_path / "new" / "starts.html").read_text(encoding="utf-8")
    assert page.index(RACE["verdict"]) < page.index("Through the layers")  # type: ignore[arg-type]
    assert RACE["evidence"][0].replace("-0.1", "−0.1") in page
    assert "bears out the recommendation" in page
    other = {**document, "race": {**RACE, "may_be_best": ["he"]}}
    said = plot_starts(other, tmp_path / "other.html").read_text(encoding="utf-8")
    assert "does not bear out the recommendation: default is not among its best" in said
    assert "2.302" in page
    assert "+0.198" in page  # the loss above that of the best constant
    assert "30 (12 to never)" in page
    assert "&lt;b&gt;he&lt;/b&gt;" in page
    assert "<b>he</b>" not in page
    assert "a &lt;task&gt;" in page
    assert "http" not in page.replace("http-equiv", "")
    assert "<script" not in page
    alone = plot_starts(record(), tmp_path / "alone.html").read_text(encoding="utf-8")
    assert "After some training" not in alone
    assert '<p class="verdict">Recommended: default.</p>' in alone
    with pytest.raises(ValueError, match=r"ends in \.html"):
        plot_starts(record(), tmp_path / "page.txt")


def test_the_page_says_what_the_linear_steps_lead_to(tmp_path: Path) -> None:
    known = plot_starts(record(), tmp_path / "known.html").read_text(encoding="utf-8")
    unknown = plot_starts({**record(), "constant_loss": None}, tmp_path / "unknown.html")
    assert "to half of the best constant's loss" in known
    assert "to half of the lowest loss of these starts" in unknown.read_text(encoding="utf-8")
