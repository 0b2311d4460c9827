"""What every logger does: when it logs what, and that a log which fails does not cost the run."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.exact import RERUN
from tests.train.helpers import blobs, quiet, same_run
from tests.train.loggers.helpers import check, logged
from thalweg import Task
from thalweg.errors import LogWarning, MissingExtraError, TaskError
from thalweg.train import Checkpoint, FitDivergedError
from thalweg.train.loggers import Logger, MLflow, TensorBoard, Trackio, WandB
from thalweg.train.loggers.logger import LogRow, Opening


class Memory(Logger):
    """Keeps the log in memory, row by row; fails at the call of this number."""

    pause = 0.0

    def __init__(self, fails_at: int = 0, **settings: Any) -> None:
        super().__init__("memory", **({"every": 2} | settings))
        self.openings: list[Opening] = []
        self.curves: dict[str, list[tuple[int, float]]] = {}
        self.ended: list[tuple[str, Mapping[str, float]]] = []
        self.calls = 0
        self.fails_at = fails_at

    def open(self, opening: Opening) -> str:
        self.openings.append(opening)
        return opening.key or "first"

    def write(self, rows: Sequence[LogRow]) -> None:
        self.calls += 1
        if self.calls == self.fails_at:
            raise OSError("No space left on device")
        for step, _, figures in rows:
            for name, value in figures.items():
                self.curves.setdefault(name, []).append((step, value))

    def close(self, stopped: str, figures: Mapping[str, float]) -> None:
        self.ended.append((stopped, figures))


def test_figures_are_logged_at_their_steps() -> None:
    memory = Memory()
    run = logged(memory)
    check(memory.curves, run, steps=[2, 4, 6, 8, 10])
    ((stopped, last),) = memory.ended
    assert stopped == "epochs"
    assert last == run.history[-1].as_dict()


def test_figures_wait_for_a_second() -> None:
    class Slow(Memory):
        pause = 3600.0

    slow = Slow()
    run = logged(slow)
    check(slow.curves, run, steps=[2, 4, 6, 8, 10])
    assert slow.calls == 1, "all at the end"


def test_the_recipe_is_logged() -> None:
    memory = Memory()
    logged(memory, clip_norm=2.0)
    (opening,) = memory.openings
    assert (opening.task, opening.name, opening.key, opening.step) == ("blobs", "blobs-adam", "", 0)
    values = opening.hyperparameters
    wanted = {
        "task": "blobs",
        "optimizer": "adam",
        "lr": 0.05,
        "weight_decay": 0.01,
        "epochs": 2,
        "batch_size": 8,
        "seed": 0,
        "clip_norm": 2.0,
        "parameters": 67,
    }
    assert {name: values[name] for name in wanted} == wanted
    assert values["betas"] == "[0.9, 0.999]", "the optimizer's own"
    assert all(isinstance(value, bool | int | float | str) for value in values.values())


def test_a_logger_changes_nothing() -> None:
    same_run(quiet(blobs()), quiet(blobs(), callbacks=[Memory()]), because=RERUN)


def test_a_resumed_run_goes_on_in_its_log(tmp_path: Path) -> None:
    first, second = Memory(), Memory()
    logged(first, epochs=1, checkpoint=tmp_path / "run")
    logged(second, epochs=2, checkpoint=tmp_path / "run", resume=True)
    assert [(o.key, o.step) for o in second.openings] == [("first", 5)]
    logged(second, epochs=1)  # the same logger, another run
    assert [o.key for o in second.openings] == ["first", ""]


@pytest.mark.parametrize("call", range(1, 8))
def test_a_log_that_fails_is_said_once_and_the_run_goes_on(call: int) -> None:
    memory = Memory(fails_at=call)
    with pytest.warns(LogWarning, match="Memory in memory ends here: OSError: No space") as said:
        run = logged(memory)
    assert len(said) == 1
    assert run.stopped == "epochs"
    assert run.epochs == 2
    assert isinstance(memory.failure, OSError)
    assert memory.calls == call
    assert not memory.ended
    memory.fails_at = 0
    logged(memory)
    assert memory.failure is None, "the next run has a log again"


def test_as_an_error_the_warning_ends_the_run_and_loses_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", LogWarning)
        with pytest.raises(TaskError, match=r"Memory\.epoch fails") as caught:
            logged(Memory(fails_at=5))
    assert caught.value.run.epochs == 1  # type: ignore[attr-defined]


def test_a_log_that_cannot_be_opened_is_an_error_before_training(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    class Closed(Memory):
        def open(self, opening: Opening) -> str:
            (tmp_path / "file" / "log").mkdir(parents=True)
            return ""

    with pytest.raises(TaskError, match=r"Closed\.start fails") as caught:
        logged(Closed())
    assert caught.value.run.steps == 0  # type: ignore[attr-defined]


def test_how_a_run_ended_is_logged_when_it_diverged() -> None:
    memory = Memory()
    line = Task((torch.ones(8, 1), torch.ones(8, 1)), "mse", lambda: nn.Linear(1, 1))
    with pytest.raises(FitDivergedError):
        quiet(line, torch.optim.SGD, lr=1e30, callbacks=[memory])
    assert [stopped for stopped, _ in memory.ended] == ["diverged"]


def test_a_logger_that_was_never_opened_is_not_closed() -> None:
    class Early(Memory):
        def start(self, training: Any) -> None:
            raise ValueError("no")

    late = Memory()
    with pytest.raises(TaskError, match=r"Early\.start fails"):
        quiet(blobs(), callbacks=[Early(), late])
    assert not late.ended


def test_every_is_a_number_of_steps() -> None:
    with pytest.raises(TaskError, match="every"):
        Memory(every=0)


@pytest.mark.parametrize(
    ("kind", "package", "extra"),
    [
        (TensorBoard, "tensorboard", "tensorboard"),
        (WandB, "wandb", "wandb"),
        (MLflow, "mlflow", "mlflow"),
        (Trackio, "trackio", "trackio"),
    ],
)
def test_a_package_that_is_missing_is_named_with_its_extra(
    kind: Any, package: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    monkeypatch.delattr(torch.utils, "tensorboard", raising=False)
    with pytest.raises(MissingExtraError, match=rf"thalweg\[{extra}\]"):
        kind()


def test_states_of_checkpoints_hold_the_key(tmp_path: Path) -> None:
    memory = Memory()
    logged(memory, checkpoint=tmp_path / "a")
    assert memory.state_dict() == {"key": "first"}
    with pytest.raises(TaskError, match="2 among"):
        quiet(blobs(), callbacks=[memory, Checkpoint("a"), Checkpoint("b")])
