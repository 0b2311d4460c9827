"""Write keras.json. Needs the packages keras and jax.

KERAS_BACKEND=jax JAX_ENABLE_X64=1 PYTHONPATH=tests python -m golden.make_keras
"""

from __future__ import annotations

from typing import Any

from .problem import Array, start
from .record import Entry, points, write

COMMAND = "KERAS_BACKEND=jax JAX_ENABLE_X64=1 PYTHONPATH=tests python -m golden.make_keras"
CHANGING = ("changing",)


def entries() -> list[Entry]:
    from keras import optimizers as k

    root = "epsilon inside the root; the momentum gathers lr·update"
    return [
        Entry("SGD", k.SGD, 0.05, {"momentum": 0.9}, "the momentum gathers lr·g"),
        Entry(
            "SGD nesterov",
            k.SGD,
            0.05,
            {"momentum": 0.9, "nesterov": True},
            "the momentum gathers lr·g",
            CHANGING,
        ),
        Entry("RMSprop", k.RMSprop, 0.05, {"rho": 0.9, "epsilon": 1e-3}, root),
        Entry(
            "RMSprop momentum",
            k.RMSprop,
            0.05,
            {"rho": 0.9, "epsilon": 1e-3, "momentum": 0.8},
            root,
        ),
        Entry(
            "RMSprop centered",
            k.RMSprop,
            0.05,
            {"rho": 0.9, "epsilon": 1e-3, "centered": True},
            root,
            CHANGING,
        ),
        Entry(
            "RMSprop centered momentum",
            k.RMSprop,
            0.05,
            {"rho": 0.9, "epsilon": 1e-3, "centered": True, "momentum": 0.8},
            root,
            CHANGING,
        ),
        Entry(
            "Adam",
            k.Adam,
            0.05,
            {"epsilon": 1e-3},
            "epsilon hat: added to √v before the bias correction of v",
        ),
        Entry(
            "Adam amsgrad",
            k.Adam,
            0.05,
            {"epsilon": 1e-3, "amsgrad": True, "beta_2": 0.9},
            "epsilon hat; the maximum is of v without bias correction",
        ),
        Entry(
            "AdamW",
            k.AdamW,
            0.05,
            {"epsilon": 1e-3, "weight_decay": 0.1},
            "epsilon hat; decay decoupled, times lr",
            CHANGING,
        ),
        Entry(
            "Nadam",
            k.Nadam,
            0.05,
            {"epsilon": 1e-3},
            "momentum β₁·(1 − ½·0.96ᵗ), as in the paper's experiments",
        ),
        Entry("Adamax", k.Adamax, 0.05, {"epsilon": 1e-3}, "epsilon is added to the maximum"),
        Entry(
            "Adagrad",
            k.Adagrad,
            0.1,
            {"epsilon": 1e-3, "initial_accumulator_value": 0.1},
            "epsilon inside the root",
        ),
        Entry("Adadelta", k.Adadelta, 1.0, {"rho": 0.9, "epsilon": 1e-3}),
        Entry("Lion", k.Lion, 0.03, {"weight_decay": 0.1}, "decay decoupled, times lr"),
        Entry(
            "Lamb",
            k.Lamb,
            0.05,
            {"epsilon": 1e-6, "weight_decay": 0.1},
            "the decay is decoupled and outside the trust ratio; in the paper it is inside",
            CHANGING,
        ),
        Entry(
            "ScheduleFreeAdamW",
            k.ScheduleFreeAdamW,
            0.05,
            {},
            "averages with weights 1/t, whatever the learning rates were; with PyTorch as its "
            "backend it goes elsewhere, since z is changed in place before its old value is read",
        ),
    ]


def follow(entry: Entry, schedule: str) -> dict[str, Any]:
    import jax.numpy as jnp
    import keras
    import numpy as np

    variables = [keras.Variable(w, dtype="float64") for w in start()]
    optimizer = entry.make(learning_rate=entry.lr, **entry.options)
    optimizer.build(variables)

    def step(gradients: list[Array], lr: float) -> list[Array]:
        optimizer.learning_rate = lr
        optimizer.apply([jnp.asarray(g) for g in gradients], variables)
        return [np.asarray(v.value) for v in variables]

    return {"points": points(step, entry.lr, schedule)}


def main() -> None:
    import keras

    keras.config.set_floatx("float64")
    write("keras", COMMAND, entries(), follow, ("jax", "jaxlib", "numpy"))


if __name__ == "__main__":
    main()
