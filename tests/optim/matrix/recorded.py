"""Trajectories of Muon in Keras and Optax, in recorded.json: the problem, and how it was recorded.

Needs the packages keras, optax and jax:

KERAS_BACKEND=jax JAX_ENABLE_X64=1 PYTHONPATH=. python -m tests.optim.matrix.recorded
"""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]
Step = Callable[[list[Array]], list[Array]]
"""Takes the gradients and returns the point after the step."""

FILE = Path(__file__).with_name("recorded.json")
SHAPES: tuple[tuple[int, ...], ...] = ((4,), (5, 3), (3, 7), (4, 4))
KEPT = (1, 2, 9)
RUNS: dict[str, list[dict[str, Any]]] = {
    "keras": [{}, {"nesterov": False, "momentum": 0.8, "weight_decay": 0.3}],
    "optax": [
        {},
        {"nesterov": False, "beta": 0.8, "weight_decay": 0.3, "eps": 1e-3},
        {"consistent_rms": 0.2, "ns_steps": 3},
    ],
}
"""By library, the options of each run."""


def start() -> list[Array]:
    return [
        1.5 * np.sin(2.1 * np.arange(1.0, np.prod(s) + 1).reshape(s) + k)
        for k, s in enumerate(SHAPES)
    ]


def gradient(t: int, point: Sequence[Array]) -> list[Array]:
    """The gradient of step t; the first matrix has a small one, on which ε is seen."""
    found = []
    for k, w in enumerate(point):
        i = np.arange(1.0, w.size + 1).reshape(w.shape)
        g = (1.0 + 0.5 * np.sin(0.7 * i + k)) * (w - 0.5 * np.cos(1.3 * i + k))
        found.append((1e-5 if k == 1 else 1.0) * (g + 0.5 * np.cos(0.9 * t + i)))
    return found


def points(step: Step) -> dict[str, list[list[float]]]:
    """Follow an optimizer and return the points to keep, by step."""
    point, kept = start(), {}
    for t in range(1, KEPT[-1] + 1):
        point = [np.array(w, dtype=np.float64) for w in step(gradient(t, point))]
        if t in KEPT:
            kept[str(t)] = [w.ravel().tolist() for w in point]
    return kept


def of_keras(options: dict[str, Any]) -> Step:
    import jax.numpy as jnp
    import keras

    keras.config.set_floatx("float64")
    variables = [keras.Variable(w, dtype="float64") for w in start()]
    optimizer = keras.optimizers.Muon(learning_rate=0.05, **options)
    optimizer.build(variables)

    def step(gradients: list[Array]) -> list[Array]:
        optimizer.apply([jnp.asarray(g) for g in gradients], variables)
        return [np.asarray(v.value) for v in variables]

    return step


def of_optax(options: dict[str, Any]) -> Step:
    import jax.numpy as jnp
    import optax

    optimizer = optax.contrib.muon(0.05, **options)
    point = [jnp.asarray(w) for w in start()]
    state = optimizer.init(point)

    def step(gradients: list[Array]) -> list[Array]:
        nonlocal point, state
        updates, state = optimizer.update([jnp.asarray(g) for g in gradients], state, point)
        point = optax.apply_updates(point, updates)
        return [np.asarray(w) for w in point]

    return step


def main() -> None:
    from thalweg.files import write_text

    made = {"keras": of_keras, "optax": of_optax}
    file = {
        name: {
            "version": importlib.metadata.version(name),
            "runs": [points(made[name](options)) for options in sets],
        }
        for name, sets in RUNS.items()
    }
    text = json.dumps(file).replace('"1": ', '\n"1": ').replace('"2": ', '\n"2": ')
    write_text(FILE, text.replace('"9": ', '\n"9": ') + "\n")


if __name__ == "__main__":
    main()
