"""More than one memory of gradients, rates that weights learn, and signs."""

from __future__ import annotations

from ..references import adaptive, momentum_kin, sign
from .case import rows

MOMENTUM_KIN = [
    *rows(
        "Adan",
        momentum_kin.adan,
        {"lr": 0.01},
        {"lr": 0.01, "betas": (0.9, 0.7, 0.95)},
        {"lr": 0.01, "eps": 0.01},
        {"lr": 0.01, "weight_decay": 0.1},
        {"lr": 0.01, "weight_decay": 0.1, "decay": "decoupled"},
        {"lr": 0.01, "weight_decay": 0.1, "decay": "l2", "maximize": True},
    ),
    *rows(
        "AdEMAMix",
        momentum_kin.ademamix,
        {"lr": 0.01},
        {"lr": 0.01, "betas": (0.8, 0.95, 0.99), "alpha": 2.0},
        {"lr": 0.01, "warmup": 30.0},
        {"lr": 0.01, "eps": 0.01, "weight_decay": 0.1, "decay": "decoupled"},
        {"lr": 0.01, "weight_decay": 0.1, "decay": "l2", "warmup": 100.0, "maximize": True},
    ),
    *rows(
        "MARS",
        momentum_kin.mars,
        {"lr": 0.01},
        {"lr": 0.01, "betas": (0.8, 0.95)},
        {"lr": 0.01, "gamma": 0.1},
        {"lr": 0.01, "eps": 1e-3, "weight_decay": 0.1, "decay": "decoupled"},
        {"lr": 0.01, "weight_decay": 0.1, "decay": "l2", "maximize": True},
    ),
    *rows(
        "DeltaBarDelta",
        momentum_kin.delta_bar_delta,
        {"lr": 0.01},
        {"lr": 0.01, "kappa": 0.005, "phi": 0.1},
        {"lr": 0.01, "theta": 0.4},
        {"lr": 0.01, "weight_decay": 0.1, "decay": "l2"},
        {"lr": 0.01, "weight_decay": 0.1, "decay": "decoupled", "maximize": True},
        jumps=True,
    ),
    *rows(
        "NesterovRMSprop",
        adaptive.nesterov_rmsprop,
        {"lr": 0.01},
        {"lr": 0.01, "rho": 0.9, "eps": 0.01},
        {"lr": 0.01, "momentum": 0.5, "weight_decay": 0.1},
        {"lr": 0.01, "weight_decay": 0.1, "decay": "decoupled", "maximize": True},
    ),
]

SIGN = [
    *rows(
        "SignSGD",
        sign.sign_sgd,
        {"lr": 0.01},
        {"lr": 0.01, "weight_decay": 0.1, "decay": "decoupled"},
        {"lr": 0.01, "weight_decay": 0.1, "decay": "l2", "maximize": True},
        jumps=True,
    ),
    *rows(
        "Signum",
        sign.signum,
        {"lr": 0.01},
        {"lr": 0.01, "beta": 0.5},
        {"lr": 0.01, "weight_decay": 0.1, "decay": "cautious"},
        {"lr": 0.01, "weight_decay": 0.1, "decay": "l2", "maximize": True},
        jumps=True,
    ),
    *rows(
        "Lion",
        sign.lion,
        {"lr": 0.01},
        {"lr": 0.01, "betas": (0.7, 0.95)},
        {"lr": 0.01, "weight_decay": 0.1, "decay": "decoupled"},
        {"lr": 0.01, "weight_decay": 0.1, "decay": "cautious", "maximize": True},
        {"lr": 0.01, "weight_decay": 0.1, "decay": "l2"},
        jumps=True,
    ),
]
