"""A run on a table predicts a file with the same columns, whatever their order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.cli.commands import call
from tests.exact import RERUN, same
from thalweg.train import load_run

TASK = """
from torch import nn
from thalweg.tasks import Data, Task, mlp

def task():
    data = Data.table("flats.csv", "kind", validation=0.2, scale="standard")
    return Task(data, "cross_entropy", lambda: mlp([len(data.features), 2]))
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({"area": draw.normal(70, 20, 80), "town": ["Ulm", "Bonn"] * 40})
    frame["kind"] = np.where(frame["area"] > 70, "large", "small")
    frame.to_csv("flats.csv", index=False)
    Path("flats.py").write_text(TASK)
    arguments = ("--lr", "0.1", "--epochs", "20", "--batch-size", "16")
    assert call("train", "flats.py", "-o", "adam", *arguments).exit_code == 0
    return Path("runs/flats-adam-1")


def test_a_run_on_a_table(run: Path) -> None:
    new = pd.DataFrame({"more": [1, 2, 3], "town": ["Ulm", "Rom", "Bonn"], "area": [20, 150, 160]})
    new.to_csv("new.csv", index=False)
    result = call("predict", str(run), "new.csv", "--output", "class")
    assert result.stdout.splitlines() == ["small", "large", "large"]
    assert (
        call("predict", str(run), "new.csv", "--output", "class", "--out", "a.csv").exit_code == 0
    )
    assert Path("a.csv").read_text() == result.stdout
    saved = load_run(run)
    for given in (new, "new.csv", Path("new.csv")):
        said = saved.predict(given, "class")
        assert [saved.task.data.classes[number] for number in said] == ["small", "large", "large"]
    assert saved.task.data.columns is not None
    inputs = saved.task.data.columns.encode(new)
    same(saved.predict(inputs), saved.predict(new), because=RERUN)
    np.save("inputs.npy", inputs)
    assert (
        call("predict", str(run), "inputs.npy").stdout
        == call("predict", str(run), "new.csv").stdout
    )


def test_a_file_that_lacks_a_column(run: Path) -> None:
    pd.DataFrame({"Area": [20.0], "town": ["Ulm"]}).to_csv("new.csv", index=False)
    result = call("predict", str(run), "new.csv")
    assert result.exit_code != 0
    assert "no column 'area'. Did you mean 'Area'" in " ".join(result.stderr.split())
    result = call("predict", str(run), "new.csv", "--columns", "town")
    assert "knows its columns by name" in " ".join(result.stderr.split())
