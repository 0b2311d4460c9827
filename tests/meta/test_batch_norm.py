"""Batch normalization keeps its statistics, and normalizes as it did."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.exact import RERUN, differs, same
from thalweg.meta import frozen_batch_norm

X = torch.randn(6, 3, 4, generator=torch.Generator().manual_seed(0)) * 3 + 2


def make(momentum: float | None, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Conv1d(3, 3, 1), nn.BatchNorm1d(3, momentum=momentum))
    model(X)
    return model


def statistics(model: nn.Module) -> list[Tensor]:
    return [b.clone() for b in model.buffers()]


@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize("x", [X, X * float("inf")])
def test_statistics_stand_still_and_outputs_are_the_same(momentum: float | None, x: Tensor) -> None:
    model, twin = make(momentum), make(momentum)
    before = statistics(model)
    with frozen_batch_norm(model):
        y = model(x)
    same(y, twin(x), because=RERUN)
    after = statistics(model)
    assert len(before) == 3
    same(before, after, because="nothing wrote to it")
    # and afterwards they move again, as if nothing had been
    fresh = make(momentum)
    model(X)
    fresh(X)
    moved = statistics(model)
    same(moved, statistics(fresh), because=RERUN)
    if momentum is not None:
        differs(moved, before, everywhere=True)
    assert int(moved[2]) == 2


def test_not_frozen_changes_nothing() -> None:
    model, twin = make(0.1), make(0.1)
    with frozen_batch_norm(model, False):
        model(X)
    twin(X)
    same(statistics(model), statistics(twin), because=RERUN)


def test_evaluation_mode_uses_the_running_statistics() -> None:
    model = make(0.1).eval()
    expected = model(X)
    with frozen_batch_norm(model):
        same(model(X), expected, because=RERUN)


def test_layers_come_back_when_the_body_raises_and_layers_without_statistics_stay_so() -> None:
    model = nn.Sequential(
        nn.BatchNorm1d(3), nn.BatchNorm1d(3, track_running_stats=False), nn.LayerNorm(4)
    )

    def body() -> None:
        with frozen_batch_norm(model):
            assert not model[0].track_running_stats
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        body()
    assert [layer.track_running_stats for layer in model[:2]] == [True, False]


def test_the_gradient_is_that_of_training_mode() -> None:
    model, twin = make(0.1), make(0.1)
    with frozen_batch_norm(model):
        model(X).pow(3).sum().backward()
    twin(X).pow(3).sum().backward()
    gradients, expected = ([p.grad for p in m.parameters()] for m in (model, twin))
    assert len(expected) == 4
    same(gradients, expected, because=RERUN)
