"""The case table: every optimizer with sets of options that exercise each of its arguments.

An optimizer added here gets every check of this folder. A case without `dialect="paper"` has
torch.optim's class of the same name as its oracle; a case with a `reference` has that NumPy
transcription as its oracle, alone or besides.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch

from . import reference

# Without the key, its values mean nothing or are refused.
DEPENDENTS = {"momentum": ("dampening", "nesterov"), "weight_decay": ("decoupled_weight_decay",)}
# Arguments that choose an implementation, and those that have tests of their own.
NOT_EXERCISED = {
    "params",
    "foreach",
    "fused",
    "capturable",
    "differentiable",
    "engine",
    "dialect",
    "lr",
}


@dataclass(frozen=True, eq=False)
class Case:
    """One optimizer with one set of options."""

    optimizer: str
    options: dict[str, Any] = field(default_factory=dict)
    reference: reference.Step | None = None

    @property
    def name(self) -> str:
        settings = [
            key if value is True else str(value) if key == "dialect" else f"{key}={value}"
            for key, value in self.options.items()
        ]
        return "-".join([self.optimizer, *settings]).replace(" ", "")

    @property
    def is_paper(self) -> bool:
        return self.options.get("dialect") == "paper"

    @property
    def decays_apart(self) -> bool:
        """Whether the weight decay is a factor of the parameter, not a part of the gradient."""
        return self.optimizer == "AdamW" or "decoupled_weight_decay" in self.options

    @property
    def exercises(self) -> list[str]:
        return [key for key in self.options if key not in NOT_EXERCISED]

    @property
    def lr(self) -> float:
        """The learning rate, PyTorch's default where the case gives none."""
        signature = inspect.signature(getattr(torch.optim, self.optimizer))
        return float(self.options.get("lr", signature.parameters["lr"].default))

    def without(self, argument: str) -> Case:
        """Return the case without an argument and without what has no meaning then."""
        dropped = (argument, *DEPENDENTS.get(argument, ()))
        kept = {key: value for key, value in self.options.items() if key not in dropped}
        return Case(self.optimizer, kept, self.reference)

    def theirs(self, params: Any, **options: Any) -> torch.optim.Optimizer:
        """Build torch.optim's own, in its plain loop."""
        assert not self.is_paper
        factory = getattr(torch.optim, self.optimizer)
        return factory(params, **{"foreach": False, **self.options, **options})

    def ours(self, params: Any, **options: Any) -> torch.optim.Optimizer:
        from thalweg import optim

        return getattr(optim, self.optimizer)(params, **{**self.options, **options})


def sgd() -> list[Case]:
    plain = [
        {"lr": 0.01},
        {"lr": 0.01, "weight_decay": 0.1},
        {"lr": 0.01, "momentum": 0.9},
        {"lr": 0.01, "momentum": 0.9, "nesterov": True},
        {"lr": 0.01, "momentum": 0.9, "weight_decay": 0.1, "maximize": True},
    ]
    return [
        *(Case("SGD", options) for options in plain),
        Case("SGD", {"lr": 0.01, "momentum": 0.8, "dampening": 0.3}),
        Case("SGD", {"lr": 0.01, "momentum": 0.8, "nesterov": True, "weight_decay": 0.1}),
        *(Case("SGD", {**options, "dialect": "paper"}, reference.sgd) for options in plain),
    ]


def adagrad() -> list[Case]:
    sets = [
        {},
        {"lr": 0.1, "eps": 0.01},
        {"lr": 0.1, "lr_decay": 0.1},
        {"lr": 0.1, "weight_decay": 0.1},
        {"lr": 0.1, "initial_accumulator_value": 0.5},
        {"lr": 0.1, "maximize": True, "weight_decay": 0.1, "eps": 0.01, "lr_decay": 0.01},
    ]
    return [
        *(Case("Adagrad", options, reference.adagrad) for options in sets),
        Case("Adagrad", {"lr": 0.1, "eps": 0.01, "dialect": "paper"}, reference.adagrad),
        Case(
            "Adagrad",
            {"lr": 0.1, "eps": 1e-7, "weight_decay": 0.1, "maximize": True, "dialect": "paper"},
            reference.adagrad,
        ),
    ]


def rmsprop() -> list[Case]:
    sets: list[dict[str, Any]] = [
        {},
        {"alpha": 0.9},
        {"eps": 0.01},
        {"weight_decay": 0.1},
        {"momentum": 0.9},
        {"momentum": 0.8, "eps": 0.01, "weight_decay": 0.1, "maximize": True},
    ]
    return [
        *(Case("RMSprop", options) for options in sets),
        Case("RMSprop", {"centered": True}),
        Case("RMSprop", {"centered": True, "momentum": 0.9, "alpha": 0.9}),
        *(Case("RMSprop", {**options, "dialect": "paper"}, reference.rmsprop) for options in sets),
    ]


def adam() -> list[Case]:
    sets: list[dict[str, Any]] = [
        {},
        {"lr": 0.01, "betas": (0.8, 0.95)},
        {"lr": 0.01, "eps": 0.01},
        {"lr": 0.01, "weight_decay": 0.1},
        {"lr": 0.01, "maximize": True},
    ]
    return [
        *(Case("Adam", options, reference.adam) for options in sets),
        Case("Adam", {"lr": 0.01, "weight_decay": 0.1, "decoupled_weight_decay": True}),
        Case("Adam", {"lr": 0.01, "betas": (0.9, 0.9), "amsgrad": True}),
        Case("Adam", {"amsgrad": True, "betas": (0.9, 0.9), "weight_decay": 0.1, "maximize": True}),
        *(Case("Adam", {**options, "dialect": "paper"}, reference.adam) for options in sets),
    ]


def adamw() -> list[Case]:
    sets: list[dict[str, Any]] = [
        {},
        {"lr": 0.01, "betas": (0.8, 0.95), "eps": 0.01},
        {"lr": 0.01, "weight_decay": 0.2, "maximize": True},
    ]
    return [
        *(Case("AdamW", options, reference.adamw) for options in sets),
        Case("AdamW", {"lr": 0.01, "betas": (0.9, 0.9), "amsgrad": True}),
    ]


def adadelta() -> list[Case]:
    sets: list[dict[str, Any]] = [
        {},
        {"lr": 0.5, "rho": 0.8},
        {"eps": 1e-3},
        {"weight_decay": 0.1},
        {"maximize": True, "weight_decay": 0.1},
    ]
    return [
        *(Case("Adadelta", options, reference.adadelta) for options in sets),
        *(
            Case("Adadelta", {**options, "dialect": "paper"}, reference.adadelta)
            for options in sets
        ),
    ]


def adamax() -> list[Case]:
    sets: list[dict[str, Any]] = [
        {},
        {"lr": 0.01, "betas": (0.8, 0.95)},
        {"lr": 0.01, "eps": 0.01},
        {"lr": 0.01, "weight_decay": 0.1, "maximize": True},
    ]
    return [Case("Adamax", options, reference.adamax) for options in sets]


def nadam() -> list[Case]:
    sets: list[dict[str, Any]] = [
        {},
        {"lr": 0.01, "betas": (0.8, 0.95)},
        {"lr": 0.01, "eps": 0.01},
        {"lr": 0.01, "momentum_decay": 0.2},
        {"lr": 0.01, "weight_decay": 0.1, "maximize": True},
        {"lr": 0.01, "weight_decay": 0.1, "decoupled_weight_decay": True},
    ]
    return [Case("NAdam", options, reference.nadam) for options in sets]


def radam() -> list[Case]:
    sets: list[dict[str, Any]] = [
        {},
        {"lr": 0.01, "betas": (0.8, 0.95)},
        {"lr": 0.01, "eps": 0.01},
        {"lr": 0.01, "weight_decay": 0.1, "maximize": True},
    ]
    return [
        *(Case("RAdam", options, reference.radam) for options in sets),
        Case("RAdam", {"lr": 0.01, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ]


def asgd() -> list[Case]:
    sets: list[dict[str, Any]] = [
        {},
        {"lr": 0.05, "lambd": 0.5},
        {"lr": 0.05, "lambd": 0.5, "alpha": 0.3},
        {"lr": 0.05, "t0": 10.0, "lambd": 0.1},
        {"lr": 0.05, "weight_decay": 0.1, "maximize": True},
    ]
    return [Case("ASGD", options, reference.asgd) for options in sets]


def rprop() -> list[Case]:
    sets: list[dict[str, Any]] = [
        {},
        {"etas": (0.4, 1.1)},
        {"step_sizes": (5e-3, 0.02)},
        {"maximize": True, "lr": 0.02},
    ]
    return [Case("Rprop", options, reference.rprop) for options in sets]


CASES: list[Case] = [
    case
    for family in (sgd, adagrad, rmsprop, adam, adamw, adadelta, adamax, nadam, radam, asgd, rprop)
    for case in family()
]
TORCH_CASES = [case for case in CASES if not case.is_paper]
OPTIMIZERS = list(dict.fromkeys(case.optimizer for case in CASES))
# The richest set of options of each optimizer, for checks to which one set does full justice.
RICHEST = [
    max(
        (case for case in TORCH_CASES if case.optimizer == name), key=lambda case: len(case.options)
    )
    for name in OPTIMIZERS
]


def each(cases: Sequence[Case]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", cases, ids=[case.name for case in cases])


each_case = each(CASES)
each_torch_case = each(TORCH_CASES)
each_optimizer = each(RICHEST)
each_engine = pytest.mark.parametrize("engine", ["eager", "fused"])
