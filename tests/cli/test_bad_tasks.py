"""Task files that cannot be used: one line that says what and where, on both commands, and nothing
is written.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.commands import call

HEAD = """\
import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset
from thalweg import Cost, Data, Target, Task

X = np.random.default_rng(0).normal(size=(40, 3)).astype("float32")
Y = np.arange(40) % 3

class Rows(Dataset):
    def __init__(self, x=X, y=Y, last=40):
        self.x, self.y, self.last = x, y, last
    def __len__(self):
        return 40
    def __getitem__(self, i):
        if i > self.last:
            raise OSError("the disk is gone")
        return self.x[i], self.y[i]

def make(data=None, cost=None, model=lambda: nn.Linear(3, 3), **more):
    data = Data.arrays(X, Y, validation=0.25) if data is None else data
    cost = Cost("cross_entropy", metrics="accuracy") if cost is None else cost
    return Task(data, cost, model, **more)

def loaders(**settings):
    return Data(DataLoader(Rows(**settings), 10), DataLoader(Rows(**settings), 10))

def labels():
    y = Y.copy()
    y[30] = 7
    return y

"""

LAST = HEAD.count("\n") + 1
"""The number of the line after the head."""

CASES = {
    "x = (": "bad.py, line 1: '(' was never closed",
    "import no_such_package": "bad.py, line 1: ModuleNotFoundError: No module named 'no_such_package'",
    HEAD + "1 / 0": f"bad.py, line {LAST}: ZeroDivisionError: division by zero",
    HEAD: "no function 'task' that returns a Task. It has Rows, make",
    HEAD + "task = 3": "'task' in bad.py is a int, not a function",
    HEAD
    + "def task(): make()": "returned NoneType; expected a thalweg Task. Is its `return` missing?",
    HEAD
    + "def task(): return make(Data.arrays(X[:0], Y[:0]))": f"line {LAST}: The train set is empty",
    HEAD
    + "def task(): return make(Data.arrays(X, Y + 1, validation=0.5))": "Labels out of range: found 3",
    HEAD + "def task(): return make(loaders(y=labels()))": "Labels out of range: found 7",
    HEAD + "def task(): return make(cost=Cost('mse', metrics='f9'))": "Unknown metric 'f9'.",
    HEAD + "def task(): return make(target=Target('mse', 1))": "The cost has no metric 'mse'",
    HEAD + "def task(): return make(target=Target('accuracy', 95))": "For 95 % write 0.95",
    HEAD
    + "def task(): return make(target=Target('loss', -1))": "cannot fall below 0; the target is loss -1",
    HEAD + "def task(): return make(target=0.9)": "such as Target('accuracy', 0.95); got 0.9",
    HEAD
    + "def task(): return make(model=lambda: nn.Linear(7, 3))": "Linear(in_features=7, out_features=3, "
    "bias=True) was given shape (2, 3)",
    HEAD
    + "def task(): return make(model=nn.Linear)": "The model of task 'bad' cannot be built. TypeError",
    HEAD
    + "def task(): return make(Data.arrays(X, Y.astype(float), validation=0.5))": "y.astype('int64')",
    HEAD
    + "def task(): return make(loaders(last=20))": "bad.py, line 17: OSError: the disk is gone",
    HEAD
    + "def task(): return make(cost=Cost(lambda o, t: 1 / 0))": f"line {LAST}: ZeroDivisionError",
    HEAD
    + "def task(): return make(cost=Cost('cross_entropy', lambda o, t: o @ t))": "The metric <lambda> "
    "fails on outputs of shape",
    HEAD
    + "def task(): return make(cost=Cost('cross_entropy', penalty=lambda m: m.weight))": "The penalty "
    "must return one number",
}


@pytest.mark.parametrize("verb", ["train", "race"])
@pytest.mark.parametrize(("content", "message"), CASES.items(), ids=CASES.values())
def test_one_line_says_what_and_where(
    verb: str, content: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.py").write_text(content)
    result = call(verb, "bad.py", "--epochs", "1")
    assert result.exit_code == 2
    assert message in result.stderr
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    assert {path.name for path in tmp_path.iterdir()} <= {"bad.py", "__pycache__"}


NAN = {
    "model=lambda: nn.Sequential(nn.Linear(3, 3), nn.LogSigmoid(), Root())": "layer 2, Root() gives NaN",
    "data=loaders(x=np.where(Y[:, None] == 2, np.nan, X).astype('float32'))": "inputs hold NaN or infinity, "
    "first in row 2",
}


@pytest.mark.parametrize(("parts", "message"), NAN.items(), ids=NAN.values())
def test_a_loss_that_is_nan_at_the_first_step_names_data_or_model(
    parts: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    root = "class Root(nn.Module):\n    def forward(self, x):\n        return x.sqrt()\n"
    (tmp_path / "bad.py").write_text(f"{HEAD}{root}def task(): return make({parts})")
    result = call("race", "bad.py", "--epochs", "1")
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
    assert list(tmp_path.glob("race-*")) == []
