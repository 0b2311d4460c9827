"""Optimizers with links before and after their own rules, and the transcriptions composed likewise."""

from __future__ import annotations

import functools
from typing import Any

from thalweg import rules

from .. import reference
from ..reference import Array, State
from ..references import average, free, noisy, scale, sign
from ..references.compose import alone, composed, each, of_points, together
from .case import Case

sgd, adam, lion = together(reference.sgd), together(reference.adam), together(sign.lion)
rmsprop = together(reference.rmsprop)


def clipped_to(norm: float) -> Any:
    return lambda us, ws, gs: scale.clip_by_global_norm(us, norm)


def clipped_by_unit(clipping: float) -> Any:
    return each(lambda u, w, g: scale.clip_by_unit(u, w, clipping=clipping))


def looking_ahead(every: int, alpha: float) -> Any:
    def link(xs: list[Array], ws: list[Array], s: State, t: int) -> list[Array]:
        states = s.setdefault("each", [State() for _ in xs])
        rows = zip(xs, ws, states, strict=True)
        return [average.lookahead(*row, t=t, every=every, alpha=alpha) for row in rows]

    return link


centralized = each(lambda u, w, g: scale.centralize(u))
normalized = each(lambda u, w, g: scale.normalize(u, eps=0.1))
cautious = each(lambda u, w, g: scale.cautious(u, g))


@functools.wraps(reference.sgd)
def noisy_sgd(
    w: Array, g: Array, s: State, *, t: int, noise: Array, seed: int, maximize: bool, **options: Any
) -> Array:
    """SGD on gradients with noise; `seed` names the noise, which the caller has drawn."""
    g = noisy.gradient_noise(-g if maximize else g, noise, t=t, eta=0.5, gamma=0.6)
    return reference.sgd(w, g, s, t=t, **options)


noisy_sgd.options = {**reference.sgd.options, "seed": 5}


# a sum over the tensor, or nothing but elements: one array is a model of its own
BY_TENSOR: list[Case] = [
    Case(
        "Adam",
        {
            "lr": 0.01,
            "before": [rules.centralize(), rules.clip_by_unit(clipping=0.5)],
        },
        alone(composed(adam, before=[centralized, clipped_by_unit(0.5)], decay="l2")),
    ),
    Case(
        "Adam",
        {"lr": 0.01, "after": rules.cautious(), "weight_decay": 0.1, "maximize": True},
        alone(composed(adam, after=[cautious], decay="l2")),
    ),
    Case(
        "Lion",
        {"lr": 0.01, "after": rules.cautious(), "weight_decay": 0.1},
        alone(composed(lion, after=[cautious])),
        jumps=True,
    ),
    Case(
        "SGD",
        {"lr": 0.01, "momentum": 0.9, "dialect": "paper", "before": rules.normalize(eps=0.1)},
        alone(composed(sgd, before=[normalized], decay="l2")),
    ),
    Case(
        "Adam",
        {"lr": 0.01, "after": rules.clip_by_unit(clipping=0.5), "weight_decay": 0.1},
        alone(composed(adam, after=[clipped_by_unit(0.5)], decay="l2")),
    ),
    Case(
        "Adam",
        {"lr": 0.01, "after": rules.lookahead(every=3, alpha=0.8), "weight_decay": 0.1},
        alone(composed(adam, ending=[looking_ahead(3, 0.8)], decay="l2")),
    ),
    Case(
        "Lion",
        {"lr": 0.01, "after": rules.lookahead(every=4), "weight_decay": 0.1, "decay": "cautious"},
        alone(composed(lion, ending=[looking_ahead(4, 0.5)])),
        jumps=True,
    ),
    Case(
        "AdamW",
        {"lr": 0.01, "after": rules.ema(decay=0.9, warmup=True), "weight_decay": 0.1},
        alone(composed(adam, ending=[of_points(average.ema, decay=0.9, warmup=True)])),
    ),
    Case(
        "RMSprop",
        {"dialect": "paper", "momentum": 0.9, "after": rules.polyak(start=3)},
        alone(composed(rmsprop, ending=[of_points(average.polyak, start=3)], decay="l2")),
    ),
    Case(
        "SGD",
        {"lr": 0.01, "after": [rules.lookahead(every=2), rules.swa(start=2, every=3)]},
        alone(
            composed(
                sgd,
                ending=[looking_ahead(2, 0.5), of_points(average.swa, start=2, every=3)],
                decay="l2",
            )
        ),
    ),
    Case(
        "SGD",
        {
            "momentum": 0.9,
            "dialect": "paper",
            "before": rules.gradient_noise(eta=0.5, gamma=0.6, seed=5),
        },
        noisy_sgd,
        kind="noise",
    ),
]
# a norm over all tensors
BY_MODEL: list[Case] = [
    Case(
        "SGD",
        {
            "lr": 0.05,
            "momentum": 0.9,
            "dialect": "paper",
            "before": rules.clip_by_global_norm(max_norm=1.5),
        },
        composed(sgd, before=[clipped_to(1.5)], decay="l2"),
        kind="model",
    ),
    Case(
        "Lion",
        {"lr": 0.01, "before": rules.normalize(scope="all"), "weight_decay": 0.1, "decay": "l2"},
        composed(lion, before=[lambda us, ws, gs: scale.normalize_all(us)]),
        kind="model",
        jumps=True,
    ),
    Case(
        "Adam",
        {
            "lr": 0.01,
            "before": rules.clip_by_global_norm(max_norm=1.0),
            "after": [rules.cautious(), rules.ema(decay=0.8)],
            "weight_decay": 0.1,
            "decay": "decoupled",
            "maximize": True,
        },
        composed(
            adam,
            before=[clipped_to(1.0)],
            after=[cautious],
            ending=[of_points(average.ema, decay=0.8)],
            decay="l2",
        ),
        kind="model",
    ),
    Case(
        "DoG",
        {"lr": 1.0, "relative": 0.1, "after": rules.polyak(), "weight_decay": 0.1},
        composed(free.dog, ending=[of_points(average.polyak)], decay="l2"),
        kind="model",
    ),
]
AROUND = [*BY_TENSOR, *BY_MODEL]
