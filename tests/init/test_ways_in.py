"""Strategies by name: in texts, tasks, runs, entrants, and on the command line."""

from __future__ import annotations

import copy
import html
import json
import math
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.cli.commands import call
from tests.exact import RERUN, differs, same
from thalweg import CheckpointError, Cost, Task, TaskError, fit, init, load_run, optim
from thalweg.init.compare import constant_loss
from thalweg.init.named import as_strategy
from thalweg.objective.losses import as_loss
from thalweg.race.entrants.entrant import Entrant
from thalweg.race.entrants.known import find_entrant
from thalweg.train.rebuilt import recipe_of

X = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long() + (X[:, 1] > 1).long()


def net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))


def task(**parts: Any) -> Task:
    return Task((X, Y), Cost("cross_entropy"), net, name="small", epochs=1, **parts)


def weight(model: nn.Module) -> Tensor:
    found: Tensor = model[0].weight.detach()  # type: ignore[index,union-attr,operator,assignment]
    return found


@pytest.mark.parametrize(
    "text",
    ["he", "orthogonal:gain=1.4,aspect=false", "he:on=hidden/0|bias:value=0.5", "kaiming_normal"],
)
def test_a_text_is_a_strategy_and_back(text: str) -> None:
    strategy = init.find_strategy(text)
    assert repr(strategy) == text.replace("kaiming_normal", "from_torch:name=kaiming_normal")
    assert as_strategy(strategy) == strategy == as_strategy(text)
    assert pickle.loads(pickle.dumps(strategy)) == copy.deepcopy(strategy) == strategy


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hee", "No initialization is called 'hee'.*Did you mean 'he'"),
        ("he:gian=2", "has no argument 'gian'.*Did you mean 'gain'.*It has: gain, slope"),
        ("he:2", "'2' is not an argument: expected name=value"),
        ("he:gain=1,gain=2", "gives 'gain' twice"),
        ("kaiming_normal:a=1", "called with the tensor alone"),
        ("transfer", "needs source, which is given in Python"),
        ("he|", "No initialization is called ''"),
    ],
)
def test_texts_that_name_nothing_are_refused_with_a_suggestion(text: str, message: str) -> None:
    with pytest.raises(TaskError, match=message):
        init.find_strategy(text)
    with pytest.raises(TaskError, match=message):
        task(init=text)


def test_tasks_runs_and_recipes_take_it() -> None:
    def first(**settings: Any) -> Tensor:
        run = fit(task(), "sgd", lr=0.0, progress=False, **settings)
        return weight(run.model)

    plain, he = first(), first(init="he")
    differs(plain, he)
    same(he, first(init=init.he()), because=RERUN)
    same(he, weight(fit(task(init="he"), "sgd", lr=0.0, progress=False).model), because=RERUN)
    differs(he, first(init="he", seed=1))
    same(first(init=lambda m: m[0].weight.fill_(2)), torch.full((8, 4), 2.0), because="filled")
    assert task(init="he").replace(init=None).init is None


def test_the_folder_of_a_run_keeps_it(tmp_path: Path) -> None:
    run = fit(task(), "sgd", lr=0.1, init="he|bias", progress=False)
    folder = run.save(tmp_path / "run")
    assert json.loads((folder / "run.json").read_text())["recipe"]["init"] == "he|bias"
    assert recipe_of(load_run(folder, task=task())).init == "he|bias"
    own = fit(task(), "sgd", lr=0.1, init=lambda m: None, progress=False).save(tmp_path / "own")
    with pytest.raises(CheckpointError, match="its record holds init in words alone"):
        recipe_of(load_run(own, task=task()))


def test_entrants_take_it_by_name_with_arguments_and_a_schedule() -> None:
    entrant = find_entrant("Adam@orthogonal:gain=1e+1+cosine")
    assert (entrant.name, entrant.init, entrant.schedule) == (
        *("adam@orthogonal:gain=1e+1+cosine", "orthogonal:gain=1e+1", "cosine"),
    )
    assert find_entrant("adam+cosine@he") == find_entrant("adam@he+cosine")
    built = find_entrant("adam@orthogonal:gain=3").task(task()).build()
    assert float(weight(built).norm(dim=0)[0]) == pytest.approx(3 * math.sqrt(2), rel=1e-5)
    assert Entrant("a", optim.SGD, initialization="he") == Entrant("a", optim.SGD, init="he")
    with pytest.raises(TaskError, match="Did you mean 'he'"):
        find_entrant("adam@hee")
    with pytest.raises(TaskError):
        find_entrant("adam@")


def test_the_command_line_trains_and_lists(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    ended = call("train", "digits", "--init", "he|output_bias", "--epochs", "1", "--lr", "1e-3")
    assert ended.exit_code == 0, ended.output
    record = json.loads(next(Path("runs").glob("*/run.json")).read_text())
    assert record["recipe"]["init"] == "he|output_bias"
    wrong = call("train", "digits", "--init", "hee")
    assert (wrong.exit_code, "Did you mean 'he'" in wrong.output) == (2, True)
    listed = json.loads(call("list", "init", "--json").stdout)["init"]
    assert {"he", "lsuv", "kaiming_normal"} <= {row["name"] for row in listed}


def test_the_command_compares_strategies(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    compared = "default,he:gain=2,slope=none,lsuv"
    ended = call("init", "digits", "--compare", compared, "--epochs", "0", "--json")
    assert ended.exit_code == 0, ended.output
    document = json.loads(ended.stdout)
    names = [each["strategy"] for each in document["strategies"]]
    assert names == ["default", "he:gain=2,slope=none", "lsuv"]
    assert document["constant_loss"] == pytest.approx(math.log(10), abs=0.01)
    assert "race" not in document
    shown = call("init", "digits", "--show", "he|output_bias")
    assert (shown.exit_code, "2.bias" in shown.output) == (0, True)
    assert call("init", "digits", "--compare", "").exit_code == 2
    assert call("init", "digits", "--seeds", "1").exit_code == 2


TINY = """
import torch
from torch import nn
from thalweg import Cost, Data, Target, Task

def task():
    x = torch.randn(96, 4, generator=torch.Generator().manual_seed(0))
    y = (x.sum(1) > 0).long()
    model = lambda: nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    data, target = Data.arrays(x, y, validation=0.25), Target("loss", 0.6)
    return Task(data, Cost("cross_entropy"), model, "tiny", target, batch_size=8)
"""


@pytest.mark.full  # tests/race/test_starts.py stands for it in `make test`
def test_the_command_races_them_and_writes_a_page(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tiny.py").write_text(TINY)
    call_with = ("init", "tiny.py", "--compare", "default,zeros|bias", "-o", "sgd", "--epochs", "2")
    ended = call(*call_with, "--html", "starts.html", "--json")
    assert ended.exit_code == 0, ended.output
    race = json.loads(ended.stdout)["race"]
    assert (race["optimizer"], race["budget"]["epochs"], len(race["budget"]["final_seeds"])) == (
        *("sgd", 2, 8),
    )
    assert race["budget"]["equal"] is True
    # where all is zero, no gradient passes a layer: only the last bias learns
    assert race["may_be_best"] == ["default"], race["verdict"]
    (evidence,) = race["evidence"]
    assert "interval" in evidence
    page = Path("starts.html").read_text(encoding="utf-8")
    assert "After some training" in page
    assert html.escape(evidence) in page
    for wrong in (["--html", "starts.txt"], ["--show", "he", "--html", "a.html"]):
        assert call("init", "tiny.py", *wrong).exit_code == 2


def deep() -> nn.Sequential:
    layers: list[nn.Module] = []
    for k in range(8):
        layers += [nn.Linear(4 if k == 0 else 64, 64), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(64, 3))


def test_the_comparison_finds_the_drift_and_recommends_what_has_least() -> None:
    loss = as_loss("cross_entropy")
    found = init.compare(deep, ["default", "he|bias", "he:gain=3|bias"], X, Y, loss, seeds=4)
    drift = {each.name: each.drift.mean for each in found.started if each.drift is not None}
    # each of seven layers multiplies the square by 1/6 by PyTorch's draw and by 9/2 by a gain of 3,
    # activations and gradients alike; biases keep the activations of the first from falling so far
    assert drift["he:gain=3|bias"] == pytest.approx(7 * math.log(4.5), rel=0.15)
    assert drift["default"] > 6
    assert drift["he|bias"] < 2
    assert found.recommended == ("he|bias",)
    assert "Recommended: he|bias. If the model stayed linear" in str(found)
    assert found._repr_html_().count("<polyline") == 2 * 3
    row = found.to_dict()["strategies"][1]["layers"][0]
    assert row["layer"] == "0"
    x = X.double()
    exact = 0.5 * math.log(float(x.square().sum(1).mean() / 4 * 2))  # E[(Wx)²] = (2/4)·‖x‖²
    assert row["activation"]["mean"] == pytest.approx(exact, abs=0.2)


def test_the_loss_of_the_best_constant() -> None:
    y = torch.tensor([[0.0], [1.0], [1.0], [1.0]])
    assert constant_loss("mse_loss", y) == pytest.approx(0.1875)
    assert constant_loss("half_mse", y) == pytest.approx(0.09375)
    entropy = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    assert constant_loss("binary_cross_entropy", y) == pytest.approx(entropy)
    assert constant_loss("cross_entropy", y[:, 0].long()) == pytest.approx(entropy)
    assert constant_loss("l1_loss", y) is None
