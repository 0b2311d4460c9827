"""Weight decay in each of its meanings, added to a step."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from ..reference import Array, State, Step

ModelStep = Callable[..., list[Array]]

AFTER_THE_STEP = ("decoupled", "independent", "cautious", "proximal")
DECAYS = ("l2", *AFTER_THE_STEP)
INSIDE = "inside"  # the step's own equation has a weight decay


def decay_after(x: Array, w: Array, *, lr: float, weight_decay: float, decay: str) -> Array:
    """Return where the decay leads from `x`, the point to which the step has led from `w`.

    decoupled    Loshchilov & Hutter 2019 as everyone reads it: −lr·λ·w
    independent  their own text, the decay not multiplied by the learning rate: −λ·w
    cautious     Chen et al. 2025: −lr·λ·w, where the step itself does not grow the weight
    proximal     the minimum of ½‖y − x‖² + ½·lr·λ·‖y‖², as in Adan: x/(1 + lr·λ)
    """
    if decay == "decoupled":
        return x - lr * weight_decay * w
    if decay == "independent":
        return x - weight_decay * w
    if decay == "cautious":
        return np.where((w - x) * w >= 0.0, x - lr * weight_decay * w, x)
    if decay == "proximal":
        return x / (1.0 + lr * weight_decay)
    raise ValueError(f"unknown decay {decay!r}, expected one of {DECAYS}")


def decayed(default: str = "decoupled") -> Callable[[Step], Step]:
    """Add `maximize`, `weight_decay` and `decay` to a step of one array."""

    def decorate(step: Step) -> Step:
        @functools.wraps(step)
        def wrapped(
            w: Array,
            g: Array,
            s: State,
            *,
            lr: float,
            maximize: bool = False,
            weight_decay: float = 0.0,
            decay: str = default,
            **options: Any,
        ) -> Array:
            g = -g if maximize else g
            if decay == INSIDE:
                return step(w, g, s, lr=lr, weight_decay=weight_decay, **options)
            if decay == "l2":
                return step(w, g + weight_decay * w, s, lr=lr, **options)
            x = step(w, g, s, lr=lr, **options)
            return decay_after(x, w, lr=lr, weight_decay=weight_decay, decay=decay)

        wrapped.options = {"maximize": False, "weight_decay": 0.0, "decay": default}
        return wrapped

    return decorate


def decayed_model(default: str = "decoupled") -> Callable[[ModelStep], ModelStep]:
    """Add `maximize`, `weight_decay` and `decay` to a step of the whole model."""

    def decorate(step: ModelStep) -> ModelStep:
        @functools.wraps(step)
        def wrapped(
            ws: list[Array],
            gs: list[Array],
            s: State,
            *,
            lr: float,
            maximize: bool = False,
            weight_decay: float = 0.0,
            decay: str = default,
            **options: Any,
        ) -> list[Array]:
            gs = [-g if maximize else g for g in gs]
            if decay == INSIDE:
                return step(ws, gs, s, lr=lr, weight_decay=weight_decay, **options)
            if decay == "l2":
                gs = [g + weight_decay * w for w, g in zip(ws, gs, strict=True)]
                return step(ws, gs, s, lr=lr, **options)
            xs = step(ws, gs, s, lr=lr, **options)
            return [
                decay_after(x, w, lr=lr, weight_decay=weight_decay, decay=decay)
                for x, w in zip(xs, ws, strict=True)
            ]

        wrapped.options = {"maximize": False, "weight_decay": 0.0, "decay": default}
        return wrapped

    return decorate
