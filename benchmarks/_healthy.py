"""Healthy runs: every built-in task with the recipe that its documentation states, and look-alikes."""

from __future__ import annotations

import functools

from _case import Case, Patient
from _look_alikes import LOOK_ALIKES

from thalweg.tasks import load_task

RECIPES = {
    "digits": 0.01,
    "digits_logistic": 0.1,
    "digits_cnn": 0.03,
    "digits_vae": 0.01,
    "breast_cancer": 0.1,
    "diabetes": 0.1,
    "char_transformer": 0.003,
    "char_lstm": 0.03,
    "photo": 0.01,
    "adding": 0.03,
    "parity": 0.03,
    "deep_linear": 0.03,
    "matrix_factorisation": 0.03,
    "deep_quadratic": 0.1,
    "rosenbrock": 0.3,
    "beale": 0.3,
    "booth": 0.3,
    "himmelblau": 0.3,
    "rastrigin": 0.3,
    "saddle": 0.3,
    "ravine": 0.3,
}
"""Adam's learning rate for each task that brings its data along."""
SLOW = {"char_transformer": 8, "char_lstm": 8, "digits_cnn": 15, "adding": 20}
"""Tasks of which fewer epochs are trained than their budget has, to take seconds."""


def _recommended(name: str, seed: int) -> Case:
    task = load_task(name)
    return Case(task, "adam", RECIPES[name], SLOW.get(name, task.epochs), task.batch_size, seed)


BUILT_IN: list[Patient] = [
    Patient(f"task {name}", None, None, functools.partial(_recommended, name)) for name in RECIPES
]
"""One each; the seed is that of its run."""
HEALTHY: list[Patient] = [*LOOK_ALIKES, *BUILT_IN]
"""All that must be called healthy."""
