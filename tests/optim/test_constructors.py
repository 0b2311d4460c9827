"""What constructors show of their arguments, to tools that build optimizers from files, and to subclasses."""

from __future__ import annotations

import copy
import inspect
import pickle
from typing import Any

import pytest
import torch
from torch import nn

from tests.exact import same
from thalweg import optim

KINDS = [
    getattr(optim, name)
    for name in optim.__all__
    if isinstance(getattr(optim, name), type)
    and issubclass(getattr(optim, name), torch.optim.Optimizer)
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: str(kind.__name__))
def test_the_constructor_shows_the_arguments_of_its_class(kind: Any) -> None:
    # LightningCLI reads them here, and not from the class
    shown = list(inspect.signature(kind.__init__).parameters.values())[1:]
    assert shown == list(inspect.signature(kind).parameters.values())
    hands_on = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}
    assert not hands_on & {p.kind for p in shown if p.name != "hyperparameters"}
    assert "lr" in inspect.signature(kind.__init__).parameters


class OwnAdamW(optim.AdamW):
    """A subclass with a constructor of its own."""

    def __init__(self, params: Any, speed: float = 0.1) -> None:
        super().__init__(params, lr=speed)


class OwnLion(optim.Lion):  # type: ignore[misc,valid-type]
    """A subclass with a constructor of its own."""

    def __init__(self, params: Any, speed: float = 0.1) -> None:
        super().__init__(params, lr=speed)


class OwnMuon(optim.Muon):
    """A subclass with a constructor of its own."""

    def __init__(self, params: Any, speed: float = 0.1) -> None:
        super().__init__(params, speed)


class Renamed(optim.Muon):
    """A subclass without a constructor of its own."""


@pytest.mark.parametrize("kind", [OwnAdamW, OwnLion, OwnMuon, Renamed])
def test_a_subclass_shows_its_own_constructor_and_is_copied(kind: Any) -> None:
    assert kind.__doc__.startswith("A subclass")
    known = inspect.signature(kind).parameters
    assert list(known)[:2] == ["params", "lr" if kind is Renamed else "speed"]
    p = nn.Parameter(torch.ones(3, 2))
    optimizer = kind([p], 0.25)
    assert optimizer.param_groups[0]["lr"] == 0.25
    p.grad = torch.ones(3, 2)
    optimizer.step()
    for other in (copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))):
        (q,) = other.param_groups[0]["params"]
        q.grad = torch.ones(3, 2)
        other.step()
        assert type(other) is kind
    optimizer.step()
    same(q.detach(), p.detach(), because="a copy steps by the same instructions")
