"""Adam's kin: ADOPT, AdaBelief, Yogi, LaProp, AdaBound, NAdamW, LAMB."""

from __future__ import annotations

from ..references import adam_kin, scale
from ..references.compose import fixed
from .case import rows

ADAM_KIN = [
    *rows(
        "ADOPT",
        adam_kin.adopt,
        {"lr": 0.01},
        {"lr": 0.01, "betas": (0.8, 0.95)},
        {"lr": 0.01, "eps": 0.5, "clip": False},
        {"lr": 0.01, "power": 0.1, "weight_decay": 0.1, "decay": "decoupled"},
        {"lr": 0.01, "weight_decay": 0.1, "decay": "l2", "maximize": True},
    ),
    *rows(
        "AdaBelief",
        adam_kin.adabelief,
        {"lr": 0.01},
        {"lr": 0.01, "betas": (0.8, 0.95)},
        {"lr": 0.01, "eps": 1e-3},
        {"lr": 0.01, "weight_decay": 0.1, "decay": "decoupled"},
        {"lr": 0.01, "weight_decay": 0.1, "decay": "l2", "maximize": True},
    ),
    *rows(
        "Yogi",
        adam_kin.yogi,
        {"lr": 0.01},
        # not β₂ = 0.95: v would meet g² after 20 steps, and a rounding decide where v goes from there
        {"lr": 0.01, "betas": (0.8, 0.93), "bias_correction": True},
        {"lr": 0.01, "eps": 0.1, "initial": 1e-2},
        {"lr": 0.01, "weight_decay": 0.1, "decay": "proximal"},
        {"lr": 0.01, "weight_decay": 0.1, "decay": "l2", "initial": 0.5, "maximize": True},
    ),
    *rows(
        "LaProp",
        adam_kin.laprop,
        {"lr": 0.01},
        {"lr": 0.01, "betas": (0.8, 0.95)},
        {"lr": 0.01, "eps": 0.01},
        {"lr": 0.01, "weight_decay": 0.003, "decay": "independent"},
        {"lr": 0.01, "weight_decay": 0.1, "decay": "l2", "maximize": True},
    ),
    *rows(
        "AdaBound",
        adam_kin.adabound,
        {"lr": 0.01},
        {"lr": 0.01, "betas": (0.8, 0.95), "eps": 0.01},
        {"lr": 0.01, "final_lr": 0.02, "gamma": 0.1},
        {"lr": 0.01, "weight_decay": 0.1, "decay": "l2", "gamma": 0.01},
        {"lr": 0.01, "weight_decay": 0.1, "decay": "decoupled", "maximize": True},
    ),
    *rows(
        "NAdamW",
        adam_kin.nadamw,
        {"lr": 0.01},
        {"lr": 0.01, "betas": (0.8, 0.95)},
        {"lr": 0.01, "eps": 0.01},
        {"lr": 0.01, "weight_decay": 0.1, "decay": "decoupled"},
        {"lr": 0.01, "weight_decay": 0.003, "decay": "independent", "maximize": True},
        {"lr": 0.01, "weight_decay": 0.1, "decay": "l2"},
    ),
    *rows(
        "NAdamW",
        fixed(adam_kin.nadamw, ahead=False),
        {"lr": 0.01, "betas": (0.8, 0.95), "weight_decay": 0.1, "dialect": "algoperf"},
    ),
    *rows(
        "LAMB",
        scale.lamb,
        {"lr": 0.01},
        {"lr": 0.01, "betas": (0.8, 0.95)},
        {"lr": 0.01, "eps": 0.01},
        {"lr": 0.01, "weight_decay": 0.1},
        {"lr": 0.01, "weight_decay": 0.5, "maximize": True},
        {"lr": 0.01, "weight_decay": 0.1, "decay": "decoupled"},
    ),
]
