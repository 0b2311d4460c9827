"""Gauges that a run records, and the movie of it."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from tests.cli.commands import call, line_file
from tests.exact import RERUN, RESUMED, same
from tests.report.test_browser import CHROMIUM, PHONE, QUIET, Visit, playwright
from thalweg.doctor import RecordGauges
from thalweg.errors import LogWarning
from thalweg.movies.of_run import page, run_record, write_run_movie
from thalweg.objective import Cost
from thalweg.tasks import Data, Task
from thalweg.train import RunFolder, fit, load_run
from thalweg.train.callbacks import Callback, Checkpoint
from thalweg.train.folder.gauges import Gauges, read_gauges, write_gauges

__all__ = ["line_file"]
ROUNDING = 1e-6
"""Root mean squares of a few float32, in another order."""


def wave() -> Task:
    x = np.linspace(-1, 1, 24, dtype="float32").reshape(-1, 1)
    model = lambda: nn.Sequential(nn.Linear(1, 4), nn.Tanh(), nn.Linear(4, 1))  # noqa: E731
    return Task(Data.arrays(x, np.sin(3 * x)), Cost("mse"), model, batch_size=6, epochs=3)


def rms(t: Tensor) -> float:
    return float(t.double().square().mean().sqrt())


class ByHand(Callback):
    """Root mean squares of gradient, update and weight of each parameter at each step."""

    def __init__(self) -> None:
        self.rows: dict[int, list[list[float]]] = {}
        self.losses: dict[int, float] = {}
        self._before: list[Tensor] = []

    def start(self, training: Any) -> None:
        self._before = [p.detach().clone() for p in training.model.parameters()]

    def step(self, training: Any, loss: float) -> None:
        pairs = list(zip(training.model.parameters(), self._before, strict=True))
        self.rows[training.step] = [
            [rms(p.grad) for p, _ in pairs],
            [rms(p.detach() - before) for p, before in pairs],
            [rms(before) for _, before in pairs],
        ]
        self.losses[training.step] = loss
        self.start(training)


def test_gauges_are_what_one_computes_by_hand(tmp_path: Path) -> None:
    hand = ByHand()
    record = RecordGauges(tmp_path, every=5)
    fit(wave(), "adam", lr=0.05, callbacks=[record, hand], progress=False)
    gauges = read_gauges(tmp_path)
    steps = gauges.arrays["steps"].tolist()
    assert steps == [1, 5, 10]
    for k, step in enumerate(steps):
        for name, row in zip(("gradient", "update", "weight"), hand.rows[step], strict=True):
            assert gauges.arrays[name][k].tolist() == pytest.approx(row, rel=1e-4, abs=ROUNDING)
        assert float(gauges.arrays["step_loss"][k]) == hand.losses[step]
    assert gauges.parameters == ("0.weight", "0.bias", "2.weight", "2.bias")


def test_the_run_is_the_same_with_gauges(tmp_path: Path) -> None:
    plain = fit(wave(), "adam", lr=0.05, progress=False)
    watched = fit(wave(), "adam", lr=0.05, callbacks=[RecordGauges(tmp_path)], progress=False)
    same(watched.model.state_dict(), plain.model.state_dict(), because=RERUN)


def test_a_resumed_run_goes_on_with_its_gauges(tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    fit(wave(), "sgd", callbacks=[RecordGauges(whole, every=2)], progress=False)
    for epochs in (1, 3):
        keep = Checkpoint(tmp_path / "c.safetensors", resume=True)
        record = RecordGauges(tmp_path, every=2)
        fit(wave(), "sgd", epochs=epochs, callbacks=[record, keep], progress=False)
    for name in ("steps", "gradient", "step_loss"):
        resumed, unbroken = (read_gauges(at).arrays[name] for at in (tmp_path, whole))
        same(resumed, unbroken, because=RESUMED)


def test_a_gauge_that_fails_does_not_end_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> bool:
        raise OSError("no")

    record = RecordGauges(tmp_path)
    monkeypatch.setattr("thalweg.doctor.gauges.updates.UpdateGauge.read", broken)
    with pytest.warns(LogWarning, match="Training goes on"):
        run = fit(wave(), "sgd", callbacks=[record], progress=False)
    assert run.epochs == 3


def filmed(folder: Path) -> Path:
    kept = RunFolder(folder)
    record = RecordGauges(folder, every=1)
    kept.finish(fit(wave(), "adam", lr=0.05, callbacks=[kept, record], progress=False))
    return folder


def test_the_record_holds_logarithms_of_the_gauges(tmp_path: Path) -> None:
    run = load_run(filmed(tmp_path / "r"))
    record = run_record(run)
    gauges = read_gauges(run.folder)
    assert record["steps"] == list(range(1, 13))
    for name in ("gradient", "update", "weight"):
        logs = np.array(record["maps"][name], dtype=float)
        assert 10 ** (logs / 100) == pytest.approx(gauges.arrays[name].numpy(), rel=0.012)
    losses = [c for c in record["curves"] if c["figure"] == "loss"]
    assert [point[1] for point in losses[0]["points"]] == pytest.approx(
        run.history.column("train_loss"), rel=1e-5
    )


def test_zero_and_not_finite_are_marked_and_names_cannot_break_the_page(tmp_path: Path) -> None:
    folder = filmed(tmp_path / "r")
    gauges = read_gauges(folder)
    arrays = {name: array.clone() for name, array in gauges.arrays.items()}
    arrays["gradient"][0, 0], arrays["gradient"][1, 0] = 0.0, float("nan")
    names = ["</script><i>", *list(gauges.parameters)[1:]]
    write_gauges(folder, Gauges(arrays, names, gauges.layers))
    record = run_record(load_run(folder))
    assert [row[0] for row in record["maps"]["gradient"][:2]] == [None, 9999]
    assert "</script><i>" not in page(load_run(folder))


def test_the_command_trains_with_gauges_and_makes_the_movie(line_file: Path) -> None:
    trained = call("train", "line.py", "--epochs", "2", "--gauges", "1", "--out", "runs/a")
    assert trained.exit_code == 0, trained.stderr
    made = call("movie", "a", "--out", "m.html", "--json")
    assert made.exit_code == 0, made.stderr
    assert json.loads(made.stdout)["schema"] == "thalweg.run_movie/1"
    assert (line_file.parent / "m.html").stat().st_size < 2**20
    assert call("graph", "line.py", "a").stdout.count("gradient norm") == 1


@pytest.mark.parametrize("damage", ["missing", "empty", "torn"])
def test_a_run_without_gauges_says_how_to_record_them(line_file: Path, damage: str) -> None:
    call("train", "line.py", "--epochs", "1", "--gauges", "1", "--out", "runs/a")
    file = line_file.parent / "runs" / "a" / "gauges.safetensors"
    if damage == "missing":
        file.unlink()
    elif damage == "torn":
        file.write_bytes(file.read_bytes()[:100])
    else:
        write_gauges(file.parent, Gauges({"steps": torch.zeros(0, dtype=torch.int64)}, (), ()))
    result = call("movie", "a")
    assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)
    assert ("--gauges" in result.stderr) == (damage != "empty")
    assert call("train", "line.py", "--gauges", "0").exit_code == 2


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
def test_the_movie_in_a_browser(tmp_path: Path) -> None:
    path = write_run_movie(load_run(filmed(tmp_path / "r")), tmp_path / "m.html")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        seen = Visit(browser, path, PHONE)

        def now() -> str:
            return seen.page.locator("#now").text_content() or ""

        assert seen.page.evaluate("document.documentElement.scrollWidth") <= 390
        seen.page.keyboard.press("Home")
        assert now().startswith("Step 1:")
        seen.page.keyboard.press("ArrowRight")
        assert now().startswith("Step 2:")
        seen.page.keyboard.press("End")
        assert now().startswith("Step 12:")
        update = seen.page.locator('[data-map="update"]')
        # brought into view by the click: where it lies depends on the fonts of the machine
        update.click(position={"x": update.bounding_box()["width"] - 6, "y": 6})
        assert "0.weight: gradient" in now()
        rows = list(csv.reader(io.StringIO(seen.saved('[data-save="csv"]')[1])))
        assert len(rows) == 1 + 12 * 4
        assert float(rows[1][7]) == pytest.approx(float(rows[1][5]) / float(rows[1][6]), rel=0.03)
        assert seen.saved('[data-save="svg"]')[1].count("<svg") == 6
        with Image.open(io.BytesIO(seen.saved_bytes('[data-save="gif"]')[1])) as picture:
            assert picture.n_frames == 12
            first = np.asarray(picture.convert("RGB")).copy()
            picture.seek(11)
            assert (np.asarray(picture.convert("RGB")) != first).any(axis=2).sum() > 200
        assert seen.said == []
        browser.close()
