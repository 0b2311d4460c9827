"""Write optax.json. Needs the packages optax and jax.

JAX_ENABLE_X64=1 PYTHONPATH=tests python -m golden.make_optax
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .problem import Array, rate, start
from .record import Entry, points, write

COMMAND = "JAX_ENABLE_X64=1 PYTHONPATH=tests python -m golden.make_optax"
CHANGING = ("changing",)
CONSTANT = ("constant",)
Rate = Callable[[Any], Any]


def chained(name: str, *options: str) -> Callable[..., Any]:
    """A transformation of optax before plain gradient descent."""
    import optax

    def make(learning_rate: Rate, **given: Any) -> Any:
        return optax.chain(getattr(optax, name)(**given), optax.sgd(learning_rate))

    make.__name__ = f"chain({name}, sgd)"
    return make


def layerwise(learning_rate: Rate, **options: Any) -> Any:
    """LDoG: optax has it as a transformation."""
    import jax.numpy as jnp
    import optax

    made = optax.scale_by_distance_over_gradients(param_dtype=jnp.float64, **options)
    return optax.chain(made, optax.scale_by_learning_rate(learning_rate))


def of_the_family() -> list[Entry]:
    import optax as o

    root = "epsilon inside the root; the momentum gathers lr·update"
    rms = {"decay": 0.9, "eps": 1e-3}
    return [
        Entry("sgd nesterov", o.sgd, 0.05, {"momentum": 0.9, "nesterov": True}, "", CHANGING),
        Entry("rmsprop", o.rmsprop, 0.05, rms, root),
        Entry("rmsprop outside", o.rmsprop, 0.05, {**rms, "eps_in_sqrt": False}, "", CHANGING),
        Entry("rmsprop momentum", o.rmsprop, 0.05, {**rms, "momentum": 0.8}, root),
        Entry(
            "rmsprop nesterov",
            o.rmsprop,
            0.05,
            {**rms, "momentum": 0.8, "nesterov": True},
            root,
        ),
        Entry("rmsprop centered", o.rmsprop, 0.05, {**rms, "centered": True}, root, CHANGING),
        Entry(
            "rmsprop centered nesterov",
            o.rmsprop,
            0.05,
            {**rms, "centered": True, "momentum": 0.8, "nesterov": True},
            root,
            CHANGING,
        ),
        Entry("adam", o.adam, 0.05, {"eps": 1e-3}, "", CHANGING),
        Entry(
            "adam eps_root",
            o.adam,
            0.05,
            {"eps": 0.0, "eps_root": 1e-3},
            "epsilon inside the root, after the bias correction",
            CHANGING,
        ),
        Entry("adamw", o.adamw, 0.05, {"weight_decay": 0.1}, "decay decoupled, times lr"),
        Entry("nadam", o.nadam, 0.05, {"eps": 1e-3}, "the momentum is constant", optimizer="nadam"),
        Entry(
            "nadamw",
            o.nadamw,
            0.05,
            {"weight_decay": 0.1},
            "the momentum is constant; decay decoupled, times lr",
            optimizer="nadamw",
        ),
        Entry(
            "amsgrad",
            o.amsgrad,
            0.05,
            {"eps": 1e-3, "b2": 0.9},
            "the maximum is of v after its bias correction",
        ),
        Entry(
            "amsgrad printed",
            o.amsgrad,
            0.05,
            {"eps": 1e-3, "b2": 0.9, "bias_correction_mu": False, "bias_correction_nu": False},
            "as the paper prints it: without bias corrections",
        ),
        Entry("adamax", o.adamax, 0.05, {"eps": 1e-3}),
        Entry(
            "adagrad",
            o.adagrad,
            0.1,
            {"eps": 1e-3, "initial_accumulator_value": 0.1},
            "epsilon inside the root",
        ),
        Entry("adadelta", o.adadelta, 1.0, {"rho": 0.9, "eps": 1e-3}),
        Entry("adabelief", o.adabelief, 0.05, {"eps": 1e-4, "eps_root": 1e-4}),
        Entry(
            "yogi",
            o.yogi,
            0.05,
            {},
            "with bias corrections, and m starts at 1e-6 as v does; the paper has neither",
        ),
        Entry("lion", o.lion, 0.03, {"weight_decay": 0.1}, "decay decoupled, times lr"),
        Entry("sign_sgd", o.sign_sgd, 0.03, {}, "", CHANGING),
        Entry("signum", o.signum, 0.03, {"beta": 0.9}),
        Entry(
            "adan",
            o.adan,
            0.05,
            {"eps_root": 0.0},
            "weights the difference of the gradients by 1 − b2 where the paper and its authors' "
            "code, in the same convention, have b2",
        ),
        Entry(
            "adan half",
            o.adan,
            0.05,
            {"b2": 0.5, "eps_root": 0.0},
            "at b2 = ½ the paper's weight and this library's are the same",
        ),
    ]


def by_norms() -> list[Entry]:
    import optax as o

    return [
        Entry("lamb", o.lamb, 0.05, {"weight_decay": 0.1}),
        Entry(
            "lars",
            o.lars,
            1.0,
            {"weight_decay": 0.1, "trust_coefficient": 0.05, "momentum": 0.9},
            "divides by ‖g + λp‖, the paper by ‖g‖ + λ‖p‖; the momentum gathers lr·update",
        ),
        Entry(
            "lars without decay",
            o.lars,
            1.0,
            {"trust_coefficient": 0.05, "momentum": 0.9},
            "without decay it is the paper's; the momentum gathers lr·update",
            CHANGING,
        ),
        Entry("centralize", chained("centralize"), 0.1, {}, "", CHANGING),
        Entry(
            "normalize",
            chained("normalize_by_update_norm"),
            0.2,
            {"eps": 1e-3},
            "one norm over all tensors",
            CHANGING,
        ),
        Entry(
            "clip_by_global_norm",
            chained("clip_by_global_norm"),
            0.2,
            {"max_norm": 1.5},
            "",
            CHANGING,
        ),
        Entry("clip", chained("clip"), 0.2, {"max_delta": 0.4}, "", CHANGING),
    ]


def contributed() -> list[Entry]:
    from optax import contrib as c

    late = "a schedule of the averaging weights runs one step ahead of the schedule of the steps"
    corrected = "always with Adam's bias corrections, which the authors' code has switched off"
    return [
        Entry("ademamix", c.ademamix, 0.05, {"b3": 0.99, "weight_decay": 0.1}),
        Entry("prodigy", c.prodigy, 1.0, {"estim_lr0": 1e-2}, corrected, CONSTANT),
        Entry("dadapt_adamw", c.dadapt_adamw, 1.0, {"estim_lr0": 1e-2}, corrected, CONSTANT),
        Entry("dog", c.dog, 1.0, {"init_step": ["heuristic", 1e-2]}),
        Entry(
            "ldog", layerwise, 1.0, {"reps_rel": 1e-2}, optimizer="scale_by_distance_over_gradients"
        ),
        Entry("schedule_free_sgd", c.schedule_free_sgd, 0.2, {}, late),
        Entry("schedule_free_adamw", c.schedule_free_adamw, 0.05, {"weight_decay": 0.1}, late),
    ]


def follow(entry: Entry, schedule: str) -> dict[str, Any]:
    import jax.numpy as jnp
    import numpy as np
    import optax

    rates = jnp.asarray([rate(t, entry.lr, schedule) for t in range(1, 40)])
    lr: Any = entry.lr if schedule == "constant" else lambda count: rates[count]
    options = {k: tuple(v) if isinstance(v, list) else v for k, v in entry.options.items()}
    optimizer = entry.make(learning_rate=lr, **options)
    point = [jnp.asarray(w) for w in start()]
    state = optimizer.init(point)

    def step(gradients: list[Array], _: float) -> list[Array]:
        nonlocal point, state
        updates, state = optimizer.update([jnp.asarray(g) for g in gradients], state, point)
        point = optax.apply_updates(point, updates)
        return [np.asarray(w) for w in point]

    made: dict[str, Any] = {"points": points(step, entry.lr, schedule)}
    assert all(w.dtype == jnp.float64 for w in point)
    if entry.name.startswith("schedule_free"):
        average = optax.contrib.schedule_free_eval_params(state, point)
        made["evaluated"] = [float(x) for w in average for x in np.asarray(w).ravel()]
    return made


def main() -> None:
    write(
        "optax",
        COMMAND,
        [*of_the_family(), *by_norms(), *contributed()],
        follow,
        ("jax", "jaxlib", "numpy"),
    )


if __name__ == "__main__":
    main()
