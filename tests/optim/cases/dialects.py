"""The optimizers of torch.optim in the equations of other libraries, and with other weight decays."""

from __future__ import annotations

import inspect

from .. import reference
from ..references import adam_kin, adaptive
from ..references.compose import fixed
from ..references.decay import decayed
from .case import Case, rows

# the same steps with the weight decay that these names have by default
adamw_hat = decayed("decoupled")(inspect.unwrap(adam_kin.adam_hat))
adamw_unbiased = decayed("decoupled")(inspect.unwrap(adam_kin.amsgrad_unbiased))
adamw_paper = decayed("decoupled")(inspect.unwrap(adam_kin.amsgrad_paper))
nadam_of_optax = fixed(decayed("l2")(inspect.unwrap(adam_kin.nadamw)), ahead=True)

DIALECTS: list[Case] = [
    *rows(
        "Adam",
        adam_kin.adam_hat,
        {"lr": 0.01, "dialect": "keras", "betas": (0.8, 0.95), "eps": 1e-3},
        {"lr": 0.01, "dialect": "keras", "weight_decay": 0.1, "maximize": True},
    ),
    *rows(
        "Adam",
        adam_kin.amsgrad_hat,
        {"lr": 0.01, "dialect": "keras", "amsgrad": True, "betas": (0.8, 0.9), "eps": 1e-3},
    ),
    *rows("Adam", reference.adam, {"lr": 0.01, "dialect": "optax", "eps": 0.01}),
    *rows(
        "Adam",
        adam_kin.amsgrad_unbiased,
        {"lr": 0.01, "dialect": "optax", "amsgrad": True, "betas": (0.8, 0.9), "eps": 1e-3},
        {"dialect": "optax", "amsgrad": True, "betas": (0.9, 0.9), "weight_decay": 0.1},
    ),
    *rows(
        "Adam",
        adam_kin.amsgrad_paper,
        {"lr": 0.01, "dialect": "paper", "amsgrad": True, "betas": (0.8, 0.9), "eps": 1e-3},
        {"dialect": "paper", "amsgrad": True, "weight_decay": 0.1, "maximize": True},
    ),
    *rows(
        "AdamW",
        adamw_hat,
        {"lr": 0.01, "dialect": "keras", "weight_decay": 0.1, "eps": 1e-3},
    ),
    *rows(
        "AdamW",
        adamw_unbiased,
        {"dialect": "optax", "amsgrad": True, "betas": (0.9, 0.9), "weight_decay": 0.1},
    ),
    *rows(
        "AdamW",
        adamw_paper,
        {"dialect": "paper", "amsgrad": True, "betas": (0.9, 0.9), "weight_decay": 0.1},
    ),
    *rows(
        "NAdam",
        adam_kin.nadam_of_keras,
        {"lr": 0.01, "dialect": "keras", "betas": (0.8, 0.95), "eps": 1e-3},
        {"lr": 0.01, "dialect": "keras", "weight_decay": 0.1, "maximize": True},
    ),
    *rows(
        "NAdam",
        nadam_of_optax,
        {"lr": 0.01, "dialect": "optax", "betas": (0.8, 0.95), "eps": 1e-3},
        {"dialect": "optax", "weight_decay": 0.1, "decay": "decoupled", "maximize": True},
    ),
    *rows("NAdam", reference.nadam, {"lr": 0.01, "dialect": "paper", "momentum_decay": 0.2}),
    *rows(
        "Adagrad",
        adaptive.adagrad_inside,
        {"lr": 0.1, "dialect": "keras", "eps": 0.01, "initial_accumulator_value": 0.1},
        {"lr": 0.1, "dialect": "optax", "lr_decay": 0.1, "weight_decay": 0.1, "maximize": True},
    ),
    *rows(
        "RMSprop",
        reference.rmsprop,
        {"dialect": "keras", "alpha": 0.9, "eps": 0.01, "momentum": 0.8, "weight_decay": 0.1},
        {"dialect": "optax", "eps": 0.01, "maximize": True},
    ),
    *rows(
        "Adamax",
        adam_kin.adamax_outside,
        {"lr": 0.01, "dialect": "keras", "betas": (0.8, 0.95), "eps": 0.01},
        {"lr": 0.01, "dialect": "keras", "weight_decay": 0.1, "maximize": True},
    ),
]


def apart(name: str, decay: str) -> dict[str, object]:
    """Return options with this meaning of weight decay; what does not scale with lr is smaller."""
    strength = 0.003 if decay == "independent" else 0.1
    return {"lr": 0.01, "weight_decay": strength, "decay": decay}


def with_decay(name: str, step: reference.Step, *decays: str, **options: object) -> list[Case]:
    known = decayed("l2")(step)
    sets = (apart(name, decay) | options for decay in decays)
    return rows(name, known, *sets)


DECAYS: list[Case] = [
    *with_decay("Adam", reference.adam, "decoupled", "independent", "cautious", "proximal"),
    *with_decay("SGD", reference.sgd, "cautious", "proximal", momentum=0.9, dialect="paper"),
    *with_decay("SGD", reference.sgd, "independent", maximize=True),
    *with_decay("Adagrad", reference.adagrad, "decoupled", eps=0.01),
    *with_decay("RMSprop", reference.rmsprop, "independent", dialect="paper", momentum=0.9),
    *with_decay("Adadelta", reference.adadelta, "decoupled"),
    *with_decay("Adamax", reference.adamax, "cautious"),
    *with_decay("NAdam", inspect.unwrap(reference.nadam), "decoupled", "proximal"),
    *with_decay("RAdam", reference.radam, "independent"),
    *with_decay("ASGD", reference.asgd, "cautious", lambd=0.1),
    Case("AdamW", apart("AdamW", "l2"), decayed("decoupled")(reference.adam)),
    Case("AdamW", apart("AdamW", "cautious"), decayed("decoupled")(reference.adam)),
]
