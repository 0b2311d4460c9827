"""Every optimizer of the package keeps every contract."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import pytest
import torch

from tests.optim.kronecker import OF_MODELS
from tests.optim.matrix import OF_MATRICES
from tests.optim.solvers import SOLVERS
from tests.optim.sparse import SPARSE_ONLY
from thalweg import optim, rules
from thalweg.engine import chain
from thalweg.testing import check_optimizer


def is_optimizer(name: str) -> bool:
    value = getattr(optim, name)
    is_class = inspect.isclass(value) and issubclass(value, torch.optim.Optimizer)
    return is_class and value is not optim.Optimizer


# solvers need closures, others a model: tests/optim/solvers and tests/optim/kronecker have their contract
APART = (*SOLVERS, *OF_MODELS)
NAMES = [name for name in optim.__all__ if is_optimizer(name) and name not in APART]

# those whose update of a tensor depends on others by design: a norm over all, one stream of noise
COUPLED = {"DAdaptAdam", "DoG", "Prodigy", "SGLD"}
# those that have to be called with a closure
CLOSURE: set[str] = set()
# what an equation breaks by itself; a change of verdict shows here
FAILS = {
    # PyTorch's numbers: a step uses the eta of the step before
    "ASGD": {"scheduler"},
    # lr is the first rate of every element, which the rule changes from there
    "DeltaBarDelta": {"scheduler", "learning_rate_zero"},
    # lr is its first step size, and step sizes have a least value
    "Rprop": {"scheduler", "learning_rate_zero"},
    # noise is drawn in the order of memory
    "SGLD": {"layouts"},
}
OPTIONS: dict[str, dict[str, Any]] = {
    "Adam": {"amsgrad": True},
    "RMSprop": {"momentum": 0.9, "centered": True},
    "SGD": {"momentum": 0.9, "nesterov": True},
}
CHAINS = {
    "clipped": (rules.clip_by_norm(1.0), rules.adam(beta2=0.95), rules.decay(0.1)),
    "coupled": (rules.clip_by_global_norm(1.0), rules.adam()),
    "descent": (rules.l2(0.01), rules.heavy_ball(0.9)),
}


def factory(name: str) -> Callable[[Any], torch.optim.Optimizer]:
    """Make it with its default learning rate, and with a weight decay if it has one."""
    cls = getattr(optim, name)
    options = dict(OPTIONS.get(name, {}))
    if "weight_decay" in inspect.signature(cls).parameters:
        options["weight_decay"] = 0.05
    return functools.partial(cls, **options)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", NAMES)
def test_ours_pass_every_check(name: str) -> None:
    found = check_optimizer(factory(name), couples=name in COUPLED)
    assert {result.name for result in found.failed} == FAILS.get(name, set()), str(found)
    assert bool(found.notes) == (name in (*CLOSURE, *SPARSE_ONLY, *OF_MATRICES)), found.notes
    assert found["pickled"].outcome != "skip"


@pytest.mark.parametrize("engine", ["eager", "auto"])
@pytest.mark.parametrize("name", CHAINS)
def test_chains_pass_every_check(name: str, engine: str) -> None:
    def make(params: Any) -> torch.optim.Optimizer:
        return optim.Optimizer(params, chain(*CHAINS[name]), lr=0.01, engine=engine)

    check_optimizer(make, couples=name == "coupled").raise_for_failures()


def test_the_names_exist() -> None:
    assert NAMES
    assert set(FAILS) | set(OPTIONS) | COUPLED | CLOSURE <= set(NAMES)
