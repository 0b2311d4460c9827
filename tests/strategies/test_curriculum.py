"""Curriculum: which rows an epoch draws, the logged mixture, difficulties, and what it costs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from tests.exact import RERUN, close, same
from tests.race.tasks import line
from tests.train.helpers import blobs, other_run, quiet, same_run
from thalweg.errors import DataError, TaskError
from thalweg.strategies import curriculum
from thalweg.strategies.curriculum.difficulty import row_losses
from thalweg.strategies.curriculum.rows import Pace, Ranked
from thalweg.tasks import Data
from thalweg.tasks.sources.batches import Order

ROWS = 40


def ranked(by: Any = "easy", *, mixed: bool = False, start: float = 0.25) -> Ranked:
    difficulty = torch.arange(ROWS, dtype=torch.float64).flip(0)  # the last row is the easiest
    return Ranked(Pace(start, 0.5, 8, "linear"), by, mixed, difficulty)


def test_an_epoch_draws_from_the_open_rows_alone() -> None:
    easy, hard = ranked(), ranked("hard")
    for epoch, count in ((1, 10), (2, 18), (3, 25), (4, 33)):
        drawn = easy.draw(epoch, Order(0))
        assert drawn is not None
        assert set(drawn.tolist()) == set(range(ROWS - count, ROWS))
        assert len(drawn) == ROWS
        counts = torch.bincount(drawn, minlength=ROWS)[ROWS - count :]
        assert int(counts.max() - counts.min()) <= 1, "all of them equally often"
        anti = hard.draw(epoch, Order(0))
        assert anti is not None
        assert set(anti.tolist()) == set(range(count))
    assert easy.draw(5, Order(0)) is None, "from here on the set as it is"
    assert [each["open"] for each in easy.mixtures.values()] == [0.25, 0.45, 0.625, 0.825, 1.0]


def test_a_mixture_draws_by_the_probabilities_that_it_logs() -> None:
    mixed = ranked(mixed=True)
    mixed.difficulty = torch.arange(20_000, dtype=torch.float64)
    for epoch, part in ((1, 0.25), (3, 0.625), (5, 1.0)):
        drawn = mixed.draw(epoch, Order(0))
        assert drawn is not None
        entry = mixed.mixtures[epoch]
        assert entry["hard"] == pytest.approx(0.75 * part)
        assert entry["easy"] == pytest.approx(1 - 0.75 * part)
        assert entry["drawn"] == float((drawn >= 5_000).double().mean())
        deviation = (entry["hard"] * entry["easy"] / 20_000) ** 0.5
        assert abs(entry["drawn"] - entry["hard"]) < 5 * deviation


def test_draws_are_a_function_of_seed_and_epoch() -> None:
    for mixed in (False, True):
        drawn = [ranked(mixed=mixed).draw(2, Order(seed)) for seed in (0, 0, 1)]
        same(drawn[0], drawn[1], because=RERUN)
        assert drawn[0].tolist() != drawn[2].tolist()  # type: ignore[union-attr]
    never = ranked().draw(1, Order(0, "never"))
    assert never is not None
    assert never.tolist()[:11] == [*range(39, 29, -1), 39]


def test_all_rows_open_from_the_beginning_are_no_curriculum() -> None:
    task = blobs()
    numbers = np.arange(35)
    same_run(quiet(task, strategy=curriculum(numbers, start=1.0)), quiet(task), because=RERUN)
    runs = [
        quiet(task, strategy=curriculum(numbers, **settings))
        for settings in (
            {}, {"order": "hard"}, {"order": "random"}, {"sampling": "stochastic"},
            {"pace": "root"}, {"until": 1.0}, {"start": 0.5},
        )
    ]  # fmt: skip
    for k, run in enumerate(runs[1:]):
        other_run(run, runs[k])
    assert {(run.steps, run.gradients) for run in runs} == {(50, 10.0)}, "epochs cost the same"


def test_the_losses_of_rows_are_those_of_the_loss() -> None:
    model = nn.Linear(2, 3).double()
    rows = blobs().data.train
    found = row_losses(model, rows, blobs().cost)  # type: ignore[arg-type]
    expected = functional.cross_entropy(model(rows.inputs), rows.targets, reduction="none")  # type: ignore[attr-defined]
    close(found, expected.detach(), ulps=16, because="as computed at once")


def test_a_self_paced_curriculum_measures_what_it_trains_and_pays_for_it() -> None:
    run = quiet(blobs(), strategy=curriculum("self", refresh=5))
    assert run.gradients == pytest.approx(10 + 2 / 3)
    other_run(run, quiet(blobs(), strategy=curriculum("self", refresh=1)))
    first = quiet(blobs(), strategy=curriculum("loss"))
    assert [(s.name, s.epochs) for s in first.stages] == [("first model", 2), ("curriculum", 8)]
    assert first.gradients == pytest.approx(10 + 1 / 3)
    teacher = quiet(blobs()).model
    given = quiet(blobs(), strategy=curriculum(teacher))
    assert given.gradients == pytest.approx(10 + 1 / 3)
    assert len(given.stages) == 1


def test_rows_with_weights_keep_them() -> None:
    x = torch.linspace(-1, 1, 20).reshape(-1, 1)
    runs = [
        quiet(
            line(data=Data.arrays(x, 2 * x, **weights), target=None),
            strategy=curriculum(lambda x, y: x.abs().flatten()),
        )
        for weights in ({}, {"weights": torch.arange(20.0)})
    ]
    other_run(*runs)


def test_what_is_no_difficulty_is_said() -> None:
    numbers = np.arange(35.0)
    numbers[[7, 9]] = np.nan
    with pytest.raises(DataError, match=r"NaN in 2 of 35 training rows, first in row 7"):
        quiet(blobs(), strategy=curriculum(numbers))
    with pytest.raises(DataError, match=r"each of the 35 training rows.*got the shape \(3,\)"):
        quiet(blobs(), strategy=curriculum([1, 2, 3]))
    with pytest.raises(TaskError, match=r"how difficult a row is cannot be run .*shape \(35, 2\)"):
        quiet(blobs(), strategy=curriculum(torch.nn.Linear(5, 3).double()))
    with pytest.raises(TaskError, match=r"cannot be computed.*ZeroDivisionError"):
        quiet(blobs(), strategy=curriculum(lambda x, y: 1 / 0))
    with pytest.raises(TaskError, match=r"or one number for each row; got \{"):
        quiet(blobs(), strategy=curriculum({}))
    apart = blobs(data=Data(DataLoader(TensorDataset(torch.zeros(6, 2), torch.zeros(6)))))
    with pytest.raises(DataError, match=r"in memory: give arrays.*got LoaderSource"):
        quiet(apart, strategy=curriculum())
