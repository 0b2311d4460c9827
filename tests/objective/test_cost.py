from __future__ import annotations

import pytest
import torch
from torch import nn

from thalweg.errors import TaskError
from thalweg.objective import L2, Cost, Metric, Scores
from thalweg.objective import scores as scores_module


def test_objective_is_loss_plus_penalty() -> None:
    torch.manual_seed(0)
    model, x, y = nn.Linear(3, 1).double(), torch.randn(7, 3).double(), torch.randn(7, 1).double()
    cost = Cost("mse", penalty=L2(0.1))
    expected = ((model(x) - y) ** 2).mean() + 0.1 * (model.weight**2).sum()
    assert cost.objective(model, x, y).item() == pytest.approx(expected.item(), rel=1e-14)
    assert Cost("mse").objective(model, x, y) < cost.objective(model, x, y)


def test_directions() -> None:
    cost = Cost("cross_entropy", metrics=["accuracy", "error_rate"])
    assert [cost.direction(n) for n in ("accuracy", "error_rate", "loss", "objective")] == [
        "max",
        "min",
        "min",
        "min",
    ]
    with pytest.raises(TaskError, match="Did you mean 'accuracy'"):
        cost.direction("acuracy")


def test_bad_parts() -> None:
    with pytest.raises(TaskError, match="same name"):
        Cost("mse", metrics=["mae", "mae"])
    with pytest.raises(TaskError, match=r"write L2\(0.1\)"):
        Cost("mse", penalty=0.1)  # type: ignore[arg-type]


def test_the_ragged_last_batch_weighs_by_its_rows() -> None:
    torch.manual_seed(0)
    outputs, labels = torch.randn(10, 3), torch.randint(0, 3, (10,))
    cost = Cost("cross_entropy", metrics="accuracy")
    meter = cost.meter()
    for o, t in zip(outputs.split(4), labels.split(4), strict=True):
        meter.add(cost.surrogate(o, t).item(), o, t, len(t))
    scores = meter.scores()
    assert scores.loss == pytest.approx(cost.surrogate(outputs, labels).item(), rel=1e-6)
    assert scores["accuracy"] == cost.measures[0](outputs, labels)


@pytest.mark.parametrize("held", [0, 1 << 22])
def test_letting_outputs_go_changes_nothing(held: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scores_module, "_HELD", held)
    torch.manual_seed(0)
    outputs, targets = torch.randn(10, 2).double(), torch.randn(10, 2).double()
    whole = Cost("mse", metrics=["mse", "mae"]).meter()
    rooted = Cost("mse", metrics=["rmse", "r2"]).meter()
    for o, t in zip(outputs.split(4), targets.split(4), strict=True):
        whole.add(0.0, o, t, len(t))
        rooted.add(0.0, o, t, len(t))
    mse = ((outputs - targets) ** 2).mean().item()
    assert whole.scores()["mse"] == pytest.approx(mse, rel=1e-12)
    assert rooted.scores()["rmse"] == pytest.approx(mse**0.5, rel=1e-12)


def test_structured_outputs_are_measured_batch_by_batch() -> None:
    meter = Cost(
        lambda o, t: o[0].mean(), metrics=Metric("first", lambda o, t: o[0].mean())
    ).meter()
    meter.add(0.0, (torch.ones(3),), {"y": torch.ones(3)}, 3)
    meter.add(0.0, (torch.zeros(1),), {"y": torch.ones(1)}, 1)
    assert meter.scores()["first"] == 0.75


def test_scores_by_name() -> None:
    scores = Scores(1.0, 0.5, {"accuracy": 0.9})
    assert scores["objective"] == 1.5
    assert scores.as_dict() == {"loss": 1.0, "penalty": 0.5, "accuracy": 0.9}
    with pytest.raises(TaskError, match="Did you mean 'accuracy'"):
        scores["accurcy"]
    with pytest.raises(TaskError, match="No batch"):
        Cost("mse").meter().scores()


def test_a_cost_can_be_a_key() -> None:
    assert len({Cost("mse", metrics=["mae"]), Cost("mse", metrics=["mae"])}) == 1
