"""Stages: their budgets, what is counted, killed and resumed runs, callbacks, errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.exact import RERUN, RESUMED, close
from tests.strategies.killed import killed_and_resumed
from tests.train.helpers import blobs, other_run, quiet, same_run
from thalweg import Cost, fit
from thalweg.errors import CheckpointError, DivergedError, TaskError
from thalweg.strategies import (
    Stage,
    Strategy,
    curriculum,
    freezing,
    plain,
    stochastic_depth,
    strategy_named,
)
from thalweg.train import Callback, EarlyStopping, Recipe, RunFolder, load_run


@dataclass(frozen=True)
class shares(Strategy):  # noqa: N801 - as strategies are called
    """Stages of these shares, the second of which has another cost."""

    of: tuple[float, ...]
    other: bool = False

    def stages(self, recipe: Any) -> Sequence[Stage]:
        def make(recipe: Any, models: Any) -> Any:
            task = recipe.task.replace(cost=Cost("cross_entropy"), target=None)
            return recipe.replace(task=task) if self.other and len(models) == 1 else recipe

        return [
            Stage(f"stage {k}", make, share, is_judged=not (self.other and k == 1))
            for k, share in enumerate(self.of)
        ]


def test_a_strategy_that_changes_nothing_is_the_run_without_one() -> None:
    same_run(quiet(blobs(), strategy=plain()), quiet(blobs()), because=RERUN)


@pytest.mark.parametrize("schedule", ["adam", "adam+cosine"])
def test_stages_share_the_epochs_and_the_schedule(schedule: str) -> None:
    run = quiet(blobs(), schedule, strategy=shares((1, 3, 1)))
    whole = quiet(blobs(), schedule)
    assert [stage.epochs for stage in run.stages] == [2, 6, 2]
    assert (run.steps, run.epochs) == (whole.steps, whole.epochs)
    assert run.gradients == whole.gradients == sum(stage.gradients for stage in run.stages)
    assert [record.epoch for record in run.history] == [*range(1, 11)]
    rates = [run.history.column("lr"), whole.history.column("lr")]
    close(*map(torch.tensor, rates), ulps=4, because="the same function of the same steps")


def test_a_budget_of_gradients_is_met_by_all_stages_together() -> None:
    run = quiet(blobs(), strategy=shares((1, 1, 1)), gradient_budget=7.5, epochs=8)
    assert [stage.stopped for stage in run.stages] == ["gradients"] * 3
    assert 7.5 <= run.gradients < 7.5 + 8 / 35
    assert run.evaluations[-1].gradients == run.gradients


def test_stages_of_another_cost_are_counted_and_not_shown() -> None:
    run = quiet(blobs(), strategy=shares((1, 1, 1), other=True), epochs=6)
    assert [stage.epochs for stage in run.stages] == [2, 2, 2]
    assert [record.step for record in run.history] == [5, 10, 25, 30]
    assert [record.epoch for record in run.evaluations] == [1, 2, 3, 4]


CASES = [
    plain(parts=3),
    shares((1, 2), other=True),
    curriculum(),
    curriculum("self", sampling="stochastic"),
]


@pytest.mark.parametrize("after", [2, 8, 17])
@pytest.mark.parametrize("strategy", CASES, ids=str)
def test_a_run_killed_in_any_stage_goes_on_bit_for_bit(
    strategy: Any, after: int, tmp_path: Path
) -> None:
    settings = {"epochs": 6, "gradient_budget": 5.4}
    resumed = killed_and_resumed(
        blobs(), strategy, after, tmp_path / "kept.safetensors", **settings
    )
    whole = quiet(blobs(), strategy=strategy, **settings)
    same_run(resumed, whole, because=RESUMED)
    spent = [
        [(s.name, s.epochs, s.steps, s.gradients, s.log) for s in run.stages]
        for run in (resumed, whole)
    ]
    assert spent[0] == spent[1]


def test_a_checkpoint_is_not_taken_for_that_of_another_strategy(tmp_path: Path) -> None:
    kept: dict[str, Any] = {"checkpoint": tmp_path / "kept.safetensors", "epochs": 4}
    quiet(blobs(), strategy=plain(parts=2), **kept)
    with pytest.raises(
        CheckpointError, match=r"Stage 1 of 2.*another strategy: 'plain\(parts=2\)'"
    ):
        quiet(blobs(), strategy=shares((1, 1)), resume=True, **kept)
    with pytest.raises(CheckpointError, match="another number of epochs: 4 in the checkpoint, 6"):
        quiet(blobs(), strategy=plain(parts=2), resume=True, **kept | {"epochs": 6})
    (tmp_path / "kept.stage-1.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"kept\.stage-2.* already holds a run"):
        quiet(blobs(), strategy=plain(parts=2), **kept)


class Told(Callback):
    """Notes what it is told."""

    def __init__(self) -> None:
        self.notes: list[Any] = []

    def start(self, training: Any) -> None:
        self.notes.append(("start", training.epoch, training.epochs, len(training.history)))

    def epoch(self, training: Any, record: Any) -> None:
        self.notes.append((record.epoch, training.epoch, training.step, len(training.history)))

    def end(self, training: Any) -> None:
        self.notes.append(("end", training.epoch, len(training.evaluations), training.stopped))

    def state_dict(self) -> dict[str, Any]:
        return {"count": len(self.notes)}


def test_callbacks_see_one_run() -> None:
    told = Told()
    run = quiet(blobs(), strategy=plain(parts=2), epochs=4, callbacks=[told])
    steps = [(k, k, 5 * k, k) for k in (1, 2, 3, 4)]
    assert told.notes == [("start", 0, 4, 0), *steps, ("end", 4, 4, "epochs")]
    assert run.recipe.strategy == plain(parts=2)


class Stops(Callback):
    def epoch(self, training: Any, record: Any) -> None:
        training.stop("enough")


def test_a_callback_that_stops_ends_the_whole() -> None:
    run = quiet(blobs(), strategy=plain(parts=2), callbacks=[Stops()])
    assert (run.stopped, run.epochs, len(run.stages)) == ("enough", 1, 1)


def test_early_stopping_ends_a_stage() -> None:
    stop = EarlyStopping("train loss", patience=1, min_delta=9.0)
    run = quiet(blobs(), strategy=plain(parts=2), callbacks=[stop])
    assert [stage.epochs for stage in run.stages] == [2, 2]
    assert run.best is not None
    assert run.best.epoch == 3


def test_a_run_in_stages_is_kept_in_a_folder(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    run = quiet(blobs(), strategy=plain(parts=2), epochs=4, callbacks=[folder])
    folder.finish(run)
    saved = load_run(tmp_path / "run", blobs())
    assert [each.epoch for each in saved.history] == [1, 2, 3, 4]
    assert saved.record["recipe"]["strategy"] == "plain:parts=2"


def test_errors_name_the_stage() -> None:
    with pytest.raises(
        TaskError,
        match=r"^Stage 1 of 3, 'stage 0': The share of 0.1 of 3 epochs is not a whole epoch",
    ):
        quiet(blobs(), strategy=shares((1, 8, 1)), epochs=3)
    with pytest.raises(DivergedError, match="Stage 2 of 2, 'part 2': The loss became") as raised:
        quiet(blobs(), Explodes, strategy=plain(parts=2), epochs=4)
    assert [stage.name for stage in raised.value.run.stages] == ["part 1", "part 2"]
    assert raised.value.run.steps == 11
    with pytest.raises(TaskError, match="are called 'same'"):
        quiet(blobs(), strategy=Same())
    with pytest.raises(TaskError, match=r"strategy must be one of .*; got 'curriculum'"):
        fit(blobs(), "sgd", strategy="curriculum")  # type: ignore[arg-type]
    with pytest.raises(TaskError, match="Make one: call it"):
        Recipe(blobs(), "sgd", strategy=plain)  # type: ignore[arg-type]
    with pytest.raises(TaskError, match="share of stage 'x' must be a number > 0; got 0"):
        Stage("x", share=0)


class Explodes(torch.optim.SGD):
    """SGD whose second run explodes."""

    made = 0

    def __init__(self, params: Any, lr: float) -> None:
        Explodes.made += 1
        super().__init__(params, lr if Explodes.made % 2 else float("inf"))


@dataclass(frozen=True)
class Same(Strategy):
    def stages(self, recipe: Any) -> Sequence[Stage]:
        return [Stage("same"), Stage("same")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("curiculum", "no strategy 'curiculum'. Did you mean 'curriculum'"),
        ("curriculum:strt=0.3", "no setting 'strt'. Did you mean 'start'"),
        ("curriculum:start", "got 'start'"),
        ("curriculum:start=0.3,start=0.4", "twice"),
        ("curriculum:start=2", "0 < start ≤ 1; got 2"),
        ("curriculum:first_share=1", "nothing for the curriculum"),
        ("curriculum:order=up", "'easy' or 'hard' or 'random'; got 'up'"),
        ("curriculum:refresh=0", "refresh must be an integer"),
        ("curriculum:difficulty=size", "named must be 'loss' or 'self'; got 'size'"),
        ("plain:parts=0", "parts must be an integer ≥ 1; got 0"),
        ("stochastic_depth", "needs the setting 'branches': write stochastic_depth:branches="),
        ("hints:hint=0", r"hints takes 'teacher', which no text can say.*strategy=hints\(teacher="),
        ("freezng", "Did you mean 'freezing'"),
        ("mine.py", r"must be file\.py:name.*got 'mine\.py'"),
        ("absent.py:mine", "There is no file absent.py to take the strategy 'mine' from"),
    ],
)
def test_a_text_that_names_no_strategy_says_why(text: str, message: str) -> None:
    with pytest.raises(TaskError, match=message):
        strategy_named(text)


def test_a_strategy_is_written_as_it_is_read() -> None:
    for strategy in (
        plain(),
        plain(parts=2),
        curriculum(order="hard", start=0.5),
        stochastic_depth(("1", "block.2"), survival=0.8),
        stochastic_depth(("7",)),
    ):
        assert strategy_named(str(strategy)) == strategy


def test_a_strategy_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from thalweg.strategies import freezing\n"
        'thawed, kind, other = freezing({"0": (0.5, 1)}), freezing, 3\n'
    )
    assert strategy_named(f"{file}:thawed") == freezing({"0": (0.5, 1)})
    for name, message in (
        ("thwed", "has nothing called 'thwed'. Did you mean 'thawed'"),
        ("kind", "expected a strategy, such as .* Make one: call it"),
        ("other", "is 3; expected a strategy"),
    ):
        with pytest.raises(TaskError, match=message):
            strategy_named(f"{file}:{name}")
    other_run(quiet(blobs(), strategy=plain(parts=2)), quiet(blobs()))
