"""Progress in a notebook, by IPython's own shell without a browser."""

from __future__ import annotations

import builtins
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.train.helpers import blobs, quiet
from thalweg.errors import TaskError
from thalweg.objective import Scores
from thalweg.train import Callback, fit, load_run
from thalweg.train.callbacks import Training
from thalweg.train.history import Epoch
from thalweg.train.running.notebook import NotebookTable, notebook_display

pytest.importorskip("IPython")
from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """IPython's shell as a kernel has it, which publishes into a list."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    monkeypatch.setattr(sys, "displayhook", sys.displayhook)
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    kept = dict(vars(builtins))
    shell = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
    shell.display_pub = CapturingDisplayPublisher()
    shell.kernel = "a kernel"
    yield shell
    InteractiveShell.clear_instance()
    for name in (
        vars(builtins).keys() - kept.keys()
    ):  # get_ipython and display, by which rich knows it
        delattr(builtins, name)


def published(shell: Any) -> list[dict[str, Any]]:
    return list(shell.display_pub.outputs)


def test_a_table_grows_in_one_output(shell: Any, capsys: pytest.CaptureFixture[str]) -> None:
    quiet(blobs(), epochs=3, progress=None, checkpoint_every=1)
    first, *others = published(shell)
    assert "display_id" in first["transient"]
    assert {each["transient"]["display_id"] for each in others} == {
        first["transient"]["display_id"]
    }
    assert all(each["update"] for each in others)
    last = others[-1]["data"]
    assert last["text/html"].count("<tr>") == 4  # names and three epochs
    for column in ("train_loss", "validation_accuracy", "lr", "seconds"):
        assert f"<th>{column}</th>" in last["text/html"]
    assert "<progress" not in last["text/html"]
    assert last["text/plain"].startswith("train loss 0.")
    assert capsys.readouterr() == ("", "")


def test_false_shows_nothing(shell: Any) -> None:
    quiet(blobs(), epochs=2, progress=False)
    assert published(shell) == []


def test_the_last_word_is_shown_when_training_fails(shell: Any) -> None:
    class Failing(Callback):
        def epoch(self, training: Training, record: Epoch) -> None:
            raise RuntimeError("no more")

    with pytest.raises(TaskError, match="no more"):
        quiet(blobs(), epochs=5, progress=None, callbacks=[Failing()])
    assert "<progress" not in published(shell)[-1]["data"]["text/html"]


def test_ipython_on_a_terminal_is_no_notebook(shell: Any) -> None:
    assert notebook_display() is not None
    del shell.kernel
    assert notebook_display() is None


def test_the_time_left_is_that_of_the_epochs_left(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    drawn: list[dict[str, str]] = []

    class Handle:
        def update(self, page: dict[str, str], raw: bool) -> None:
            drawn.append(page)

    table = NotebookTable(10, 4, lambda *_, **__: Handle())
    clock[0] = 130.0
    table.step(6, 0.5, 0.25)  # one and a half of six epochs in 30 s
    assert drawn[-1]["text/plain"] == "epoch 6 of 10  loss 0.25  about 90 s left"
    assert 'max="10" value="5.5"' in drawn[-1]["text/html"]
    table.step(6, 0.6, 0.25)
    assert len(drawn) == 1  # so soon nothing is drawn
    clock[0] = 140.0
    table.epoch(Epoch(6, 60, 40.0, 1e-3, Scores(0.5)))
    assert drawn[-1]["text/plain"] == "epoch 6 of 10  train loss 0.5000  about 80 s left"
    table.note("the data is slow: <cache>")
    assert "&lt;cache&gt;" in drawn[-1]["text/html"]
    table.close("stopped")
    assert drawn[-1]["text/plain"].splitlines() == [
        "train loss 0.5000",
        "the data is slow: <cache>",
        "stopped",
    ]


def test_runs_show_themselves(tmp_path: Path) -> None:
    run = fit(blobs(), "adam+cosine", lr=0.1, epochs=2, progress=False)
    assert "adam+cosine, lr=0.1" in repr(run.recipe)
    saved = load_run(run.save(tmp_path / "a&b"), run.task)
    for shown in (run._repr_html_(), saved._repr_html_()):
        assert shown.count("<tr>") == 3
    assert "a&amp;b" in saved._repr_html_()
