"""What changes while one stage goes on: frozen layers, batches, residual branches."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.exact import RERUN, RESUMED, is_same
from tests.strategies.killed import killed_and_resumed
from tests.train.helpers import blobs, other_run, quiet, same_run
from thalweg.errors import TaskError
from thalweg.strategies import freezing, growing_batches, stochastic_depth
from thalweg.train import Callback


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.branch = nn.Sequential(nn.Linear(4, 4), nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = x + self.branch(x)
        return outputs


def residual() -> nn.Sequential:
    return nn.Sequential(nn.Linear(2, 4), Block(), Block(), nn.Linear(4, 3)).double()


def single() -> nn.Sequential:
    return nn.Sequential(nn.Linear(2, 3)).double()


BRANCHES = ("1.branch", "2.branch")


class Watch(Callback):
    """Keeps the weights after each step."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Tensor]] = []

    def step(self, training: Any, loss: float) -> None:
        self.seen.append({k: v.detach().clone() for k, v in training.model.state_dict().items()})


@pytest.mark.parametrize("optimizer", ["adamw", torch.optim.AdamW])
def test_a_layer_moves_in_its_epochs_alone(optimizer: Any) -> None:
    watch = Watch()
    strategy = freezing({"0": (0, 0.5), "1": (0.5, 1)})
    settings: dict[str, Any] = {"weight_decay": 0.1, "epochs": 4, "callbacks": [watch]}
    run = quiet(blobs(model=residual), optimizer, strategy=strategy, **settings)
    moves = {
        name: [
            not is_same(after[name], before[name], because="frozen")
            for before, after in itertools.pairwise(watch.seen)
        ]
        for name in ("0.weight", "1.branch.0.weight", "3.weight")
    }
    assert moves["0.weight"] == [True] * 9 + [False] * 10
    assert moves["1.branch.0.weight"] == [False] * 9 + [True] * 10
    assert moves["3.weight"] == [True] * 19
    assert all(p.requires_grad for p in run.model.parameters())


def test_batches_grow_and_epochs_cost_alike() -> None:
    run = quiet(blobs(), strategy=growing_batches(2, 3), epochs=6)
    steps = [0, *run.history.column("step")]
    assert [b - a for a, b in itertools.pairwise(steps)] == [5, 5, 3, 3, 2, 2]
    assert [each.gradients for each in run.evaluations] == [1, 2, 3, 4, 5, 6]


def test_branches_are_left_out_by_chance_in_training_alone() -> None:
    task = blobs(model=residual)
    run = quiet(task, strategy=stochastic_depth(BRANCHES, 0.5))
    other_run(run, quiet(task))
    other_run(run, quiet(task, strategy=stochastic_depth(BRANCHES, 0.9)))
    same_run(quiet(task, strategy=stochastic_depth(BRANCHES, 1.0)), quiet(task), because=RERUN)
    hooks = [len(module._forward_hooks) for module in run.model.modules()]
    assert sum(hooks) == 0


def test_a_branch_survives_as_often_as_it_is_meant_to_and_keeps_its_mean() -> None:
    from thalweg.strategies.depth import _dropped

    drop, layer, ones = _dropped(0.8), nn.Identity(), torch.ones(1)
    torch.manual_seed(0)
    found = torch.cat([drop(layer, None, ones) for _ in range(2000)])
    assert set(found.tolist()) == {0.0, 1.25}
    assert abs(float(found.mean()) - 1) < 5 * (0.25 / 2000) ** 0.5
    assert drop(layer.eval(), None, ones) is ones


@pytest.mark.parametrize("after", [3, 9])
@pytest.mark.parametrize(
    "strategy",
    [freezing({"0": (0.25, 0.5)}), growing_batches(), stochastic_depth(BRANCHES)],
    ids=lambda strategy: type(strategy).__name__,
)
def test_they_go_on_bit_for_bit(strategy: Any, after: int, tmp_path: Path) -> None:
    task = blobs(model=residual)
    resumed = killed_and_resumed(task, strategy, after, tmp_path / "kept.safetensors", epochs=4)
    same_run(resumed, quiet(task, strategy=strategy, epochs=4), because=RESUMED)


def test_what_cannot_be_is_said() -> None:
    task = blobs(model=residual)
    with pytest.raises(TaskError, match="no layer '9'"):
        quiet(task, strategy=freezing({"9": (0, 1)}))
    with pytest.raises(TaskError, match=r"Layer '0' must be trained from .*got \(0.5, 0.2\)"):
        freezing({"0": (0.5, 0.2)})
    with pytest.raises(TaskError, match="Epoch 6 of 10 trains nothing"):
        quiet(blobs(model=single), strategy=freezing({"0": (0, 0.5)}))
    with pytest.raises(TaskError, match="A batch of all rows cannot grow"):
        quiet(task, batch_size=None, strategy=growing_batches())
    with pytest.raises(TaskError, match="factor of growing batches must be an integer ≥ 2; got 1"):
        growing_batches(1)
    with pytest.raises(TaskError, match="no layer 'x'"):
        quiet(task, strategy=stochastic_depth(("x",)))
    with pytest.raises(TaskError, match="0 < survival ≤ 1; got 0"):
        stochastic_depth(BRANCHES, 0)
    with pytest.raises(TaskError, match="in a tuple; got '1'"):
        stochastic_depth("1")  # type: ignore[arg-type]
