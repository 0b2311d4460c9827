from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest

from tests.report.test_page import Page, check_loads_nothing
from thalweg.report.plots.range_test import plot_range_test
from thalweg.report.terminal.range_bars import BARS_WIDTH, HEIGHT, range_bars

RATES = [10 ** (k / 10 - 5) for k in range(61)]


def record(**changes: Any) -> dict[str, Any]:
    """Two sweeps down a valley at 1e-2; the second ends early, far above where it started."""
    whole = [2.0 - math.exp(-((math.log10(rate) + 2) ** 2)) for rate in RATES]
    second = [value + 0.1 for value in whole[:45]] + [90.0]
    return {
        "schema": "thalweg.range_test/1",
        "task": "digits </script>",
        "optimizer": "<b>&mine",
        "batch_size": 1024,
        "suggestion": 0.005,
        "reason": "half of <0.01>, the middle",
        "notes": ["Mind <this>."],
        "start": 2.05,
        "rates": RATES,
        "median": [*whole[:46], *[None] * 15],
        "curve": whole[:46],
        "sweeps": [
            {"seed": 3, "start": 2.0, "losses": whole, "smoothed": whole, "stopped": "highest", "end": 10.0},
            {"seed": 4, "start": 2.1, "losses": second, "smoothed": second, "stopped": "risen", "end": 0.32},
        ],
        **changes,
    }  # fmt: skip


def test_each_sweep_is_thin_the_median_thick_and_the_suggestion_marked() -> None:
    given = record()
    figure = plot_range_test(given)
    assert [curve["name"] for curve in figure.data] == ["seed 3", "seed 4", "median"]
    for curve, losses in zip(
        figure.data, [given["sweeps"][0]["losses"], given["sweeps"][1]["losses"], given["curve"]], strict=True
    ):  # fmt: skip
        assert curve["y"] == losses
        assert curve["x"] == RATES[: len(losses)]
    thin, thick = figure.data[0]["line"]["width"], figure.data[2]["line"]["width"]
    assert thick > 2 * thin
    assert figure.layout["xaxis"]["type"] == "log"
    assert figure.layout["xaxis"]["range"] == pytest.approx([-5, 1])
    (mark,) = figure.layout["shapes"]
    assert mark["x0"] == mark["x1"] == 0.005
    (label,) = figure.layout["annotations"]
    assert (label["text"], label["x"]) == ("lr 0.005", pytest.approx(math.log10(0.005)))


def test_what_diverges_does_not_hide_the_valley() -> None:
    low, high = plot_range_test(record()).layout["yaxis"]["range"]
    assert 0.8 < low < 1.0
    assert 2.1 < high < 2.5


def test_without_a_suggestion_nothing_is_marked(tmp_path: Path) -> None:
    figure = plot_range_test(record(suggestion=None), tmp_path / "a.html")
    assert not {"shapes", "annotations"} & set(figure.layout)
    assert "<h1>No learning rate to suggest</h1>" in (tmp_path / "a.html").read_text(
        encoding="utf-8"
    )


def test_the_page_shows_the_figure_and_loads_nothing(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "lr.html"
    figure = plot_range_test(record(), path)
    assert [file.name for file in path.parent.iterdir()] == ["lr.html"]
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    check_loads_nothing(page, text)
    assert json.loads(page.scripts["figure"]) == {"data": figure.data, "layout": figure.layout}
    assert len(text) < 100_000
    words = " ".join(page.words)
    for part in (
        "<b>&mine on digits </script>", "Learning rate 0.005", "Half of <0.01>, the middle.", "Mind <this>.",
        "61 from 10⁻⁵ to 10", "1,024 rows", "2.05", "seed 3", "went through all rates, to 10",
        "4 times its least value, at 0.32",
    ):  # fmt: skip
        assert part in words
    assert re.findall(r"--e(\d):#", " ".join(page.styles)) == ["0", "0"]


def test_the_page_holds_what_its_buttons_save(tmp_path: Path) -> None:
    plot_range_test(record(), tmp_path / "a.html")
    page = Page((tmp_path / "a.html").read_text(encoding="utf-8"))
    saved = json.loads(page.scripts["saved"])
    assert saved["record"] == record()
    assert saved["columns"] == ["curve", "learning_rate", "loss"]
    assert saved["names"] == ["seed 3", "seed 4", "median"]
    assert [button for button in ("CSV", "JSON") if button in page.words] == ["CSV", "JSON"]


@pytest.mark.parametrize(
    "losses", [[], [0.0] * 5, [-3.0, -4.0]], ids=["not finite at once", "flat at 0", "negative"]
)
def test_odd_sweeps_are_drawn(tmp_path: Path, losses: list[float]) -> None:
    start = losses[0] if losses else 1.0
    sweep = {
        "seed": 0,
        "start": start,
        "losses": losses,
        "smoothed": losses,
        "stopped": "not finite",
        "end": 1e-5,
    }
    given = record(sweeps=[sweep], curve=losses, start=start, suggestion=None, batch_size=None)
    low, high = plot_range_test(given, tmp_path / "a.html").layout["yaxis"]["range"]
    assert low < start < high
    assert "all rows" in (tmp_path / "a.html").read_text(encoding="utf-8")
    assert len(range_bars(given)) == HEIGHT + 1


@pytest.mark.parametrize("name", ["a.png", "a", "html"])
def test_another_kind_of_file_is_refused_and_not_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=r"must end in \.html, got "):
        plot_range_test(record(), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


# -- the skyline in a terminal --------------------------------------------------------------------------


def heights(lines: list[str]) -> list[int]:
    """Return the height of each column in eighths."""
    rows = [line[11:].ljust(BARS_WIDTH) for line in lines[:HEIGHT]]
    return [sum(" ▁▂▃▄▅▆▇█".index(row[column]) for row in rows) for column in range(BARS_WIDTH)]


def test_the_skyline_is_the_median() -> None:
    curve = [2.05 - 0.02 * k for k in range(61)]  # a straight line over the whole width
    found = heights(range_bars(record(curve=curve)))
    top = 8 * HEIGHT
    assert found == [1 + round((1 - k / (BARS_WIDTH - 1)) * (top - 1)) for k in range(BARS_WIDTH)]


def test_the_skyline_is_cut_at_the_start_and_ends_with_the_median() -> None:
    found = heights(range_bars(record(curve=[2.05, 1.0, *[50.0] * 28])))
    assert found[0] == 8 * HEIGHT
    assert max(found) == 8 * HEIGHT
    assert min(height for height in found if height) <= 12
    end = round(29 / 60 * (BARS_WIDTH - 1))
    assert all(found[: end - 1])
    assert not any(found[end + 1 :])


@pytest.mark.parametrize("suggestion", [1e-5, 0.005, 3.0, 10.0])
def test_the_pointer_is_below_its_rate(suggestion: float) -> None:
    lines = range_bars(record(suggestion=suggestion))
    column = lines[-1].index("▲") - 11
    assert column == round((math.log10(suggestion) + 5) / 6 * (BARS_WIDTH - 1))
    assert f"lr {suggestion:g}" in lines[-1]
    decades = lines[-2]
    assert decades.index("0.001") - 11 == round(2 / 6 * (BARS_WIDTH - 1))
    assert all(len(line) <= 11 + BARS_WIDTH + 8 for line in lines)


def test_the_axis_names_the_start_and_the_least() -> None:
    lines = range_bars(record())
    assert lines[0].startswith("     2.05  ")
    assert lines[HEIGHT - 1].startswith("        1  ")
