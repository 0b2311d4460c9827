"""A consultation: checks, a watched run, forks, and the remedies of confirmed faults."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from tests.exact import same
from thalweg.doctor import Remedy, consult
from thalweg.doctor.consulting.treatment import treated
from thalweg.errors import TaskError
from thalweg.tasks import Data, Task
from thalweg.train.recipe import Recipe


def learning(scale=1.0, weights=None):
    draw = np.random.default_rng(0)
    x = draw.normal(size=(400, 6)).astype("float32")
    y = (x @ draw.normal(size=6) > 0).astype("int64")
    x[:, 0] *= scale
    train = (x[:320], y[:320]) if weights is None else (x[:320], y[:320], weights[:320])
    return Task(Data(train, (x[320:], y[320:])), "cross_entropy", model, batch_size=32, epochs=4)


def model():
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 2))


def recipe(**settings):
    return Recipe(learning(), "sgd", 0.1, **settings)


def remedy(**settings):
    return Remedy("any", "any", settings)


def test_each_setting_of_a_remedy_changes_its_part_of_the_recipe():
    given = recipe(shuffle="never", hyperparameters={"weight_decay": 0.5})
    assert treated(given, remedy(lr_factor=0.1)).lr == pytest.approx(0.01)
    assert treated(given, remedy(clip=2.0)).clip_norm == 2
    assert treated(given, remedy(shuffle=True)).shuffle == "epoch"
    assert treated(given, remedy(batch_factor=4)).batch_size == 128
    assert treated(given, remedy(batch_factor=40)).batch_size == 320
    assert treated(given, remedy(weight_decay_factor=0.1)).hyperparameters == {"weight_decay": 0.05}
    assert treated(given, remedy(init="he", lr_factor=2.0)).lr == pytest.approx(0.2)
    assert str(treated(given, remedy(init="he")).task.init) == "he"


def test_the_rate_of_a_default_and_of_a_schedule_is_scaled():
    from thalweg.schedules import cosine

    assert treated(Recipe(learning(), "adam"), remedy(lr_factor=0.1)).lr == pytest.approx(1e-4)
    scheduled = treated(Recipe(learning(), "sgd", cosine(0.4, steps=10)), remedy(lr_factor=0.5))
    assert scheduled.lr(0) == pytest.approx(0.2)


@pytest.mark.parametrize("weights", [None, np.ones(400)])
def test_inputs_are_standardised_by_the_training_rows(weights):
    given = Recipe(learning(1000.0, weights), "sgd", 0.1)
    data = treated(given, remedy(scale="standard")).task.data
    rows = getattr(data.train, "arrays", data.train).inputs
    # float64 sums of 320 rows: rounding far below 1e-6
    assert float(rows.mean(0).abs().max()) < 1e-6
    assert float((rows.std(0, correction=0) - 1).abs().max()) < 1e-6
    assert data.scaler is not None
    assert data.validation.rows == 80
    assert getattr(data.train, "weights", None) is getattr(given.task.data.train, "weights", None)


def test_what_is_no_part_of_a_recipe_is_left():
    assert treated(recipe(), remedy(activation="relu", init="he")) is None
    assert treated(recipe(), remedy()) is None
    assert treated(recipe(), remedy(shuffle=True)) is None, "it is shuffled already"
    loader = torch.utils.data.DataLoader([(torch.ones(6), 1)] * 8, batch_size=4)
    task = Task(Data(loader), "cross_entropy", model)
    assert treated(Recipe(task, "sgd", 0.1, shuffle="never"), remedy(shuffle=True)) is None
    assert treated(Recipe(task, "sgd", 0.1), remedy(scale="standard")) is None


def test_a_run_that_diverges_is_told_and_mended():
    found = consult(Recipe(learning(1e4), "sgd", 0.5), fix=True, progress=False)
    assert found.run.stopped in ("diverged", "epochs")
    assert not found.report.healthy
    assert found.treatments
    assert found.treatments[-1].is_better
    assert math.isfinite(found.treatments[-1].after["loss"])
    assert found.recipe is not found.run.recipe
    assert found.to_dict()["treatments"][0]["is_better"] in (True, False)


def test_without_fix_nothing_is_taken():
    found = consult(Recipe(learning(1e4), "sgd", 0.5), progress=False, forks=0)
    assert found.treatments == ()
    assert found.latest is found.report


def test_a_healthy_run_is_the_run_of_fit():
    given = recipe()
    found = consult(given, fix=True, progress=False)
    plain = given.fit(progress=False)
    because = "the doctor only looks: the same instructions ran"
    same(found.run.model.state_dict(), plain.model.state_dict(), because=because)
    assert [e.train.loss for e in found.run.history] == [e.train.loss for e in plain.history]
    assert found.report.healthy
    assert found.treatments == ()


def test_rounds_are_a_whole_number():
    with pytest.raises(TaskError, match="rounds"):
        consult(recipe(), rounds=1.5)
