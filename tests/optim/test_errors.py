"""Mistakes get the exceptions of torch.optim, of the same type and in the same words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn import Parameter

from thalweg import RuleError, optim
from thalweg.rules import cautious

from .cases import OPTIMIZERS, TORCH_OPTIMIZERS, Case, each_engine
from .problem import outcome

pytestmark = pytest.mark.sampled(4)


def parameter() -> Parameter:
    return Parameter(torch.ones(2))


def shared() -> list[dict[str, Any]]:
    p = parameter()
    return [{"params": [p]}, {"params": [p]}]


def twice() -> list[Parameter]:
    p = parameter()
    return [p, p]


BAD_PARAMETERS: dict[str, Callable[[], Any]] = {
    "an empty list": list,
    "a tensor": lambda: torch.ones(2),
    "a number": lambda: [1.0],
    "a dict": lambda: {"weight": parameter()},
    "a non-leaf": lambda: [2.0 * parameter()],
    "a set": lambda: [{"params": {parameter()}}],
    "one parameter in two groups": shared,
    "one parameter twice": twice,
    "some without names": lambda: [("a", parameter()), parameter()],
    "groups with and without names": lambda: [
        {"params": [("a", parameter())]},
        {"params": [parameter()]},
    ],
    "a group without parameters": lambda: [{"lr": 0.1}],
    "nothing": lambda: None,
}
BAD_OPTIONS: list[dict[str, Any]] = [
    {"lr": -0.1},
    {"lr": torch.tensor([0.1, 0.2])},
    {"weight_decay": -0.1},
    {"momentum": -0.1},
    {"eps": -1e-8},
    {"alpha": -0.1},
    {"rho": 1.5},
    {"rho": -0.1},
    {"betas": (1.0, 0.9)},
    {"betas": (0.9, 1.0)},
    {"betas": (-0.1, 0.9)},
    {"lr_decay": -0.1},
    {"initial_accumulator_value": -0.1},
    {"momentum_decay": -0.1},
    {"etas": (1.5, 1.2)},
    {"etas": (0.5, 0.9)},
    {"nesterov": True},
    {"nesterov": True, "momentum": 0.9, "dampening": 0.1},
]


def like(name: str) -> Case:
    """Return what has the messages of an optimizer: itself in torch.optim, or any other there."""
    return Case(name if name in TORCH_OPTIMIZERS else "SGD")


@pytest.mark.parametrize("mistake", BAD_PARAMETERS)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_wrong_parameters(name: str, mistake: str) -> None:
    expected = outcome(lambda: like(name).theirs(BAD_PARAMETERS[mistake]()))
    assert expected is not None
    assert outcome(lambda: Case(name).ours(BAD_PARAMETERS[mistake]())) == expected


@pytest.mark.parametrize("name", TORCH_OPTIMIZERS)
def test_wrong_options(name: str) -> None:
    case = Case(name)
    refused = 0
    for options in BAD_OPTIONS:
        expected = outcome(lambda: case.theirs([parameter()], **options))  # noqa: B023
        if expected is None or expected[0] is TypeError:  # torch has no such argument or check
            continue
        refused += 1
        actual = outcome(lambda: case.ours([parameter()], **options))  # noqa: B023
        assert actual == expected, options
    assert refused >= 2


@pytest.mark.parametrize("name", [name for name in OPTIMIZERS if name not in TORCH_OPTIMIZERS])
def test_wrong_options_of_those_that_torch_has_not(name: str) -> None:
    """The message names the argument and shows the value; the type is torch's."""
    case = Case(name)
    wrong: dict[str, list[Any]] = {"lr": [-0.1, "fast", float("nan")], "weight_decay": [-0.1, "l2"]}
    if "eps" in case.parameters:
        wrong["eps"] = [-1e-8]
    if "betas" in case.parameters:
        size = len(case.parameters["betas"].default)
        wrong["betas"] = [(1.5,) + (0.9,) * (size - 1), (0.9,) * (size - 1) + (-0.1,)]
    for argument, values in wrong.items():
        for value in values:
            refusal = outcome(lambda: case.ours([parameter()], **{argument: value}))  # noqa: B023
            assert refusal is not None, (argument, value)
            assert issubclass(refusal[0], (ValueError, TypeError)), (argument, value)
            named = "learning rate" if argument == "lr" else argument
            assert named in refusal[1]
            assert repr(value) in refusal[1]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_unknown_argument(name: str) -> None:
    with pytest.raises(TypeError, match=r"unexpected (keyword )?argument 'learning_rate'"):
        Case(name).ours([parameter()], learning_rate=0.1)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_misspelt_meaning_of_weight_decay(name: str) -> None:
    with pytest.raises(ValueError, match="Did you mean 'decoupled'") as caught:
        Case(name).ours([parameter()], decay="decopled")
    assert "proximal" in str(caught.value)


@each_engine
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_wrong_state_dicts(name: str, engine: str) -> None:
    theirs = like(name).theirs
    other = theirs([parameter(), parameter()]).state_dict()
    grouped = theirs([{"params": [parameter()]}, {"params": [parameter()]}]).state_dict()
    for wrong in (other, grouped):
        expected = outcome(lambda: theirs([parameter()]).load_state_dict(wrong))  # noqa: B023
        assert expected is not None
        ours = Case(name).ours([parameter()], engine=engine)
        assert outcome(lambda: ours.load_state_dict(wrong)) == expected  # noqa: B023


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_parameter_added_twice(name: str) -> None:
    results = []
    for make in (like(name).theirs, Case(name).ours):
        p = parameter()
        optimizer = make([p])
        results.append(outcome(lambda: optimizer.add_param_group({"params": [p]})))  # noqa: B023
    assert results[0] is not None
    assert results[0] == results[1]


@pytest.mark.parametrize("name", ["AdaBound", "ASGD"])
def test_links_that_cannot_stand_there_are_refused_at_once(name: str) -> None:
    p = Parameter(torch.ones(2))
    with pytest.raises(RuleError, match="cannot stand after it"):
        getattr(optim, name)([p], after=cautious)
