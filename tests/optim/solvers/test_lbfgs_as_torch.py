"""`optim.LBFGS` where PyTorch's runs well: the same trajectory, counts and state."""

from __future__ import annotations

import copy
import inspect
import io
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.optim.solvers.problems import net, quadratic, rosenbrock, steps
from thalweg import optim

PROBLEMS = {"rosenbrock": rosenbrock, "quadratic": quadratic, "net": net}
WAYS: dict[str, dict[str, Any]] = {
    "fixed": {"lr": 0.01},
    "one iteration": {"lr": 0.3, "max_iter": 1},
    "short history": {"lr": 0.05, "history_size": 2, "max_iter": 7},
    "few evaluations": {"lr": 0.05, "max_eval": 5},
    "search": {"line_search_fn": "strong_wolfe", "max_eval": 1000},
    "search in pieces": {
        "line_search_fn": "strong_wolfe",
        "max_eval": 1000,
        "max_iter": 5,
        "history_size": 3,
    },
    "coarse": {"line_search_fn": "strong_wolfe", "max_eval": 1000, "tolerance_change": 1e-3},
    "loose": {"lr": 0.1, "tolerance_grad": 0.5},
}
STEPS = {"fixed": 12, "one iteration": 12, "search": 2, "coarse": 2, "loose": 2}
"""How many steps are compared where not 4: where a rounding grows to no more than 1e-11."""


def close(actual: Tensor, expected: Tensor) -> None:
    """Within 1e-9 of the largest coordinate.

    The same operations run in the same order, scalars in float64 on both sides; what may differ is how a
    processor sums and fuses them, a few units of 1e-16, which the steps magnify to 1e-11 at the most.
    """
    assert float((actual - expected).abs().max()) <= 1e-9 * float(expected.abs().max())


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("problem", PROBLEMS)
def test_the_trajectory_is_pytorchs(problem: str, way: str) -> None:
    runs = []
    for kind in (torch.optim.LBFGS, optim.LBFGS):
        params, loss = PROBLEMS[problem]()
        optimizer: Any = kind(params, **WAYS[way])
        path = steps(optimizer, params, loss, range(STEPS.get(way, 4)))
        state = optimizer.state[params[0]]
        runs.append((path, state["n_iter"], state["func_evals"]))
    close(runs[1][0], runs[0][0])
    assert runs[1][1:] == runs[0][1:]


def through_file(state: dict[str, Any]) -> dict[str, Any]:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    loaded: dict[str, Any] = torch.load(buffer, weights_only=True)
    return loaded


@pytest.mark.parametrize("way", ["fixed", "search in pieces", "short history"])
@pytest.mark.parametrize("first", [torch.optim.LBFGS, optim.LBFGS])
def test_state_dicts_go_both_ways(first: Any, way: str) -> None:
    second = optim.LBFGS if first is torch.optim.LBFGS else torch.optim.LBFGS
    params, loss = net()
    whole = steps(torch.optim.LBFGS(params, **WAYS[way]), params, loss, range(8))
    params, loss = net()
    begun: Any = first(params, **WAYS[way])
    steps(begun, params, loss, range(4))
    other: Any = second(params)
    other.load_state_dict(through_file(begun.state_dict()))
    close(steps(other, params, loss, range(4, 8)), whole[4:])


def test_the_signature_is_pytorchs_with_maximize() -> None:
    ours = dict(inspect.signature(optim.LBFGS).parameters)
    theirs = dict(inspect.signature(torch.optim.LBFGS).parameters)
    assert list(ours) == [*theirs, "maximize"]
    assert all(ours[name].default == theirs[name].default for name in theirs)
    assert issubclass(optim.LBFGS, torch.optim.LBFGS)


def test_a_state_is_found_by_name_in_another_order() -> None:
    whole: list[Tensor] = []
    for turned in (False, True):
        params, loss = net()
        names = list(zip("abcd", params, strict=True))
        optimizer = optim.LBFGS(names, lr=0.1, max_iter=3)
        steps(optimizer, params, loss, range(3))
        if turned:
            saved = copy.deepcopy(optimizer.state_dict())
            optimizer = optim.LBFGS(names[::-1], lr=0.1, max_iter=3)
            optimizer.load_state_dict(saved)
            assert list(optimizer.state) == [params[-1]]
        whole.append(steps(optimizer, params, loss, range(3, 6)))
    close(whole[1], whole[0])  # sums run in another order


def test_the_state_of_another_model_is_refused() -> None:
    params, loss = net()
    optimizer = optim.LBFGS(params, lr=0.1)
    steps(optimizer, params, loss, range(1))
    other = [torch.nn.Parameter(p.detach().new_zeros(2)) for p in params]
    stranger = optim.LBFGS(other)
    stranger.load_state_dict(optimizer.state_dict())
    with pytest.raises(ValueError, match="saved for another model"):
        steps(stranger, other, lambda k: sum(p.square().sum() for p in other), range(1))  # type: ignore[arg-type, misc, return-value]
