"""What is said of a recipe before it trains: each fault is seen, and what looks like it is not."""

import numpy as np
import pytest
import torch
from torch import nn

from thalweg.doctor import check
from thalweg.schedules import cosine
from thalweg.tasks import Data, Task, load_task
from thalweg.train.recipe import Recipe

ROWS = 400


def rows(seed=0, count=ROWS):
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(count, 5)).astype("float32")
    return x, (x[:, 0] > 0).astype("int64")


def net(*last):
    return lambda: nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 2), *last)


def said(data, model=None, loss="cross_entropy", optimizer="adam", lr=0.01, **settings):
    return check(Recipe(Task(data, loss, model or net()), optimizer, lr, **settings))


def symptoms(report):
    assert not report.unwatched, report.unwatched
    return {v.symptom: v for v in report.verdicts}


def test_a_healthy_recipe_has_no_verdict():
    assert symptoms(said(Data(rows(), rows(1)))) == {}


def test_rows_that_are_trained_on_and_measured_are_a_leak():
    x, y = rows()
    found = symptoms(said(Data((x, y), (x[:50], y[:50]))))["leak"]
    assert found.is_fault
    assert found.where == "validation"
    assert found.statistic.value == 1


def test_rows_that_repeat_in_all_sets_are_no_leak():
    draw = np.random.default_rng(0)
    x = draw.integers(0, 2, (1200, 5)).astype("float32")  # 32 different rows
    y = x[:, 0].astype("int64")
    assert symptoms(said(Data((x[:1000], y[:1000]), (x[1000:], y[1000:])))) == {}


def test_a_class_that_is_only_measured():
    x, y = rows()
    z, t = rows(1, 60)
    found = symptoms(said(Data((x, y), (z, t * 5)), net(nn.Linear(2, 6))))
    assert found["unknown_class"].is_fault
    assert "5" in found["unknown_class"].words


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_a_set_that_is_scaled_otherwise_is_a_fault_and_a_small_shift_is_none(scale):
    x, y = rows()
    z, t = rows(1)
    shift = 0.5 if scale > 1 else 30.0
    assert symptoms(said(Data((x, y), (scale * z + shift, t))))["shifted_set"].is_fault
    moved = z.copy()
    moved[:, :3] += 30
    assert symptoms(said(Data((x, y), (moved, t))))["shifted_set"].kind == "warning"
    assert symptoms(said(Data((x, y), (1.2 * z + 0.3, t)))) == {}


def test_a_few_rows_of_other_units_do_not_shift_the_set():
    x, y = rows()
    z, t = rows(1)
    x = x.copy()
    x[5:20] *= 200
    assert "shifted_set" not in symptoms(said(Data((x, y), (z, t))))


def test_few_rows_again_and_again_are_told_where_another_set_varies():
    x, y = rows()
    again = np.tile(x[:32], (12, 1)), np.tile(y[:32], 12)
    assert symptoms(said(Data(again, rows(1))))["repeated_rows"].is_fault
    assert symptoms(said(Data((x, y), rows(1)))) == {}


def test_targets_that_are_all_the_same():
    x, y = rows()
    assert symptoms(said(Data((x, 0 * y))))["constant_targets"].is_fault


def test_rows_with_several_classes_contradict_each_other():
    x, _ = rows(count=20)
    many, labels = np.repeat(x, 20, 0), np.random.default_rng(0).integers(0, 2, 400)
    assert symptoms(said(Data((many, labels))))["contradicting_labels"].kind == "warning"
    assert "contradicting_labels" not in symptoms(said(Data((many, np.repeat(labels[:20], 20)))))


def test_a_rare_class_is_information():
    x, _ = rows()
    found = symptoms(said(Data((np.tile(x, (5, 1)), (np.arange(2000) == 7).astype("int64")))))
    assert found["rare_class"].kind == "information"


@pytest.mark.parametrize(
    ("loss", "last"),
    [("cross_entropy", nn.Softmax(1)), ("binary_cross_entropy_with_logits", nn.Sigmoid())],
)
def test_outputs_that_are_probabilities_already(loss, last):
    x, y = rows()
    if loss != "cross_entropy":
        y = np.stack([y, 1 - y], 1).astype("float32")
    assert symptoms(said(Data((x, y)), net(last), loss))["wrong_outputs"].is_fault
    assert symptoms(said(Data((x, y)), net(), loss)) == {}


def test_targets_that_no_output_reaches():
    x, _ = rows()
    assert symptoms(said(Data((x, x[:, :2])), net(nn.ReLU()), "mse"))["wrong_outputs"].is_fault
    assert symptoms(said(Data((x, abs(x[:, :2]))), net(nn.ReLU()), "mse")) == {}


class Unused(nn.Module):
    def __init__(self):
        super().__init__()
        self.used, self.left = nn.Linear(5, 2), nn.Linear(3, 3)

    def forward(self, x):
        return self.used(x)


def test_parameters_without_a_gradient_and_without_an_optimizer():
    def first_alone(params, lr):
        return torch.optim.SGD(list(params)[:1], lr=lr)

    found = symptoms(said(Data(rows()), Unused, optimizer=first_alone))
    assert found["unused_parameters"].words == "No gradient reaches left.weight, left.bias."
    assert found["not_stepped"].is_fault
    assert found["not_stepped"].statistic.value == 3


def test_a_schedule_that_ends_long_before_the_run():
    short, fitting = cosine(0.1, steps=10), cosine(0.1, steps=4 * 20)
    found = symptoms(said(Data(rows()), lr=short, epochs=20, batch_size=100))
    assert "ends long before" in found["idle_schedule"].words
    assert symptoms(said(Data(rows()), lr=fitting, epochs=20, batch_size=100)) == {}


def test_what_cannot_be_checked_is_said_and_the_rest_is_checked():
    class Broken(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(2))

        def forward(self, x):
            raise RuntimeError("mat1 and mat2")

    x, y = rows()
    report = said(Data((x, 0 * y)), Broken)
    assert "constant_targets" in report
    assert any("mat1 and mat2" in line for line in report.unwatched)


def test_checking_draws_from_no_generator_and_changes_no_data():
    x, y = rows()
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), x.copy()
    said(Data((x, y)), net(nn.Dropout()))
    assert bool((torch.get_rng_state() == before[0]).all())
    assert (np.random.get_state()[1] == before[1]).all()
    assert (x == before[2]).all()


def test_outputs_of_one_number_a_row_are_looked_at():
    x, y = rows()

    def model():
        return nn.Sequential(nn.Linear(5, 1), nn.Flatten(0))

    assert symptoms(said(Data((x, y.astype("float32"))), model, "mse")) == {}


@pytest.mark.parametrize(
    "name", ["digits", "digits_vae", "breast_cancer", "diabetes", "parity", "rosenbrock"]
)
def test_built_in_tasks_are_healthy(name):
    report = check(Recipe(load_task(name), "adam+cosine", lr=0.01))
    assert report.healthy, str(report)
