"""Steps made of other steps: with links around them, for one array or all, with options fixed."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..reference import Array, State, Step
from .decay import ModelStep, decay_after

Arrays = list[Array]
# (updates, points, gradients) -> updates; and (points reached, points left, state, t) -> points
OfUpdates = Callable[[Arrays, Arrays, Arrays], Arrays]
OfPoints = Callable[[Arrays, Arrays, State, int], Arrays]

NOT_AN_OPTION = {"t", "lr", "noise"}


def options_of(step: Callable[..., Any]) -> dict[str, Any]:
    """Return the options of a step with their defaults: its own, and what was added around it."""
    parameters = inspect.signature(inspect.unwrap(step)).parameters.values()
    own = {
        p.name: p.default
        for p in parameters
        if p.kind is p.KEYWORD_ONLY and p.name not in NOT_AN_OPTION
    }
    options = {**own, **getattr(step, "options", {})}
    return {k: v for k, v in options.items() if k not in getattr(step, "fixed", ())}


def fixed(step: Step, **values: Any) -> Step:
    """Return a step some of whose options are not options any more."""

    @functools.wraps(step)
    def wrapped(*args: Any, **options: Any) -> Any:
        return step(*args, **options, **values)

    wrapped.fixed = tuple(values)
    return wrapped


def alone(step: ModelStep) -> Step:
    """Return a step of the whole model as a step of one array: the model is that array."""

    @functools.wraps(step)
    def wrapped(w: Array, g: Array, s: State, **options: Any) -> Array:
        return step([w], [g], s, **options)[0]

    return wrapped


def together(step: Step) -> ModelStep:
    """Return a step of one array as a step of the whole model."""

    @functools.wraps(step)
    def wrapped(ws: Arrays, gs: Arrays, s: State, **options: Any) -> Arrays:
        states = s.setdefault("each", [State() for _ in ws])
        return [step(*row, **options) for row in zip(ws, gs, states, strict=True)]

    return wrapped


def each(function: Callable[..., Array]) -> Callable[..., Arrays]:
    """Return a function of arrays as one of lists of arrays."""
    return lambda *several: [function(*row) for row in zip(*several, strict=True)]


def composed(
    base: ModelStep,
    *,
    before: Sequence[OfUpdates] = (),
    after: Sequence[OfUpdates] = (),
    ending: Sequence[OfPoints] = (),
    decay: str = "decoupled",
) -> ModelStep:
    """Return a step with links before its gradient, after its update, and after the step.

    The order: the sign, `before`, the L2 penalty, the rule, `after`, the step, the decay after the
    step, `ending`. A rule with a link on its update must not depend on the point, and be linear in lr.
    """

    @functools.wraps(base)
    def wrapped(
        ws: Arrays,
        gs: Arrays,
        s: State,
        *,
        t: int,
        lr: float,
        maximize: bool = False,
        weight_decay: float = 0.0,
        decay: str = decay,
        **options: Any,
    ) -> Arrays:
        gradients = gs = [-g if maximize else g for g in gs]
        for link in before:
            gs = link(gs, ws, gradients)
        if decay == "l2":
            gs = [g + weight_decay * w for w, g in zip(ws, gs, strict=True)]
            gradients = gradients if before else gs
        own = s.setdefault("own", State())
        if after:
            zeros = [np.zeros_like(w) for w in ws]
            us = [-x for x in base(zeros, gs, own, t=t, lr=1.0, **options)]
            for link in after:
                us = link(us, ws, gradients)
            xs = [w - lr * u for w, u in zip(ws, us, strict=True)]
        else:
            xs = base(ws, gs, own, t=t, lr=lr, **options)
        if decay != "l2":
            rows = zip(xs, ws, strict=True)
            given = {"lr": lr, "weight_decay": weight_decay, "decay": decay}
            xs = [decay_after(x, w, **given) for x, w in rows]
        for k, link in enumerate(ending):
            xs = link(xs, ws, s.setdefault(f"ending {k}", State()), t)
        return xs

    wrapped.options = {"maximize": False, "weight_decay": 0.0, "decay": decay}
    return wrapped


def of_points(function: Callable[..., Array], **options: Any) -> OfPoints:
    """Return an average of points `function(x, s, t=…)`, which leaves the points where they are."""

    def link(xs: Arrays, ws: Arrays, s: State, t: int) -> Arrays:
        states = s.setdefault("each", [State() for _ in xs])
        for x, state in zip(xs, states, strict=True):
            state["evaluated"] = function(x, state, t=t, **options)
        return xs

    return link
