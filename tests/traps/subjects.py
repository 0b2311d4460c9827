"""What the tests of this folder step: single numbers, and every optimizer by its name."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch.nn import Parameter
from torch.optim import Optimizer

from tests.optim.kronecker import OF_MODELS
from tests.optim.matrix import OF_MATRICES
from tests.optim.problem import recorded
from tests.optim.solvers import SOLVERS
from tests.optim.sparse import SPARSE_ONLY
from thalweg import optim

Make = Callable[..., Optimizer]

EXACT = 1e-12
"""The tolerance of two correct programs in float64."""
PROBLEM = recorded([(5,), (3, 4), (40,)], steps=8)
"""A vector, a matrix, and a vector longer than a register."""

NAMES = [
    name
    for name in optim.__all__
    # they need closures, a model, matrices alone or sparse gradients: they are asked the same elsewhere
    if name not in (*SOLVERS, *OF_MODELS, *OF_MATRICES, *SPARSE_ONLY)
    and inspect.isclass(getattr(optim, name))
    and getattr(optim, name) is not optim.Optimizer
]
OPTIONS: dict[str, dict[str, Any]] = {
    "Adam": {"amsgrad": True},
    "RMSprop": {"momentum": 0.9},
    "SGD": {"momentum": 0.9, "nesterov": True},
    # their first steps are else so small that little could be seen
    "DAdaptAdam": {"d0": 0.01},
    "DoG": {"relative": 0.1},
    "LDoG": {"relative": 0.1},
    "Prodigy": {"d0": 0.01},
}

each_name = pytest.mark.parametrize("name", NAMES)
each_engine = pytest.mark.parametrize("engine", ["eager", "fused"])


def takes(name: str, argument: str) -> bool:
    return argument in inspect.signature(getattr(optim, name)).parameters


def make(name: str, **options: Any) -> Make:
    """Return what makes an optimizer with momentum and, if it has one, with a weight decay."""
    decay = {"weight_decay": 0.05} if takes(name, "weight_decay") else {}
    return functools.partial(getattr(optim, name), **{**decay, **OPTIONS.get(name, {}), **options})


def walk(
    make: Make,
    start: Sequence[float],
    gradients: Sequence[Sequence[float]],
    dtype: torch.dtype = torch.float64,
) -> list[list[float]]:
    """Return the points of one parameter, the start first, when it meets these gradients."""
    p = Parameter(torch.tensor(start, dtype=dtype))
    optimizer = make([p])
    points = [p.detach().tolist()]
    for g in gradients:
        p.grad = torch.tensor(g, dtype=dtype)
        optimizer.step()
        points.append(p.detach().tolist())
    return points
