"""Copied, grown and transferred layers: what they compute, what is trained when, and errors by name."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.exact import RESUMED, close, differs, is_same, same
from tests.strategies.killed import killed_and_resumed
from tests.train.helpers import blobs, quiet, same_run
from thalweg.errors import TaskError
from thalweg.schedules import cosine
from thalweg.strategies import (
    copied_layers,
    copy_layers,
    deepened,
    freezing,
    net2net,
    transfer,
    widened,
)
from thalweg.strategies.rates import with_rates
from thalweg.train import Callback, Recipe


def mlp(*widths: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for a, b in itertools.pairwise(widths):
        layers += [nn.Linear(a, b), nn.ReLU()]
    return nn.Sequential(*layers[:-1]).double()


def normed() -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(2, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Dropout(0.5), nn.Linear(4, 3)
    )


def convolutions(axes: int = 2, bias: bool = True) -> nn.Sequential:
    conv = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[axes - 1]
    norm = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)[axes - 1]
    return nn.Sequential(
        conv(2, 3, 3, padding=1, bias=bias),
        norm(3),
        nn.ReLU(),
        conv(3, 4, 3, bias=bias),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(4 * 2**axes, 5),
    )


def lived(model: nn.Sequential, *shape: int) -> tuple[nn.Sequential, Tensor]:
    """Return the model with running statistics that are its own, in float64, and inputs."""
    x = torch.randn(16, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    model = model.double()
    for _ in range(3):
        model(2 * x + 1)
    return model.eval(), x


@pytest.mark.parametrize(
    ("make", "shape", "widths"),
    [
        (lambda: mlp(2, 4, 5, 3), (2,), {"0": 7, "2": 11}),
        (normed, (2,), {"0": 9}),
        (convolutions, (2, 4, 4), {"0": 5, "3": 9}),
        (lambda: convolutions(1, bias=False), (2, 4), {"0": 6, "3": 5}),
        (lambda: convolutions(3), (2, 4, 4, 4), {"3": 6}),
    ],
)
def test_a_widened_model_computes_the_same_in_both_modes(
    make: Callable[[], nn.Sequential], shape: tuple[int, ...], widths: dict[str, int]
) -> None:
    torch.manual_seed(0)
    model, x = lived(make(), *shape)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    wide = widened(model, widths, seed=1)
    bound = 1e-12  # float64; a unit's share may be a third, so that no product is exact
    assert float((wide(x) - model(x)).detach().abs().max()) < bound
    same(model.state_dict(), before, because="the model itself is left alone")
    for name, width in widths.items():
        assert len(wide.get_submodule(name).weight) == width  # type: ignore[arg-type]
    for each in (model, wide):  # batch statistics of a copied unit are those of the unit
        each.train()
        for layer in each:
            if isinstance(layer, nn.Dropout):
                layer.p = 0.0
    assert float((wide(x) - model(x)).detach().abs().max()) < bound
    wide(x).sum().backward()
    assert all(p.grad is not None for p in wide.parameters())


@pytest.mark.parametrize(
    ("make", "shape", "after"),
    [
        (lambda: mlp(2, 4, 5, 3), (2,), ["1", "3"]),
        (normed, (2,), ["2"]),
        (convolutions, (2, 4, 4), ["2", "4"]),
        (lambda: convolutions(1), (2, 4), ["2"]),
        (lambda: convolutions(3), (2, 4, 4, 4), ["4"]),
    ],
)
def test_a_deepened_model_computes_the_same(
    make: Callable[[], nn.Sequential], shape: tuple[int, ...], after: list[str]
) -> None:
    torch.manual_seed(0)
    model, x = lived(make(), *shape)
    deep = deepened(model, after)
    assert len(deep) == len(model) + 2 * len(after)
    assert float((deep(x) - model(x)).detach().abs().max()) < 1e-12  # sums with zeros


def test_units_are_copied_by_the_seed() -> None:
    model = mlp(2, 8, 3)
    wide = [widened(model, {"0": 20}, seed=seed) for seed in (0, 0, 1)]
    same(wide[0].state_dict(), wide[1].state_dict(), because="the same draws")
    differs(wide[0].state_dict(), wide[2].state_dict())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: widened(mlp(2, 4, 3), {"9": 5}), "no layer '9'.* go to layers alone: 0, 2"),
        (lambda: widened(mlp(2, 4, 3), {"1": 5}), "Layer '1' is ReLU"),
        (lambda: widened(mlp(2, 4, 3), {"0": 3}), "Layer '0' has 4 units; .* got 3"),
        (lambda: widened(mlp(2, 4, 3), {"2": 5}), "Layer '2' cannot be widened: its units are outputs"),
        (lambda: widened(nn.ModuleList([nn.Linear(2, 2)]), {"0": 3}), "is ModuleList, no nn.Seq.*: give x="),
        (
            lambda: widened(nn.Sequential(nn.Linear(2, 3), nn.Softmax(1), nn.Linear(3, 1)), {"0": 4}),
            "'0' cannot be widened: layer '1' behind it, Softmax, may mix",
        ),
        (lambda: deepened(nn.Sequential(nn.Linear(2, 2), nn.Tanh()), "1"), "behind layer '1', Tanh"),
        (lambda: deepened(nn.Sequential(nn.ReLU()), ["0"]), "Before layer '0' stands no linear"),
        (lambda: copy_layers(mlp(2, 4, 3), mlp(2, 5, 3), ["0"]), r"'0' cannot.*\(4, 2\).*\(5, 2\)"),
        (lambda: copy_layers(mlp(2, 4, 3), mlp(2, 4, 3), ["7"]), "new model has no layer '7'"),
        (lambda: copy_layers(mlp(2, 4, 3), mlp(2, 4, 3), {"0": "7"}), "old model has no layer '7'"),
        (lambda: copy_layers(mlp(2, 4, 3), mlp(7, 8, 9)), "No layer of the old model"),
        (lambda: copy_layers(mlp(2, 4, 3), mlp(2, 4, 3), []), "No layer is named"),
        (lambda: copy_layers(nn.LazyLinear(3), mlp(2, 3)), "old model has .*without a shape, weight"),
        (lambda: freezing({}), "freezing takes the layers .*; got {}"),
        (lambda: freezing(["0"]), r"freezing takes the layers .*; got \['0'\]"),  # type: ignore[arg-type]
        (lambda: net2net(mlp, deepen=3), "deepen has the names of layers .*; got 3"),  # type: ignore[arg-type]
        (lambda: transfer("x"), "trained model, an nn.Module; got 'x'"),  # type: ignore[arg-type]
        (lambda: copied_layers(mlp, share=1), "0 < share < 1; got 1"),
    ],
)  # fmt: skip
def test_errors_name_the_layer(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(TaskError, match=message):
        make()


class Watch(Callback):
    """Keeps the weights with which each stage begins, and which are trained."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Tensor]] = []
        self.trained: list[list[str]] = []
        self.rates: list[list[float]] = []

    def step(self, training: Any, loss: float) -> None:
        self.seen.append({k: v.detach().clone() for k, v in training.model.state_dict().items()})
        self.trained.append([n for n, p in training.model.named_parameters() if p.requires_grad])
        self.rates.append([group["lr"] for group in training.optimizer.param_groups])


def deep() -> nn.Sequential:
    return mlp(2, 6, 6, 3)


def test_the_deep_model_begins_with_copies_of_the_shallow_one() -> None:
    task, watch = blobs(model=deep), Watch()
    strategy = copied_layers(lambda: mlp(2, 6, 3), {"0": "0", "4": "2"})
    run = quiet(task, "sgd", lr=1e-9, strategy=strategy, callbacks=[watch])
    shallow, begun = watch.seen[14], watch.seen[15]  # three epochs of five steps, then the first
    for new, old in (("0", "0"), ("4", "2")):
        assert float((begun[f"{new}.weight"] - shallow[f"{old}.weight"]).abs().max()) < 1e-7
    assert [(s.name, s.epochs) for s in run.stages] == [("shallow", 3), ("deep", 7)]
    assert run.epochs == 7, "the figures of the shallow model are not those of the task's"


def test_transferred_layers_are_frozen_and_then_thawed_at_their_own_rates() -> None:
    source, watch = deep(), Watch()
    before = {name: tensor.clone() for name, tensor in source.state_dict().items()}
    strategy = transfer(source, ["0", "2"], share=0.5, rates={"0": 0.1})
    run = quiet(blobs(model=deep), "sgd", strategy=strategy, epochs=4, callbacks=[watch])
    same(source.state_dict(), before, because="it is copied")
    for k, seen in enumerate(watch.seen):
        frozen = k < 10
        for layer in ("0", "2"):
            pair = seen[f"{layer}.weight"], before[f"{layer}.weight"]
            is_kept = is_same(*pair, because="a copy that no step moves")
            assert is_kept == frozen
        assert watch.trained[k] == (["4.weight", "4.bias"] if frozen else list(before))
        close(
            torch.tensor(watch.rates[k]),
            torch.tensor([0.05] if frozen else [0.005, 0.05]),
            ulps=2,
            because="a product with a factor",
        )
    moved = [watch.seen[10], watch.seen[9]]
    assert float((moved[0]["4.weight"] - moved[1]["4.weight"]).abs().max()) < 0.1, "it goes on"
    assert len(run.stages) == 2
    once = quiet(blobs(model=deep), strategy=transfer(source, share=0), epochs=2)
    assert [stage.name for stage in once.stages] == ["thawed"]


def test_rates_hold_for_schedules_too_and_need_a_rate() -> None:
    recipe = Recipe(blobs(model=deep), "momentum", lr=cosine(0.1, steps=10))
    bound = with_rates(recipe, {"2": 0.5}).bind(deep())
    assert [group["lr"] for group in bound.param_groups] == [0.1, 0.05]
    assert [len(group["params"]) for group in bound.param_groups] == [4, 2]
    with pytest.raises(TaskError, match="give lr="):
        quiet(blobs(model=deep), "adam", lr=None, strategy=transfer(deep(), rates={"0": 1}))
    with pytest.raises(TaskError, match="rate of layer '0' must be a factor ≥ 0; got -1"):
        quiet(blobs(model=deep), strategy=transfer(deep(), rates={"0": -1}))
    with pytest.raises(TaskError, match="nothing is left to train"):
        quiet(blobs(model=deep), strategy=transfer(deep()))


def test_a_grown_model_goes_on_from_what_the_small_one_computes() -> None:
    watch, x = Watch(), blobs().data.train.inputs  # type: ignore[attr-defined]
    task = blobs(model=lambda: mlp(2, 9, 9, 7, 3))
    small = lambda: mlp(2, 4, 5, 3)  # noqa: E731
    strategy = net2net(small, deepen=("1",), share=0.5)
    quiet(task, "sgd", lr=1e-9, epochs=4, strategy=strategy, callbacks=[watch])
    models = small(), mlp(2, 9, 9, 7, 3)
    models[0].load_state_dict(watch.seen[9])
    models[1].load_state_dict(watch.seen[10])
    difference = float((models[0](x) - models[1](x)).detach().abs().max())
    assert difference < 1e-6, "one step of 1e-9 apart"
    with pytest.raises(
        TaskError, match=r"calls 3 layers with .* the task's model 4: 0, 2, 4, and 0, 2, 4, 6"
    ):
        quiet(task, strategy=net2net(small))
    with pytest.raises(TaskError, match=r"The small model cannot be run on rows .*shape \(2, 2\)"):
        quiet(task, strategy=net2net(lambda: mlp(5, 4, 3)))
    bent = lambda: nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 3)).double()  # noqa: E731
    with pytest.raises(TaskError, match="parameters fit; its activations, skips or strides"):
        quiet(blobs(model=lambda: mlp(2, 6, 3)), strategy=net2net(bent))
    with pytest.raises(TaskError, match="Layer '0' has 4 units; it can become wider, got 3"):
        quiet(blobs(model=lambda: mlp(2, 3, 5, 3)), strategy=net2net(small))


@pytest.mark.parametrize("after", [3, 14])
@pytest.mark.parametrize(
    "strategy",
    [
        transfer(mlp(2, 6, 6, 3), ["0", "2"], rates={"2": 0.3}),
        net2net(lambda: mlp(2, 4, 5, 3)),
        copied_layers(lambda: mlp(2, 6, 3), ["0"]),
    ],
    ids=lambda strategy: type(strategy).__name__,
)
def test_they_go_on_bit_for_bit(strategy: Any, after: int, tmp_path: Path) -> None:
    task = blobs(model=deep)
    resumed = killed_and_resumed(task, strategy, after, tmp_path / "kept.safetensors", epochs=4)
    same_run(resumed, quiet(task, strategy=strategy, epochs=4), because=RESUMED)
