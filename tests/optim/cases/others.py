"""LARS, schedule-free descent, Langevin noise, and what finds its own learning rate."""

from __future__ import annotations

from ..references import average, free, noisy, scale
from ..references.compose import alone
from .case import rows

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
        {"lr": 0.01, "temperature": 0.5, "weight_decay": 0.1},
        {"lr": 0.01, "weight_decay": 0.003, "decay": "independent", "maximize": True},
        kind="noise",
    ),
]

# A start of 1e-6 is so close to the starting point that w − w₀ has few correct digits, and the
# estimates inherit them: the trajectories agree to 5e-12 in float64, to 2e-2 in float32. Hence the
# larger starts, or a bounded growth. No gradient of the recorded problem points
# anywhere for long, so the estimates grow on the quadratic only.
FREE = [
    *rows(
        "DoG",
        free.dog,
        {"lr": 1.0, "relative": 0.1},
        {"lr": 0.5, "relative": 0.1},
        {"lr": 1.0, "relative": 0.1, "eps": 1e4},
        {"lr": 1.0, "relative": 0.1, "weight_decay": 0.01, "decay": "decoupled"},
        {"lr": 0.3, "relative": 0.1, "weight_decay": 0.1, "maximize": True},
        kind="model",
    ),
    # one array is a model of its own
    *rows("DoG", alone(free.dog), {"lr": 1.0, "relative": 0.05, "layerwise": True}),
    *rows(
        "LDoG",
        alone(free.dog),
        {"lr": 1.0, "relative": 0.1},
        {"lr": 0.5, "relative": 0.05, "eps": 1e2},
        {"lr": 0.3, "relative": 0.1, "weight_decay": 0.1, "maximize": True},
    ),
    *rows(
        "Prodigy",
        free.prodigy,
        {"lr": 1.0, "d0": 1e-4, "growth_rate": 1.3},
        {"lr": 0.5, "d0": 1e-2, "betas": (0.8, 0.95)},
        {"lr": 1.0, "d0": 1e-2, "eps": 0.1, "d_coef": 2.0},
        {"lr": 0.5, "d0": 1e-2, "betas": (0.9, 0.99), "weight_decay": 0.1},
        {"betas": (0.9, 0.95), "d0": 0.1, "weight_decay": 0.01, "decay": "decoupled"},
        {
            "betas": (0.9, 0.95),
            "d0": 0.1,
            "growth_rate": 1.01,
            "weight_decay": 0.1,
            "decay": "l2",
            "maximize": True,
        },
        kind="model",
    ),
    *rows(
        "DAdaptAdam",
        free.d_adapt_adam,
        {"lr": 1.0, "d0": 1e-4, "growth_rate": 1.3},
        {"lr": 0.5, "d0": 1e-2, "betas": (0.8, 0.95)},
        {"lr": 0.5, "d0": 1e-2, "eps": 0.01},
        {"lr": 0.5, "d0": 1e-2, "betas": (0.8, 0.95), "weight_decay": 0.1},
        {"lr": 0.5, "d0": 1e-2, "weight_decay": 0.01, "decay": "decoupled"},
        {"d0": 1e-2, "growth_rate": 1.1, "weight_decay": 0.1, "decay": "l2", "maximize": True},
        kind="model",
    ),
]
