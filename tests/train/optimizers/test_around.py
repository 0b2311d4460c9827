"""Gathering over batches, clipping and autocast around any optimizer."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.exact import RERUN, RESUMED
from tests.train.helpers import blobs, quiet, same_run, weights
from thalweg import optim
from thalweg.errors import CheckpointError, TaskError
from thalweg.meta import SAM, Accumulate
from thalweg.train import Callback, Training


def plain() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 3)).double()


def test_gathered_batches_are_the_large_batch() -> None:
    gathered = quiet(blobs(model=plain), epochs=3, batch_size=6, accumulate=3)
    large = quiet(blobs(model=plain), epochs=3, batch_size=18)
    assert gathered.steps == large.steps == 6
    for name, value in weights(gathered).items():
        # sums of 35 rows in another order: some ulps of float64, and Adam's square root near 0
        torch.testing.assert_close(value, weights(large)[name], rtol=1e-9, atol=1e-9)


def test_gathering_by_setting_is_the_wrapper() -> None:
    def wrapped(params: Any, lr: float) -> torch.optim.Optimizer:
        return Accumulate(torch.optim.Adam(params, lr), 2)

    same_run(
        quiet(blobs(), accumulate=2, epochs=3), quiet(blobs(), wrapped, epochs=3), because=RERUN
    )


class Norms(Callback):
    """The norm of the gradient at each step."""

    def __init__(self) -> None:
        self.norms: list[float] = []

    def step(self, training: Training, loss: float) -> None:
        gradients = [p.grad for p in training.model.parameters() if p.grad is not None]
        self.norms.append(float(torch.cat([g.reshape(-1) for g in gradients]).norm()))


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, optim.SGD, optim.Adam])
def test_no_gradient_is_longer_than_the_clip(optimizer: Any) -> None:
    free, clipped = Norms(), Norms()
    quiet(blobs(model=plain), optimizer, callbacks=[free], epochs=2)
    quiet(blobs(model=plain), optimizer, callbacks=[clipped], epochs=2, clip_norm=0.3)
    assert max(free.norms) > 0.4
    assert max(clipped.norms) <= 0.3 * (1 + 1e-5)  # torch divides by the norm and 1e-6 more


def test_clipping_is_a_loop_that_clips() -> None:
    run = quiet(
        blobs(model=plain), torch.optim.SGD, batch_size=None, epochs=5, clip_norm=0.1, lr=0.5
    )
    torch.manual_seed(0)
    model, data = plain(), blobs().data.train
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    for _ in range(5):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(data.inputs), data.targets).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        optimizer.step()
    for name, value in model.state_dict().items():
        # the rows of the batch in another order
        torch.testing.assert_close(value, weights(run)[name], rtol=1e-12, atol=1e-12)


def test_the_gathered_gradient_is_clipped() -> None:
    settings: dict[str, Any] = {"epochs": 3, "clip_norm": 0.1, "lr": 0.5}
    gathered = quiet(blobs(model=plain), torch.optim.SGD, batch_size=6, accumulate=3, **settings)
    large = quiet(blobs(model=plain), torch.optim.SGD, batch_size=18, **settings)
    for name, value in weights(gathered).items():
        torch.testing.assert_close(value, weights(large)[name], rtol=1e-10, atol=1e-10)


def test_sam_is_clipped_where_it_steps() -> None:
    def sam(params: Any, lr: float) -> torch.optim.Optimizer:
        return SAM(torch.optim.SGD(params, lr))

    norms = Norms()
    quiet(blobs(model=plain), sam, epochs=2, clip_norm=0.1, callbacks=[norms])
    free = quiet(blobs(model=plain), sam, epochs=2)
    clipped = quiet(blobs(model=plain), sam, epochs=2, clip_norm=0.1)
    start = quiet(blobs(model=plain), sam, epochs=2, lr=0.0)

    def far(run: Any) -> float:
        pairs = zip(weights(run).values(), weights(start).values(), strict=True)
        return float(sum((a - b).square().sum() for a, b in pairs))

    assert far(clipped) < far(free) / 2


@pytest.mark.parametrize("setting", [{"accumulate": 2}, {"clip_norm": 1.0}])
def test_a_solver_has_no_gradient_to_work_on(setting: dict[str, Any]) -> None:
    (name,) = setting
    with pytest.raises(TaskError, match=rf"LBFGS evaluates the objective itself.*{name}"):
        quiet(blobs(), "lbfgs", lr=1.0, **setting)


@pytest.mark.parametrize("name", ["float32", "float64"])
def test_autocast_computes_in_bfloat16_and_keeps_the_rest(name: str) -> None:
    seen: list[torch.dtype] = []
    measured: list[torch.dtype] = []

    class Watched(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out = super().forward(x)
            (seen if self.training else measured).append(out.dtype)
            return out

    dtype = getattr(torch, name)
    task = blobs(model=lambda: nn.Sequential(Watched(2, 8), nn.Tanh(), Watched(8, 3)).to(dtype))
    run = quiet(task, epochs=8, autocast="bfloat16")
    # PyTorch leaves float64 as it is
    assert {*seen} == {torch.bfloat16 if name == "float32" else torch.float64}
    assert {*measured} == {dtype}
    assert {p.dtype for p in run.model.parameters()} == {dtype}
    usual = quiet(task, epochs=8)
    # 8 bits of mantissa in the products
    assert run.history[-1].train.loss == pytest.approx(usual.history[-1].train.loss, rel=0.1)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"accumulate": 0}, "accumulate must be an integer ≥ 1"),
        ({"accumulate": 1.5}, "accumulate must be an integer ≥ 1"),
        ({"clip_norm": 0}, "clip_norm must be a number > 0"),
        ({"clip_norm": "big"}, "clip_norm must be a number > 0"),
        ({"autocast": "float16"}, "float16 needs a loss scaler"),
        ({"autocast": torch.float64}, "autocast is None or 'bfloat16'"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(TaskError, match=words):
        quiet(blobs(), **settings)


def test_a_resumed_run_has_the_same_settings(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"accumulate": 2, "clip_norm": 0.2, "autocast": torch.bfloat16}
    quiet(blobs(), epochs=2, checkpoint=tmp_path, **settings)
    with pytest.raises(CheckpointError, match=r"clip_norm: 0.2 in the checkpoint, 0.3 now"):
        quiet(
            blobs(), epochs=4, checkpoint=tmp_path, resume=True, **(settings | {"clip_norm": 0.3})
        )
    resumed = quiet(blobs(), epochs=4, checkpoint=tmp_path, resume=True, **settings)
    same_run(resumed, quiet(blobs(), epochs=4, **settings), because=RESUMED)


def test_the_caller_sees_its_own_settings() -> None:
    run = quiet(
        blobs(), functools.partial(optim.Adam, eps=1e-7), epochs=1, clip_norm=2.0, accumulate=3
    )
    assert "clip_norm=2.0" in repr(run.recipe)
    assert isinstance(run.optimizer, Accumulate)
