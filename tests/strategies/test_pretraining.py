"""Greedy pretraining: which layers are trained in which stage, what the joint stage begins with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.exact import RESUMED, is_same
from tests.strategies.killed import killed_and_resumed
from tests.strategies.models import Convolutions, Residual, pictures
from tests.train.helpers import blobs, quiet, same_run
from thalweg import fit, load_task
from thalweg.errors import TaskError
from thalweg.strategies import pretraining
from thalweg.strategies.parts import parts_of
from thalweg.tasks import mlp
from thalweg.train import Callback


def deep() -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(2, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3)
    ).double()


class Watch(Callback):
    """Keeps the weights after each step."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Tensor]] = []

    def step(self, training: Any, loss: float) -> None:
        self.seen.append({k: v.detach().clone() for k, v in training.model.state_dict().items()})


def near(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors are one step at a tiny rate apart; two draws are not."""
    return float((a - b).abs().max()) < 1e-6


def test_supervised_layers_are_trained_one_by_one_and_then_together() -> None:
    watch = Watch()
    run = quiet(blobs(model=deep), "sgd", strategy=pretraining(), epochs=8, callbacks=[watch])
    names = ["layer 1", "layer 2", "joint"]
    assert [(s.name, s.epochs) for s in run.stages] == list(zip(names, (2, 2, 4), strict=True))
    first, second = watch.seen[9], watch.seen[10:20]
    for seen in second:
        assert is_same(seen["body.0.weight"], first["body.0.weight"], because="it is frozen")
    changed = second[0]["body.3.weight"], second[-1]["body.3.weight"]
    assert not is_same(*changed, because="it is trained")
    assert list(watch.seen[20]) == list(deep().state_dict())
    assert run.epochs == 4


@pytest.mark.parametrize("kind", ["supervised", "unsupervised"])
def test_the_joint_stage_begins_with_the_pretrained_layers(kind: Any) -> None:
    watch = Watch()
    settings: dict[str, Any] = {"lr": 1e-9, "epochs": 8, "callbacks": [watch]}
    run = quiet(blobs(model=deep), "sgd", strategy=pretraining(kind), **settings)
    stages, joint = (watch.seen[9], watch.seen[19]), watch.seen[20]
    if kind == "supervised":
        pairs = {"0.weight": "body.0.weight", "3.bias": "body.3.bias", "5.weight": "head.weight"}
        assert all(near(joint[new], stages[1][old]) for new, old in pairs.items())
        assert run.gradients == pytest.approx(8)
    else:
        assert near(joint["0.weight"], stages[0]["encoder.0.weight"])
        assert near(joint["3.weight"], stages[1]["encoder.0.weight"])
        assert not near(joint["5.bias"], stages[1]["decoder.bias"][:3])
        assert run.gradients == pytest.approx(8 + 1 / 3), "one pass for the inputs of layer 2"


def test_an_autoencoder_learns_what_comes_into_its_layer() -> None:
    losses: list[tuple[str, float]] = []

    class Losses(Callback):
        def step(self, training: Any, loss: float) -> None:
            losses.append((type(training.model).__name__, loss))

    quiet(
        blobs(model=deep),
        strategy=pretraining("unsupervised", 0.8),
        epochs=30,
        callbacks=[Losses()],
    )
    for stage in (losses[:60], losses[60:120]):
        assert {name for name, _ in stage} == {"_Autoencoder"}
        assert sum(loss for _, loss in stage[-5:]) < 0.5 * sum(loss for _, loss in stage[:5])
    runs = [
        quiet(blobs(model=deep), strategy=pretraining("unsupervised", noise=noise), epochs=6)
        for noise in (0.0, 0.5)
    ]
    assert runs[0].history.column("train_loss") != runs[1].history.column("train_loss")


def test_convolutions_are_pretrained_too() -> None:
    def model() -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Conv2d(2, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(12, 2)
        )  # fmt: skip

    x = torch.randn(24, 1, 5, 5, generator=torch.Generator().manual_seed(0))
    task = blobs(data=(x, (x.mean((1, 2, 3)) > 0).long()), model=model)
    for kind in ("supervised", "unsupervised"):
        run = quiet(task, strategy=pretraining(kind), epochs=6)  # type: ignore[arg-type]
        assert [stage.name for stage in run.stages] == ["layer 1", "layer 2", "joint"]


def test_a_model_of_any_class_is_pretrained_part_by_part() -> None:
    watch = Watch()
    settings: dict[str, Any] = {"lr": 1e-9, "epochs": 6, "callbacks": [watch]}
    run = quiet(pictures(Convolutions), "sgd", strategy=pretraining(), **settings)
    names = ["layer 1", "layer 2", "layer 3", "joint"]
    assert [stage.name for stage in run.stages] == names
    first = next(k for k, seen in enumerate(watch.seen) if "conv1.weight" in seen)
    parts, joint = watch.seen[first - 1], watch.seen[first]
    for place, name in enumerate(("conv1.weight", "conv2.weight", "fc1.weight")):
        found = parts[next(k for k in parts if k.startswith(f"body.{place}") and name in k)]
        assert near(found, joint[name])
    assert near(parts["head.weight"], joint["fc2.weight"]), "of a head that is one layer"

    run = quiet(pictures(Residual), strategy=pretraining("unsupervised", noise=0.2), epochs=6)
    blocks = ["layer 1", "layer 2", "layer 3"]
    assert [stage.name for stage in run.stages] == [*blocks, "joint"], "a stem and two blocks"


def test_a_mode_that_is_read_while_it_is_traced_is_that_of_the_part() -> None:
    parts = parts_of(Drops().eval()), parts_of(Drops())
    x = torch.ones(4, 3)
    for each in parts:
        assert is_same(each.eval()(x), x, because="nothing is dropped")
        assert not is_same(each.train()(x), x, because="it is dropped")


class Drops(nn.Module):
    """Drops numbers in training."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.dropout(x + 0, 0.999, self.training)


class Branching(nn.Module):
    """Cannot be traced."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(2, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.a(x) if float(x.sum()) > 0 else self.a(-x)


@pytest.mark.parametrize("after", [2, 7, 13])
@pytest.mark.parametrize("kind", ["supervised", "unsupervised"])
def test_it_goes_on_bit_for_bit(kind: Any, after: int, tmp_path: Path) -> None:
    task, strategy = blobs(model=deep), pretraining(kind)
    resumed = killed_and_resumed(task, strategy, after, tmp_path / "kept.safetensors", epochs=4)
    same_run(resumed, quiet(task, strategy=strategy, epochs=4), because=RESUMED)


def test_what_cannot_be_pretrained_is_said() -> None:
    wrong = nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3)).double()
    with pytest.raises(TaskError, match="needs a hidden layer; the model has 1 linear"):
        quiet(blobs(model=lambda: nn.Linear(2, 3)), strategy=pretraining())
    with pytest.raises(TaskError, match=r"cannot trace this Branching. test_pretraining.py, line"):
        quiet(blobs(model=Branching), strategy=pretraining())
    with pytest.raises(TaskError, match="needs a hidden layer; the model has 1 linear"):
        quiet(blobs(model=lambda: nn.Sequential(nn.Linear(2, 3))), strategy=pretraining())
    with pytest.raises(
        TaskError, match=r"Part 1 of 3 of the model, Linear, .* \(2, 2\), torch.float64"
    ):
        quiet(blobs(model=lambda: wrong), strategy=pretraining())
    with pytest.raises(TaskError, match=r"without a shape, 0.weight: its layer is lazy"):
        quiet(blobs(model=lambda: nn.Sequential(nn.LazyLinear(4))), strategy=pretraining())
    with pytest.raises(TaskError, match="'supervised' or 'unsupervised'; got 'self'"):
        pretraining("self")  # type: ignore[arg-type]
    with pytest.raises(TaskError, match="0 ≤ noise < 1; got 1"):
        pretraining("unsupervised", noise=1)
    with pytest.raises(TaskError, match="noise is for unsupervised"):
        pretraining(noise=0.1)


@pytest.mark.full
def test_pretraining_trains_a_deep_net_that_does_not_learn_from_scratch() -> None:
    """Five layers of 32 sigmoids on the digits: 52 to 66 % from scratch at its best rate, 94 % pretrained."""
    digits = load_task("digits").replace(model=lambda: mlp([64, *[32] * 5, 10], nn.Sigmoid))

    def accuracy(strategy: pretraining | None, lr: float) -> float:
        run = fit(digits, "adam", lr=lr, epochs=25, strategy=strategy, progress=False)
        return run.evaluate("validation")["accuracy"]

    scratch = max(accuracy(None, lr) for lr in (0.01, 0.03))
    assert accuracy(pretraining(), 0.03) > scratch + 0.1
