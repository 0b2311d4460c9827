"""Layers that nothing trains are a fault where they are as drawn, and training them lowers the loss."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.doctor.helpers import FEATURES, Batches, net, report
from thalweg.doctor import Report
from thalweg.doctor.symptoms.frozen import FrozenLayers, looks_drawn
from thalweg.train.restored.snapshot import untouched

RATE = 5e-3


def rings(steps: int = 150) -> Batches:
    """Return batches whose classes are no function of few linear features."""
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(steps, 32, FEATURES, generator=draw)
    y = (x[..., 0] * x[..., 1] > 0).long() + 2 * (x[..., 2] * x[..., 3] > 0).long()
    return list(zip(x, y, strict=True))


def frozen(model: nn.Module, places: tuple[int, ...], given: Batches, **options: Any) -> Report:
    for place in places:
        model[place].requires_grad_(False)  # type: ignore[index]
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    return report(model, optimizer, given, symptoms=[FrozenLayers()], **options)


def test_frozen_layers_as_they_were_drawn_are_a_fault() -> None:
    model = net()
    found = frozen(model, (0, 2), rings())
    assert [(v.symptom, v.status) for v in found.faults] == [("frozen_layers", "confirmed")]
    assert [p.requires_grad for p in model.parameters()] == [False] * 4 + [True] * 2
    assert "cannot be told" in str(frozen(net(), (0, 2), rings(), forks=0.0))


def test_layers_that_the_optimizer_does_not_know_are_frozen_too() -> None:
    model = net()
    optimizer = torch.optim.Adam(model[-1].parameters(), lr=RATE)
    found = report(model, optimizer, rings(), symptoms=[FrozenLayers()])
    assert [v.where for v in found.faults] == ["0.weight"]
    assert len(optimizer.param_groups) == 1


def halves(x: Tensor, first: int) -> Tensor:
    """Return classes by the signs of two features."""
    return (x[:, first] > 0).long() + 2 * (x[:, first + 1] > 0).long()


def test_layers_that_were_trained_before_are_no_fault() -> None:
    """Where they are enough nothing is said, and where they are not it is a warning."""
    given = [(x, halves(x, 0)) for x, _ in rings()]
    others = [(x, halves(x, 2)) for x, _ in given]
    model = net(width=16)
    report(model, torch.optim.Adam(model.parameters(), lr=RATE), given, symptoms=[])
    model[-1].reset_parameters()  # type: ignore[operator]
    enough = frozen(model, (0, 2), given)
    assert enough["frozen_layers"].status == "refuted", str(enough)
    more = frozen(model, (0, 2), others)
    assert more.healthy, str(more)
    assert (more["frozen_layers"].kind, more["frozen_layers"].status) == ("warning", "confirmed")


@pytest.mark.parametrize("shape", [(8, 24), (64, 64), (16, 3, 3, 3)])
def test_a_direction_beyond_that_of_independent_numbers_was_learned(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    weight = torch.rand(shape) - 0.5
    assert looks_drawn(weight)
    assert looks_drawn(nn.init.orthogonal_(weight.clone()))
    assert not looks_drawn(weight + 0.3)
    assert not looks_drawn(torch.zeros(shape))


def test_a_snapshot_keeps_what_wants_a_gradient() -> None:
    model = net()
    model[0].requires_grad_(False)
    with untouched(model):
        model.requires_grad_(True)
        model[0].weight.grad = torch.ones(24, FEATURES)  # type: ignore[union-attr]
        model[2].requires_grad_(False)
    assert [p.requires_grad for p in model.parameters()] == [False] * 2 + [True] * 4
    assert model[0].weight.grad is None
