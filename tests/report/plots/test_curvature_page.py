"""The page of a model's curvature: what it draws, and what it says."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.report.test_browser import CHROMIUM, DESK, PHONE, QUIET, Visit, check_layout, playwright
from thalweg.report.plots.curvature import curvature_page, write_curvature_page
from thalweg.report.words.curvature import along_lines, curvature_lines, layer_lines


def estimate(value: float, stderr: float, gradients: float) -> dict[str, Any]:
    return {"value": value, "stderr": stderr, "gradients": gradients, "products": 1, "samples": 2}


def ends(low: float, high: float) -> dict[str, Any]:
    return {
        "largest": [high], "largest_errors": [0.25], "smallest": [low], "smallest_errors": [0.125],
        "products": 20, "gradients": 41.0,
    }  # fmt: skip


def record(**changes: Any) -> dict[str, Any]:
    """Return a document as `thalweg curvature --json` prints one."""
    found = {
        "schema": "thalweg.curvature/1", "task": "mine <digits>", "optimizer": "sgd", "epochs": 3,
        "matrix": "hessian", "seed": 0, "parameters": 2410, "mode": "evaluation mode",
        "eigenvalues": ends(-1.0, 3.0), "condition": math.inf,
        "layers": {"0": ends(-0.5, 2.0), "": ends(0.1, 1.0)},
        "trace": estimate(29.0, 1.0, 96.0), "negative_share": estimate(0.25, 0.0625, 240.0),
        "density": {
            "x": [-1.0, 0.0, 1.0, 2.0, 3.0], "density": [0.01, 10.0, 0.5, 0.0, 0.125],
            "stderr": [0.01, 1.0, 0.25, 0.0, math.nan],
            "probes": 2, "products": 60, "gradients": 120.0,
        },
        "noise_scale": {**estimate(40.0, 9.0, 1.0), "batch_rows": 128},
        "sharpness": {
            **estimate(3.0, 0.25, 74.0), "optimizer": "SGD", "lr": 0.5, "threshold": 2.0,
            "is_scaled": False, "stable_up_to": 4.0, "ratio": 0.75,
        },
        "notes": ["a note & more"], "gradients": 556.0,
        "along": [
            {
                "step": step, "loss": 1.0, "sharpness": 0.5 * step, "residual": 0.125,
                "stable_up_to": 4.0, "lr": 0.5, "gradients": 35.0,
            }
            for step in (1, 2, 4)
        ],
    }  # fmt: skip
    return found | changes


def figure_of(page: str) -> dict[str, Any]:
    start = page.index('id="figure">') + len('id="figure">')
    found: dict[str, Any] = json.loads(page[start : page.index("</script>", start)])
    return found


def test_the_figures_are_lines_with_error_and_cost() -> None:
    lines = curvature_lines(record())
    assert lines[0] == ("largest eigenvalue", "3 ± 0.2", "41 gradients")
    assert ("condition", "inf", "") in lines
    assert ("noise scale, rows of 128", "40 ± 9", "1 gradient") in lines
    assert ("  stable up to", "4", "lr 0.5") in lines
    assert layer_lines(record())[1] == (
        "layer (the model)", "0.1 ± 0.1 to 1 ± 0.2", "41 gradients",
    )  # fmt: skip
    assert along_lines(record()["along"])[2] == (
        "sharpness, step 4", "2 ± 0.1, 0.5 of 4", "35 gradients",
    )  # fmt: skip
    assert along_lines([{**record()["along"][0], "stable_up_to": None}])[0][1] == "0.5 ± 0.1"
    few = curvature_lines(record(noise_scale=None, sharpness=None))
    assert len(few) == len(lines) - 4


def test_the_density_has_its_band_and_the_edge_a_line(tmp_path: Path) -> None:
    page = curvature_page(record())
    figure = figure_of(page)
    low, high, middle, measured, limit = figure["data"]
    assert middle["y"] == pytest.approx([0.01, 10.0, 0.5, 1e-5, 0.125])
    assert low["y"] == pytest.approx([1e-5, 9.0, 0.25, 1e-5, 0.125]), "no lower than it is drawn"
    assert high["y"] == pytest.approx([0.02, 11.0, 0.75, 1e-5, 0.125])
    assert high["fill"] == "tonexty"
    layout = figure["layout"]
    assert [shape["x0"] for shape in layout["shapes"]] == [4.0]
    assert layout["annotations"][0]["text"] == "2/lr = 4"
    assert layout["xaxis"]["range"][1] > 4.0
    assert (measured["y"], measured["error_y"]["array"]) == ([0.5, 1.0, 2.0], [0.125] * 3)
    assert limit["y"] == [4.0] * 3
    assert "mine &lt;digits&gt;" in page
    assert "a note &amp; more" in page
    assert "0.75 of what SGD with lr 0.5 is stable at" in page
    for name, *_ in (*curvature_lines(record()), *layer_lines(record())):
        assert f"<dt>{name.strip()}</dt>" in page
    written = write_curvature_page(record(), tmp_path / "new" / "page.html")
    assert written.read_text(encoding="utf-8") == page
    with pytest.raises(ValueError, match=r"ends in \.html"):
        write_curvature_page(record(), tmp_path / "page.txt")


def test_no_line_is_drawn_where_the_edge_is_of_another_matrix_or_far_away() -> None:
    sharp = record()["sharpness"]
    for changes in ({"is_scaled": True}, {"stable_up_to": 40.0}, {"stable_up_to": math.inf}):
        page = curvature_page(record(sharpness={**sharp, **changes}, along=[]))
        assert "shapes" not in figure_of(page)["layout"]
        assert "Not drawn is the largest eigenvalue" in page
        assert len(figure_of(page)["data"]) == 3
    bare = curvature_page(record(sharpness=None, along=[], layers={}, notes=[]))
    assert "Not drawn is the largest eigenvalue" not in bare
    assert "Ends by layer" not in bare
    alone = record(along=[{**record()["along"][0], "stable_up_to": None, "lr": None}])
    assert [trace["name"] for trace in figure_of(curvature_page(alone))["data"]][-1] == "sharpness"


@pytest.fixture
def chromium() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        own = started.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        yield own
        own.close()


@pytest.mark.full
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
def test_the_page_in_a_browser(chromium: Any, tmp_path: Path) -> None:
    path = write_curvature_page(record(), tmp_path / "page.html")
    desk = Visit(chromium, path, DESK)
    name, content = desk.saved('[data-save="csv"]')
    assert name == "curvature-mine-digits.csv"
    rows = list(csv.reader(io.StringIO(content)))
    assert rows[0] == ["curve", "x", "y"]
    assert len(rows) == 1 + 3 * 5 + 2 * 3
    assert desk.said == []
    desk.context.close()
    phone = Visit(chromium, path, PHONE)
    check_layout(phone)
    phone.context.close()
