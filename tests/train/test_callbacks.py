"""Callbacks are told of everything, in order; without one that stops it, the run is the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import thalweg
from tests.exact import RERUN, RESUMED, same
from tests.train.helpers import blobs, quiet, same_run
from thalweg.errors import TaskError
from thalweg.meta import Accumulate
from thalweg.train import Callback, Checkpoint, EarlyStopping, Epoch, Evaluation, Training


class Diary(Callback):
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.lines: list[tuple[Any, ...]] = []

    def start(self, training: Training) -> None:
        self.lines.append(("start", training.epoch, training.step, training.epochs))

    def step(self, training: Training, loss: float) -> None:
        self.lines.append(("step", training.epoch, training.step))
        assert loss == loss

    def evaluation(self, training: Training, evaluation: Evaluation) -> None:
        assert evaluation is training.evaluations[-1]
        self.lines.append(("evaluation", evaluation.epoch, evaluation.step))

    def epoch(self, training: Training, record: Epoch) -> None:
        assert record is training.history[-1]
        self.lines.append(("epoch", record.epoch, training.step))

    def end(self, training: Training) -> None:
        self.lines.append(("end", training.stopped))


class At(Callback):
    """Does something at one event."""

    def __init__(self, event: str, act: Any) -> None:
        self.event, self.act = event, act

    def start(self, training: Training) -> None:
        self._at("start", training)

    def step(self, training: Training, loss: float) -> None:
        self._at("step", training)

    def evaluation(self, training: Training, evaluation: Evaluation) -> None:
        self._at("evaluation", training)

    def epoch(self, training: Training, record: Epoch) -> None:
        self._at("epoch", training)

    def end(self, training: Training) -> None:
        self._at("end", training)

    def _at(self, event: str, training: Training) -> None:
        if event == self.event:
            self.act(training)


EVENTS = ("start", "step", "evaluation", "epoch", "end")


def test_events_come_in_their_order() -> None:
    diary = Diary()
    quiet(blobs(), epochs=2, batch_size=18, evaluate_every=1, callbacks=[diary])
    an_epoch = [
        [("step", e, s), ("evaluation", e + 1, s)] for e, s in ((0, 1), (0, 2), (1, 3), (1, 4))
    ]
    assert diary.lines == [
        ("start", 0, 0, 2),
        *(an_epoch[0] + an_epoch[1]),
        ("epoch", 1, 2),
        *(an_epoch[2] + an_epoch[3]),
        ("epoch", 2, 4),
        ("end", "epochs"),
    ]


def test_a_run_that_is_watched_is_the_same_run() -> None:
    watched = quiet(blobs(), epochs=3, callbacks=[Diary(), Diary()])
    same_run(watched, quiet(blobs(), epochs=3), because=RERUN)


def test_at_a_step_the_gradients_are_there() -> None:
    norms: list[float] = []

    def look(training: Training) -> None:
        gradients = [p.grad for p in training.model.parameters() if p.grad is not None]
        norms.append(sum(float(g.norm()) for g in gradients))

    run = quiet(blobs(), epochs=2, callbacks=[At("step", look)])
    assert len(norms) == run.steps
    assert min(norms) > 0


def test_a_step_is_an_update_of_the_parameters() -> None:
    def gathering(params: Any, lr: float) -> torch.optim.Optimizer:
        return Accumulate(torch.optim.SGD(params, lr), 3)

    steps: list[int] = []
    run = quiet(
        blobs(), gathering, epochs=2, callbacks=[At("step", lambda t: steps.append(t.step))]
    )
    assert steps == [1, 2, 3, 4]  # 5 batches an epoch: three, and two at its end
    assert run.steps == 4


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, thalweg.optim.LBFGS])
def test_the_loss_of_a_step_is_that_of_its_batch(optimizer: Any) -> None:
    losses: list[float] = []

    class Losses(Callback):
        def step(self, training: Training, loss: float) -> None:
            losses.append(loss)

    task = blobs(model=lambda: nn.Linear(2, 3).double())
    run = quiet(task, optimizer, epochs=3, batch_size=None, callbacks=[Losses()])
    assert losses == [record.train.loss for record in run.history]


@pytest.mark.parametrize("event", ["step", "evaluation", "epoch"])
def test_a_callback_stops_a_run(event: str) -> None:
    run = quiet(blobs(), epochs=5, callbacks=[At(event, lambda t: t.stop("learned"))])
    assert run.stopped == "learned"
    assert run.epochs == 1
    assert run.steps == (1 if event == "step" else 5)


def test_a_reason_to_stop_is_a_text() -> None:
    with pytest.raises(TaskError, match=r"reason to stop must be a text.*got 3"):
        quiet(blobs(), callbacks=[At("step", lambda t: t.stop(3))])


@pytest.mark.parametrize("event", EVENTS)
def test_what_a_callback_raises_names_it_and_loses_nothing(event: str) -> None:
    def act(training: Training) -> None:
        if event != "step" or training.epoch == 1:
            raise ZeroDivisionError("by zero")

    with pytest.raises(TaskError, match=rf"At\.{event} fails\. .*ZeroDivisionError") as caught:
        quiet(blobs(), epochs=2, callbacks=[At(event, act)])
    run = caught.value.run  # type: ignore[attr-defined]
    assert run.steps == {"start": 0, "step": 6, "evaluation": 5, "epoch": 5, "end": 10}[event]
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize("event", EVENTS[:-1])
def test_ctrl_c_in_a_callback_returns_what_is_finished(event: str) -> None:
    def act(training: Training) -> None:
        raise KeyboardInterrupt

    diary = Diary()
    run = quiet(blobs(), epochs=2, callbacks=[At(event, act), diary])
    assert run.stopped == "interrupted"
    assert diary.lines[-1] == ("end", "interrupted")


def test_the_end_is_told_where_training_fails() -> None:
    diary = Diary()
    x = torch.linspace(-1, 1, 20)[:, None]
    line = thalweg.Task((x, 2 * x), "mse", lambda: nn.Linear(1, 1))
    with pytest.raises(thalweg.errors.DivergedError):
        quiet(line, torch.optim.SGD, lr=1e30, epochs=3, callbacks=[diary])
    assert diary.lines[-1] == ("end", "diverged")


def test_evaluations_are_told_where_the_average_is() -> None:
    seen: list[torch.Tensor] = []

    def look(training: Training) -> None:
        seen.append(next(training.model.parameters()).detach().clone())

    averaged = thalweg.chain(thalweg.rules.adam, thalweg.rules.ema(0.5))
    run = quiet(blobs(), averaged, epochs=1, callbacks=[At("evaluation", look), At("epoch", look)])
    end = next(run.model.parameters())
    for there in seen:
        same(there, end, because="it is the very average, copied")
    assert len(seen) == 2


class Counter(Callback):
    """Counts epochs over all parts of a run."""

    def __init__(self) -> None:
        self.epochs = 0

    def epoch(self, training: Training, record: Epoch) -> None:
        self.epochs += 1

    def state_dict(self) -> dict[str, Any]:
        return {"epochs": self.epochs}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.epochs = state["epochs"]


def test_states_of_callbacks_are_kept_in_the_checkpoint(tmp_path: Path) -> None:
    file = tmp_path / "run"
    quiet(blobs(), epochs=2, callbacks=[Checkpoint(file), Counter()])
    counter, fresh = Counter(), Counter()
    run = quiet(
        blobs(), epochs=5, callbacks=[counter, Diary(), fresh, Checkpoint(file, resume=True)]
    )
    assert (counter.epochs, fresh.epochs, run.epochs) == (5, 3, 5)
    same_run(run, quiet(blobs(), epochs=5), because=RESUMED)


def test_a_state_that_no_file_can_hold_is_said_before_training(tmp_path: Path) -> None:
    counter = Counter()
    counter.epochs = object()  # type: ignore[assignment]
    with pytest.raises(thalweg.errors.CheckpointError, match="object"):
        quiet(blobs(), epochs=2, checkpoint=tmp_path / "run", callbacks=[counter])


def test_early_stopping_may_stand_among_callbacks() -> None:
    rule = EarlyStopping(patience=1, min_delta=10.0)
    listed = quiet(blobs(), epochs=5, callbacks=[rule])
    assert listed.recipe.early_stopping is rule
    assert listed.stopped == "early stopping"
    same_run(listed, quiet(blobs(), epochs=5, early_stopping=rule), because=RERUN)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"callbacks": Diary()}, "callbacks must be a list"),
        ({"callbacks": 3}, "callbacks must be a list"),
        ({"callbacks": [Diary]}, "call it"),
        ({"callbacks": [print]}, "A callback must be an object"),
        ({"callbacks": [EarlyStopping(), EarlyStopping()]}, "2 among the callbacks"),
        ({"callbacks": [EarlyStopping()], "early_stopping": EarlyStopping()}, "as an argument"),
        ({"callbacks": [Checkpoint("a")], "checkpoint": "b"}, "a run takes one"),
    ],
)
def test_what_is_no_callback_is_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(TaskError, match=words):
        quiet(blobs(), epochs=1, **settings)
