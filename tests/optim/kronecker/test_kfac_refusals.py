"""What KFAC refuses, leaves out, or takes in spite of it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.exact import close, differs, same
from tests.optim.kronecker.problem import Mixed, X, Y, batch, net, point, sent_back, train
from thalweg import meta, optim
from thalweg.errors import EngineError, TaskError


def test_what_it_has_no_block_for_is_refused_by_name() -> None:
    with pytest.raises(
        TaskError, match=r"'scale': it is a Mixed; 'act.weight': it is a PReLU.*rest="
    ):
        optim.KFAC(Mixed())
    tied = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    tied[1].weight = tied[0].weight
    with pytest.raises(TaskError, match=r"tied, '0.weight' and '1.weight' are one parameter"):
        optim.KFAC(tied)
    with pytest.raises(TaskError, match="not the model's"):
        optim.KFAC(net(), params=[nn.Parameter(torch.ones(2))])
    with pytest.raises(TypeError, match=r"KFAC\(model, lr=…\)"):
        optim.KFAC(net().parameters())
    with pytest.raises(TaskError, match="evaluates the objective itself"):
        optim.KFAC(Mixed(), rest=optim.LBFGS)


@pytest.mark.parametrize(
    "given",
    [
        {"lr": -1.0},
        {"lr": "high"},
        {"damping": 0.0},
        {"momentum": 1.0},
        {"weight_decay": float("nan")},
        {"refresh": 0},
        {"averaging": 1.0},
        {"fisher": "exact"},
        {"kl_clip": 0.0},
        {"label_seed": 0.5},
    ],
    ids=str,
)
def test_values_out_of_range_are_refused_by_name(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(given)).replace("lr", "lr")):
        optim.KFAC(net(), **given)


def test_a_step_that_was_told_nothing_says_what_to_call() -> None:
    model = net()
    optimizer = optim.KFAC(model)
    sent_back(functional.cross_entropy(model(X), Y))
    with pytest.raises(EngineError, match=r"optimizer.observe\(outputs, targets"):
        optimizer.step()


@pytest.mark.parametrize("fisher", ["sampled", "empirical"])
def test_a_batch_that_is_not_finite_is_left_out_with_its_step(fisher: str) -> None:
    """By a wrapper; a step that is taken all the same says what is wrong, and changes nothing."""

    def batches(k: int) -> tuple[Tensor, Tensor]:
        x, y = batch(k)
        return (x * float("inf") if k == 0 else x), y

    model, alone = net(), net()
    wrapped = meta.NonFinite(optim.KFAC(model, fisher=fisher))
    watched: Any = wrapped.optimizer
    for k in range(3):
        x, y = batches(k)
        wrapped.zero_grad()
        outputs = model(x)
        watched.observe(outputs, y, "cross_entropy")
        sent_back(functional.cross_entropy(outputs, y))
        wrapped.step()
    path = train(alone, optim.KFAC(alone, fisher="empirical"), range(1, 3))
    assert bool(torch.isfinite(point(model)).all())
    if fisher == "empirical":  # the labels of another draw else
        close(point(model), path[-1], ulps=1e6, because="the same two steps")
    broken = net()
    before = point(broken)
    with pytest.raises(EngineError, match="not finite"):
        train(broken, optim.KFAC(broken, fisher=fisher), range(1), batches=batches)
    same(point(broken), before, because="nothing was stepped")


def test_the_empirical_factors_take_outputs_of_any_kind() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net()

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            found = self.net(x)
            return found, found

    model, loss = Two(), lambda outputs, y: functional.cross_entropy(outputs[0], y)
    start = point(model)
    train(model, optim.KFAC(model, fisher="empirical"), range(2), loss=loss)
    differs(point(model), start)
    with pytest.raises(TaskError, match="one tensor of outputs"):
        train(model, optim.KFAC(model), range(1), loss=loss)


def test_a_layer_that_is_not_called_is_named() -> None:
    class Bypass(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.out = nn.Linear(3, 3).double(), nn.Linear(3, 3).double()

        def forward(self, x: Tensor) -> Tensor:
            found: Tensor = self.out(functional.linear(x, self.layer.weight, self.layer.bias))
            return found

    model = Bypass()
    with pytest.raises(EngineError, match=r"'layer' has a gradient, and KFAC did not see"):
        train(model, optim.KFAC(model), range(1))


def test_other_passes_of_the_model_do_not_count() -> None:
    """Evaluations between, with and without gradients."""
    model, alone = net(), net()
    optimizer = optim.KFAC(model, fisher="empirical")
    model(2 * X)
    with torch.no_grad():
        model(3 * X)
    train(model, optimizer, range(1))
    train(alone, optim.KFAC(alone, fisher="empirical"), range(1))
    same(point(model), point(alone), because="what was not sent backwards is forgotten")


def test_frozen_layers_stay_and_a_layer_without_gradient_does_not_stop_it() -> None:
    model = net()
    for p in model[0].parameters():
        p.requires_grad_(False)
    before = model[0].weight.clone()
    train(model, optim.KFAC(model), range(2))
    same(model[0].weight, before, because="it is frozen")
    late = net()
    optimizer = optim.KFAC(late)
    for p in late[0].parameters():
        p.requires_grad_(False)
    train(late, optimizer, range(2))
    same(late[0].weight, before, because="it is frozen")


def test_half_precision_is_trained_too() -> None:
    model = net().to(torch.bfloat16)
    optimizer = optim.KFAC(model, lr=0.05)
    before = point(model)
    train(model, optimizer, range(2), batches=lambda k: (batch(k)[0].bfloat16(), batch(k)[1]))
    assert optimizer.state[model[0].weight]["factor_a"].dtype == torch.float32
    assert bool(torch.isfinite(point(model)).all())
    differs(point(model), before)
