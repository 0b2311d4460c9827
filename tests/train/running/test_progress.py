from __future__ import annotations

import io
import sys

import pytest
import torch

from tests.train.helpers import blobs, quiet
from thalweg.errors import DivergedError
from thalweg.objective import Cost, Scores
from thalweg.tasks import Data, Target, Task
from thalweg.train.history import Epoch, summary


def test_plain_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    quiet(blobs(), epochs=2, progress=None)
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert [line.split("  ")[0] for line in lines] == ["epoch 1/2", "epoch 2/2"]
    assert "validation accuracy 0." in lines[0]
    quiet(blobs(), epochs=2, progress=None, stop_at=Target("loss", 100.0))
    assert "target reached at step 5" in capsys.readouterr().err


def test_false_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    quiet(blobs(), epochs=2, progress=False)
    assert capsys.readouterr() == ("", "")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    quiet(blobs(), epochs=2, progress=None)
    assert "2/2" in screen.getvalue()
    assert "validation loss" in screen.getvalue()


def test_without_rich_a_terminal_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    for name in ("rich", "rich.console", "rich.progress"):
        monkeypatch.setitem(sys.modules, name, None)
    quiet(blobs(), epochs=2, progress=None)
    assert screen.getvalue().startswith("epoch 1/2  train loss")


def test_the_bar_is_taken_down_when_training_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    model = torch.nn.Linear(2, 1).double()
    x = [[1.0, 2.0], [3.0, 4.0]]
    task = Task(Data.arrays(x, [[1.0], [2.0]]), Cost("mse"), model)
    with pytest.raises(DivergedError):
        quiet(task, torch.optim.SGD, lr=1e300, progress=None)
    assert screen.getvalue().endswith("\x1b[?25h")  # the cursor is shown again


def test_large_figures_are_short() -> None:
    record = Epoch(1, 1, 0.1, 0.1, Scores(99_999.0), Scores(123_456_789.0))
    assert summary(record) == "train loss 99999.0000  validation loss 1.235e+08"
