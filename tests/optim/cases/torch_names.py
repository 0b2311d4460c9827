"""The optimizers of torch.optim, in PyTorch's equations and in those of the papers.

A case that torch.optim has too has it as its oracle; a case with a reference has that NumPy
transcription as its oracle, alone or besides.
"""

from __future__ import annotations

from typing import Any

from .. import reference
from ..references import adaptive
from .case import Case


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
    centered = adaptive.rmsprop_centered
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
        *(
            Case("RMSprop", {**options, "centered": True, "dialect": "paper"}, centered)
            for options in ({"eps": 0.01}, {"momentum": 0.9, "alpha": 0.9, "weight_decay": 0.1})
        ),
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
    return [Case("Rprop", options, reference.rprop, jumps=True) for options in sets]


TORCH_NAMES: list[Case] = [
    case
    for family in (sgd, adagrad, rmsprop, adam, adamw, adadelta, adamax, nadam, radam, asgd, rprop)
    for case in family()
]
