"""What looks at a model, or fails to start it, leaves it as it was."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

from tests.exact import same
from thalweg import TaskError, init

X, Y = torch.randn(32, 8, generator=torch.Generator().manual_seed(0)), torch.arange(32) % 3
BATCH: dict[str, Any] = {"x": X, "y": Y, "loss": "cross_entropy"}


def net(last: nn.Module | None = None) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU()),
        *([] if last is None else [last]),
        nn.Linear(16, 3),
    )


def numbers(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


class Dead(nn.Module):
    """Gives zeros, so nothing behind it can be scaled and no gradient passes it."""

    def forward(self, x: Tensor) -> Tensor:
        return x * 0


class Exploding(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 1e30 * 1e30


@pytest.mark.parametrize(
    ("strategy", "last"),
    [
        (init.he() | init.lsuv(), Dead()),
        (init.he() | init.lsuv(tol=1e-12, iterations=1), None),
        (init.he() | init.search(trials=3), Exploding()),
        (init.he() | init.gradinit(steps=3), Exploding()),
        (init.he() | init.autoencoder(steps=5, lr=1e30), None),
        (init.he() | init.forget_gate(), None),
        (init.he() | init.output_bias([1.0, 2.0]), None),
        (init.scaled_normal(1e38) | init.scaled_branches(), None),
    ],
    ids=str,
)
def test_a_strategy_that_fails_leaves_every_number(strategy: Any, last: nn.Module | None) -> None:
    model = net(last)
    before = numbers(model)
    with pytest.raises(TaskError):
        init.apply(model, strategy, **BATCH)
    same(numbers(model), before, because="they are put back as they were")
    assert all(p.is_leaf and p.requires_grad for p in model.parameters())


def test_what_interrupts_a_strategy_leaves_every_number_too() -> None:
    class Interrupting(nn.Module):
        calls = 0

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            if self.calls > 2:
                raise KeyboardInterrupt
            return x

    model = net(Interrupting())
    before = numbers(model)
    with pytest.raises(KeyboardInterrupt):
        init.apply(model, init.he() | init.lsuv(), **BATCH)
    same(numbers(model), before, because="they are put back as they were")


def parametrized() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        *(spectral_norm(nn.Linear(8, 32)), nn.ReLU(), weight_norm(nn.Linear(32, 32)), nn.ReLU()),
        nn.Linear(32, 3),
    )


@pytest.mark.parametrize(
    "look",
    [
        init.symmetric_units,
        lambda model: init.symmetric_units(model, X),
        lambda model: init.mup(model, model),
        lambda model: init.apply(model, init.he().on("4")),
        lambda model: init.apply(model, init.he().on("4"), x=X),
    ],
    ids=["units", "units of a batch", "mup", "apply elsewhere", "apply elsewhere to a batch"],
)
def test_a_look_moves_no_vector_of_a_spectral_norm(look: Any) -> None:
    model = parametrized()
    before = numbers(model)
    look(model)
    del before["4.weight"]
    after = {name: value for name, value in numbers(model).items() if name in before}
    same(after, before, because="reading a weight is not a step of the power method")


@pytest.mark.parametrize("strategy", [init.he(), init.orthogonal(), init.he() | init.search()])
def test_a_spectral_norm_knows_the_weight_that_it_was_given(strategy: Any) -> None:
    """Its two vectors were found for the old weight: the first passes would be of another scale."""
    model = parametrized()
    init.apply(model, strategy, **BATCH)
    largest = float(torch.linalg.matrix_norm(model.eval()[0].weight.detach(), 2))
    assert largest == pytest.approx(
        1, abs=0.05
    )  # fifteen steps of the power method, as PyTorch takes
