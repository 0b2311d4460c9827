"""The picture of runs, and the page of one."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from thalweg.objective import Scores
from thalweg.report.plots.runs import plot_runs, write_run_page
from thalweg.train import Epoch, History

ROWS = [
    {
        "epoch": k,
        "train_loss": 1 / k,
        "validation_loss": 2 / k,
        "train_f1": 0.5,
        "validation_f1": 0.4,
    }
    for k in (1, 2, 3)
]
RECORD: dict[str, Any] = {
    "task": {"name": "a <b>", "rows": {"train": 3}},
    "recipe": {"optimizer": "adam", "lr": 0.1, "by_name": True, "accumulate": 1},
    "versions": {"torch": "2"},
    "results": {"test": {"loss": None, "f1": 0.25}},
    "stopped": "epochs",
    "seconds": 1.23456789,
}


def test_a_run_has_two_curves_a_panel_and_several_runs_one_each() -> None:
    one = plot_runs({"mine": ROWS})
    assert [(t["name"], t["yaxis"]) for t in one.data] == [
        ("training", "y"),
        ("validation", "y"),
        ("training", "y2"),
        ("validation", "y2"),
    ]
    bare = [{"epoch": 1, "train_loss": 3.0}]
    two = plot_runs({"mine": ROWS, "bare": bare})
    assert [(t["name"], t["yaxis"], t["y"][0]) for t in two.data] == [
        ("mine", "y", 2.0),
        ("bare", "y", 3.0),
        ("mine", "y2", 0.4),
    ]


def test_figures_that_are_not_finite_leave_a_gap() -> None:
    rows = [{"epoch": k, "train_loss": v} for k, v in enumerate((1.0, math.nan, math.inf, 2.0))]
    (trace,) = plot_runs({"mine": rows}).data
    assert trace["y"] == [1.0, None, None, 2.0]
    assert "type" not in plot_runs({"mine": rows[1:2]}).layout["yaxis"]


def test_the_page_says_what_the_record_says(tmp_path: Path) -> None:
    page = write_run_page(RECORD, ROWS, tmp_path / "page.html").read_text()
    assert "a &lt;b&gt;, adam" in page
    assert "a <b>" not in page.partition('id="saved"')[0]
    for words in ("<dt>test</dt><dd>loss NaN, f1 0.25</dd>", "<dd>1.23457</dd>", "train 3"):
        assert words in page
    assert "by name" not in page
    assert "accumulate" not in page.partition("<script")[0]


def test_what_cannot_be_drawn_is_said() -> None:
    with pytest.raises(ValueError, match="no epochs to draw"):
        plot_runs({"mine": []})
    with pytest.raises(ValueError, match=r"must end in \.html"):
        plot_runs({"mine": ROWS}, "a.png")


def history(epochs: int) -> History:
    scores = Scores(0.5, 0.0, {"accuracy": 0.9})
    return History([Epoch(k, 10 * k, 0.1, 1e-3, scores, scores) for k in range(1, epochs + 1)])


def test_a_history_is_a_data_frame_a_picture_and_a_table(tmp_path: Path) -> None:
    import pandas

    frame = history(3).to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    assert frame.index.tolist() == [1, 2, 3]
    assert frame["validation_accuracy"].tolist() == [0.9] * 3
    history(3).plot(tmp_path / "a.html")
    assert (tmp_path / "a.html").read_text() == history(3).plot().page
    assert 'srcdoc="&lt;!doctype html' in history(3).plot()._repr_html_()
    assert history(40)._repr_html_().count("<tr>") == 12
    assert "30 more" in history(40)._repr_html_()
    assert history(0)._repr_html_().count("<tr>") == 1
