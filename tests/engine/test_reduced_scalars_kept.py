"""Scalar states from reductions, over parameters that come and go, groups, and saved and resumed runs."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import Parameter

import thalweg
from tests.exact import RESUMED, same
from thalweg import rules

from .kinds import DOUBLE, each_engine
from .travelled import LR, assert_state, draws, reference, run, travelled


@each_engine
def test_gradients_that_come_and_go(engine: str) -> None:
    """Without a gradient nothing moves; one that joins later begins with the first values."""
    start, *gradients = draws(7)
    present = [(1, 0, 1, 1), (1, 1, 0, 1), (0, 1, 1, 1), (1, 1, 1, 1), (1, 0, 0, 1), (1, 1, 1, 0)]
    given = [
        [g if on else None for g, on in zip(step, turn, strict=True)]
        for step, turn in zip(gradients, present, strict=True)
    ]
    params = [Parameter(p.clone()) for p in start]
    optimizer = thalweg.Optimizer(params, travelled, lr=LR, engine=engine)
    run(optimizer, params, given)
    for k, (p, first) in enumerate(zip(params, start, strict=True)):
        mine = [[step[k]] for step in given if step[k] is not None]
        (expected,) = reference([first], mine, "tensor")
        np.testing.assert_allclose(p.detach().numpy(), expected["p"], rtol=1e-12, atol=1e-14)
        assert_state(optimizer.state[p], len(mine), expected)


@each_engine
def test_a_group_that_is_added_later(engine: str) -> None:
    start, *gradients = draws(6)
    params = [Parameter(p.clone()) for p in start]
    optimizer = thalweg.Optimizer(params[:2], travelled, lr=LR, engine=engine)
    run(optimizer, params[:2], [g[:2] for g in gradients[:2]])
    optimizer.add_param_group({"params": params[2:], "scope": "all"})
    run(optimizer, params, gradients[2:])
    expected = reference(start[:2], [g[:2] for g in gradients], "tensor")
    for p, e in zip(params, expected, strict=False):
        np.testing.assert_allclose(p.detach().numpy(), e["p"], rtol=1e-12, atol=1e-14)
        assert_state(optimizer.state[p], 5, e)
    # a norm over all is over the other group, too, which has turned further by then
    assert optimizer.state[params[2]]["way"] == optimizer.state[params[3]]["way"]
    assert optimizer.state[params[2]]["turns"] == 5


WAYS: dict[str, Callable[[thalweg.Optimizer, list[Parameter]], tuple[Any, list[Parameter]]]] = {
    "state_dict": lambda optimizer, params: _loaded(optimizer, params),
    "deepcopy": lambda optimizer, params: copy.deepcopy((optimizer, params)),
    "pickle": lambda optimizer, params: pickle.loads(pickle.dumps((optimizer, params))),
}
resumable = thalweg.chain(rules.clip_by_norm(1.0), travelled, travelled(scope="all"))


def _loaded(optimizer: thalweg.Optimizer, params: list[Parameter]) -> Any:
    again = [Parameter(p.detach().clone()) for p in params]
    other = thalweg.Optimizer(again, resumable, lr=LR, engine=optimizer.engine)
    other.load_state_dict(optimizer.state_dict())
    return other, again


@each_engine
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", [DOUBLE, torch.float32, torch.bfloat16], ids=str)
def test_a_resumed_run_is_the_same_to_the_last_bit(
    engine: str, way: str, dtype: torch.dtype
) -> None:
    start, *gradients = draws(8, dtype=dtype)
    params = [Parameter(p.clone()) for p in start]
    optimizer = thalweg.Optimizer(params, resumable, lr=LR, engine=engine)
    run(optimizer, params, gradients[:3])
    other, again = WAYS[way](optimizer, params)
    kept = {n: v.clone() for n, v in optimizer.state[params[0]].items()}
    run(other, again, gradients[3:])
    for name, value in optimizer.state[params[0]].items():
        same(value, kept[name], because="nothing wrote to it")  # they share nothing
    run(optimizer, params, gradients[3:])
    for p, q in zip(params, again, strict=True):
        same(p, q, because=RESUMED)
        for name, value in optimizer.state[p].items():
            assert other.state[q][name].dtype == value.dtype
            same(other.state[q][name], value, because=RESUMED)
