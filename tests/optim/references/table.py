"""Sets of options for each optimizer, with the transcription that is its oracle.

The kinds: "tensor", one array a step; "model", all arrays a step; "noise", one array a step, and
the standard normal `noise` that the step takes besides.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import adam_kin, average, free, momentum_kin, noisy, scale, sign

Row = tuple[str, dict[str, Any], Callable[..., Any], str]


def rows(
    name: str, reference: Callable[..., Any], *sets: dict[str, Any], kind: str = "tensor"
) -> list[Row]:
    return [(name, options, reference, kind) for options in sets]


ADAM_KIN = [
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
        "LAMB",
        scale.lamb,
        {"lr": 0.01},
        {"lr": 0.01, "betas": (0.8, 0.95)},
        {"lr": 0.01, "eps": 0.01},
        {"lr": 0.01, "weight_decay": 0.1},
        {"lr": 0.01, "weight_decay": 0.5, "maximize": True},
    ),
]

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
    ),
]

SIGN = [
    *rows(
        "SignSGD",
        sign.sign_sgd,
        {"lr": 0.01},
        {"lr": 0.01, "weight_decay": 0.1, "decay": "decoupled"},
        {"lr": 0.01, "weight_decay": 0.1, "decay": "l2", "maximize": True},
    ),
    *rows(
        "Signum",
        sign.signum,
        {"lr": 0.01},
        {"lr": 0.01, "beta": 0.5},
        {"lr": 0.01, "weight_decay": 0.1, "decay": "cautious"},
        {"lr": 0.01, "weight_decay": 0.1, "decay": "l2", "maximize": True},
    ),
    *rows(
        "Lion",
        sign.lion,
        {"lr": 0.01},
        {"lr": 0.01, "betas": (0.7, 0.95)},
        {"lr": 0.01, "weight_decay": 0.1, "decay": "decoupled"},
        {"lr": 0.01, "weight_decay": 0.1, "decay": "cautious", "maximize": True},
        {"lr": 0.01, "weight_decay": 0.1, "decay": "l2"},
    ),
]

OTHERS = [
    *rows(
        "LARS",
        scale.lars,
        {"lr": 1.0},
        {"lr": 1.0, "momentum": 0.5},
        {"lr": 1.0, "trust_coefficient": 0.01, "eps": 0.1},
        {"lr": 1.0, "weight_decay": 0.1},
        {"lr": 1.0, "momentum": 0.0, "weight_decay": 0.5, "maximize": True},
    ),
    *rows(
        "ScheduleFreeSGD",
        average.schedule_free_sgd,
        {"lr": 0.1},
        {"lr": 0.1, "beta": 0.5},
        {"lr": 0.1, "r": 1.0, "power": 0.0},
        {"lr": 0.1, "weight_decay": 0.1},
        {"lr": 0.1, "weight_decay": 0.2, "beta": 0.98, "maximize": True},
    ),
    *rows(
        "ScheduleFreeAdamW",
        average.schedule_free_adamw,
        {"lr": 0.01},
        {"lr": 0.01, "betas": (0.7, 0.95)},
        {"lr": 0.01, "r": 2.0, "power": 1.0, "eps": 0.01},
        {"lr": 0.01, "weight_decay": 0.1},
        {"lr": 0.01, "weight_decay": 0.2, "betas": (0.98, 0.99), "maximize": True},
    ),
    *rows(
        "SGLD",
        noisy.sgld,
        {"lr": 0.01},
        {"lr": 0.01, "temperature": 0.1, "seed": 3},
        {"lr": 0.01, "temperature": 0.5, "weight_decay": 0.1, "decay": "l2"},
        {"lr": 0.01, "weight_decay": 0.003, "decay": "independent", "maximize": True},
        kind="noise",
    ),
]

# A start of 1e-6 is so close to the starting point that w − w₀ has few correct digits, and the
# estimates inherit them: the trajectories agree to 5e-12 in float64, to 2e-2 in float32. Hence the
# larger starts, or a bounded growth from the default. No gradient of the recorded problem points
# anywhere for long, so the estimates grow on the quadratic only.
FREE = [
    *rows(
        "DoG",
        free.dog,
        {"lr": 1.0, "relative": 0.1},
        {"lr": 0.5, "relative": 0.1},
        {"lr": 1.0, "relative": 0.1, "eps": 1e4},
        {"lr": 1.0, "relative": 0.05, "layerwise": True},
        {"lr": 1.0, "relative": 0.1, "weight_decay": 0.01, "decay": "decoupled"},
        {
            "lr": 0.3,
            "relative": 0.1,
            "weight_decay": 0.1,
            "decay": "l2",
            "maximize": True,
        },
        kind="model",
    ),
    *rows(
        "Prodigy",
        free.prodigy,
        {"lr": 1.0, "growth_rate": 1.3},
        {"lr": 0.5, "d0": 1e-2, "betas": (0.8, 0.95)},
        {"lr": 1.0, "d0": 1e-2, "eps": 0.1, "d_coef": 2.0},
        {
            "lr": 0.5,
            "d0": 1e-2,
            "betas": (0.9, 0.99),
            "weight_decay": 0.01,
            "decay": "decoupled",
        },
        {
            "lr": 1.0,
            "d0": 1e-2,
            "growth_rate": 1.1,
            "weight_decay": 0.1,
            "decay": "l2",
            "maximize": True,
        },
        kind="model",
    ),
    *rows(
        "DAdaptAdam",
        free.d_adapt_adam,
        {"lr": 1.0, "growth_rate": 1.3},
        {"lr": 0.5, "d0": 1e-2, "betas": (0.8, 0.95)},
        {"lr": 0.5, "d0": 1e-2, "eps": 0.01},
        {
            "lr": 0.5,
            "d0": 1e-2,
            "betas": (0.8, 0.95),
            "weight_decay": 0.01,
            "decay": "decoupled",
        },
        {
            "lr": 1.0,
            "d0": 1e-2,
            "growth_rate": 1.1,
            "weight_decay": 0.1,
            "decay": "l2",
            "maximize": True,
        },
        kind="model",
    ),
]

CASES_NEW: list[Row] = [*ADAM_KIN, *MOMENTUM_KIN, *SIGN, *OTHERS, *FREE]

# Readings of Adam and AMSGrad that other libraries have; the first entry is the rule's name.
DIALECTS: list[Row] = [
    *rows(
        "amsgrad_paper",
        adam_kin.amsgrad_paper,
        {"lr": 0.01},
        {"lr": 0.01, "betas": (0.8, 0.9), "eps": 1e-3},
        {"lr": 0.01, "betas": (0.9, 0.9), "weight_decay": 0.1, "maximize": True},
    ),
    *rows(
        "amsgrad_unbiased",
        adam_kin.amsgrad_unbiased,
        {"lr": 0.01},
        {"lr": 0.01, "betas": (0.8, 0.9), "eps": 1e-3},
        {"lr": 0.01, "betas": (0.9, 0.9), "weight_decay": 0.1, "maximize": True},
    ),
    *rows(
        "adam_hat",
        adam_kin.adam_hat,
        {"lr": 0.01},
        {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-3},
        {"lr": 0.01, "weight_decay": 0.1, "maximize": True},
    ),
]
