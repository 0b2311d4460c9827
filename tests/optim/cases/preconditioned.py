"""Adafactor, SOAP and Shampoo."""

from __future__ import annotations

from typing import Any

from ..references import preconditioned
from .case import Case, rows

_ADAFACTOR: list[dict[str, Any]] = [
    {},
    {"lr": 0.1, "beta2_decay": -0.7},
    {"lr": 0.1, "eps": (1e-2, 1e-3)},
    {"lr": 0.1, "eps": (None, 2.0)},
    {"lr": 0.1, "d": 1.2},
    {"lr": 0.03, "weight_decay": 0.3},
    {"lr": 0.1, "maximize": True, "weight_decay": 0.1, "eps": (1e-3, 2.0), "d": 1.5},
]

PRECONDITIONED: list[Case] = [
    *rows("Adafactor", preconditioned.adafactor, *_ADAFACTOR, {"lr": 0.1, "beta1": 0.8}),
    *rows(
        "Adafactor",
        preconditioned.adafactor_paper,
        {"dialect": "paper"},
        {"lr": 0.1, "eps": (1e-2, 1e-3), "beta1": 0.5, "dialect": "paper"},
    ),
    *rows(
        "Adafactor",
        preconditioned.adafactor_optax,
        {"dialect": "optax"},
        {"lr": 0.1, "weight_decay": 0.01, "decay": "independent", "dialect": "optax"},
    ),
    # Sides of more than 4 keep the identity: where a matrix has fewer columns than rows its first gradient
    # leaves some eigenvectors of G·Gᵀ open, and every program may choose others.
    *rows(
        "SOAP",
        preconditioned.soap,
        {"max_dim": 4},
        {"max_dim": 4, "lr": 0.01, "betas": (0.8, 0.9)},
        {"max_dim": 4, "lr": 0.01, "eps": 0.01, "every": 3},
        {"max_dim": 4, "lr": 0.01, "every": 2, "weight_decay": 0.1, "maximize": True},
        {"max_dim": 4, "lr": 0.01, "shampoo_beta": 0.8, "correct_bias": False, "every": 3},
        {"max_dim": 4, "lr": 0.01, "normalize_grads": True, "eps": 0.01},
    ),
    *rows(
        "SOAP",
        preconditioned.soap_of_authors,
        {"max_dim": 4, "lr": 0.01, "dialect": "authors", "every": 3, "eps": 0.01},
        {"max_dim": 4, "lr": 0.01, "dialect": "authors", "shampoo_beta": 0.8, "eps": 0.01},
        {"max_dim": 4, "lr": 0.01, "dialect": "authors", "normalize_grads": True, "eps": 0.01},
    ),
    # roots magnify roundings by 1/ε
    *rows(
        "Shampoo",
        preconditioned.shampoo,
        {"eps": 0.1},
        {"eps": 0.1, "lr": 0.01, "betas": (0.8, 0.9), "every": 3},
        {"eps": 0.01, "lr": 0.01, "exponent": 0.5, "every": 2, "max_dim": 4},
        {"eps": 0.1, "lr": 0.01, "graft_eps": 0.1, "every": 3},
        {"eps": 0.1, "lr": 0.01, "grafting": "sgd", "every": 3},
        {"eps": 0.1, "lr": 0.01, "grafting": "none", "every": 3, "weight_decay": 0.1},
        {"eps": 0.1, "lr": 0.01, "newton": True, "every": 5, "maximize": True},
        {"eps": 0.1, "lr": 0.1, "sums": True, "grafting": "none", "betas": (0.0, 0.9), "every": 1},
        {"eps": 1.0, "lr": 0.01, "sums": True, "max_dim": 4, "every": 3},
    ),
    # the length of a grafted rule would be that of the whole
    *rows(
        "Shampoo",
        preconditioned.in_blocks(preconditioned.shampoo),
        {"eps": 0.1, "lr": 0.1, "grafting": "none", "every": 2, "block_size": 3},
        {"eps": 1.0, "lr": 0.1, "grafting": "none", "sums": True, "every": 3, "block_size": 3},
    ),
    *rows(
        "SOAP",
        preconditioned.in_blocks(preconditioned.soap),
        {"lr": 0.01, "every": 3, "block_size": 3, "eps": 0.01},
    ),
    *rows(
        "SOAP",
        preconditioned.in_blocks(preconditioned.soap_of_authors),
        {"lr": 0.01, "every": 3, "block_size": 3, "eps": 0.01, "dialect": "authors"},
    ),
]
