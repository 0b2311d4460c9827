"""Dense networks are computed without vmap, to the same numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.exact import same
from thalweg.race.stack.layers import dense
from thalweg.race.stack.models import Models
from thalweg.tasks import mlp

DENSE: dict[str, Callable[[], nn.Module]] = {
    "one": lambda: nn.Linear(4, 3),
    "relu": lambda: mlp([4, 5, 6, 3]),
    "tanh": lambda: mlp([4, 5, 3], nn.Tanh),
    "no bias": lambda: nn.Sequential(nn.Linear(4, 5, bias=False), nn.SiLU(), nn.Linear(5, 3)),
    "nested": lambda: nn.Sequential(nn.Sequential(nn.Linear(4, 5), nn.GELU()), nn.Linear(5, 3)),
    "function after function": lambda: nn.Sequential(
        nn.Linear(4, 5), nn.Tanh(), nn.ReLU(), nn.Sigmoid()
    ),
    "function first": lambda: nn.Sequential(
        nn.Tanh(), nn.ReLU(), nn.Linear(4, 3), nn.Identity(), nn.ReLU()
    ),
    "function in place": lambda: nn.Sequential(
        nn.Linear(4, 5), nn.ELU(inplace=True), nn.Linear(5, 3)
    ),
    "linear after linear": lambda: nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 3)),
    "one layer twice": lambda: nn.Sequential(layer := nn.Linear(4, 4), nn.ReLU(), layer),
    "flattened": lambda: nn.Sequential(nn.Flatten(), nn.Linear(4, 3)),
}


def _models(build: Callable[[], nn.Module]) -> Models:
    models = [build().double() for _ in range(3)]
    for k, model in enumerate(models):
        torch.manual_seed(k)
        for p in model.parameters():
            nn.init.normal_(p)
    return Models(models, frozenset())


@pytest.mark.parametrize("name", DENSE)
@pytest.mark.parametrize("shared", [True, False])
def test_same_numbers(name: str, shared: bool) -> None:
    models = _models(DENSE[name])
    assert models._dense is not None
    own = torch.Generator().manual_seed(0)
    shape = (7, 2, 2) if name == "flattened" else (7, 4)
    x = torch.randn(*(() if shared else (3,)), *shape, generator=own, dtype=torch.float64)
    before = x.clone()
    results = []
    for way in (models._dense, None):
        models._dense = way
        outputs = models(x, shared=shared)
        models.backward(outputs.square().mean((1, 2)))
        results.append((outputs, {n: g.clone() for n, g in models.gradients.items()}))
    torch.testing.assert_close(results[0], results[1], rtol=1e-12, atol=1e-12)
    same(x, before, because="nothing wrote to it")
    assert any(gradient.abs().sum() > 0 for gradient in results[0][1].values())


class Twice(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


def _hooked() -> nn.Module:
    model = mlp([4, 5, 3])
    model[0].register_forward_hook(lambda *_: None)
    return model


def _frozen() -> nn.Module:
    model = mlp([4, 5, 3])
    model[0].requires_grad_(False)
    return model


def _replaced() -> nn.Module:
    model: Any = nn.Linear(4, 3)
    model.forward = lambda x: x
    return model


@pytest.mark.parametrize(
    "build",
    [
        lambda: Twice(4, 3),
        lambda: nn.Sequential(nn.Linear(4, 5), nn.Dropout(0.5), nn.Linear(5, 3)),
        lambda: nn.Sequential(nn.Linear(4, 5), nn.LayerNorm(5)),
        lambda: nn.Sequential(nn.ReLU(inplace=True), nn.Linear(4, 3)),
        lambda: nn.Sequential(nn.Flatten(0), nn.Linear(4, 3)),
        lambda: nn.ReLU(),
        _hooked,
        _frozen,
        _replaced,
    ],
)
def test_what_is_no_dense_network(build: Callable[[], nn.Module]) -> None:
    model = build()
    trained = [name for name, p in model.named_parameters() if p.requires_grad]
    assert dense(model, trained) is None


def test_inputs_of_another_kind_go_by_vmap() -> None:
    models = _models(DENSE["relu"])
    x = torch.ones(3, 2, 7, 4, dtype=torch.float64)
    assert models._dense is not None
    assert models._dense(x, models.trained, False) is None
    assert models(x, shared=False).shape == (3, 2, 7, 3)
