"""The list of checks, in the order in which they run."""

from __future__ import annotations

import inspect
from collections.abc import Callable

from thalweg.testing.call import (
    autograd_left_alone,
    closure,
    closure_released,
    grad_scaler,
    in_place,
    stale_graph,
    step_hooks,
)
from thalweg.testing.gradients import (
    accumulation,
    alone,
    gradient_untouched,
    late_gradient,
    non_finite,
    none_gradient,
    reused_gradient,
    sparse_gradient,
    zero_grad,
)
from thalweg.testing.groups import (
    add_param_group,
    duplicates_refused,
    empty_refused,
    generator,
    groups,
    learning_rate_zero,
    maximize,
    scheduler,
)
from thalweg.testing.state import deepcopied, determinism, pickled, resume, state_dtype
from thalweg.testing.subject import Subject
from thalweg.testing.tensors import (
    bfloat16,
    empty_parameter,
    first_steps,
    gradient_layout,
    layouts,
    scalar_parameter,
)

Check = Callable[[Subject], str | None]
"""Runs the subject; returns a remark or nothing; raises `Failed` or `Skipped`."""

_ALL: tuple[Check, ...] = (
    first_steps,
    gradient_untouched,
    reused_gradient,
    alone,
    none_gradient,
    late_gradient,
    accumulation,
    non_finite,
    sparse_gradient,
    zero_grad,
    groups,
    scheduler,
    learning_rate_zero,
    add_param_group,
    maximize,
    empty_refused,
    duplicates_refused,
    generator,
    resume,
    state_dtype,
    deepcopied,
    pickled,
    determinism,
    closure,
    closure_released,
    step_hooks,
    grad_scaler,
    stale_graph,
    autograd_left_alone,
    in_place,
    layouts,
    gradient_layout,
    scalar_parameter,
    empty_parameter,
    bfloat16,
)

CHECKS: dict[str, Check] = {function.__name__: function for function in _ALL}
"""Every check by its name. The docstring says what it demands, and why."""


_MOVES = (scheduler, learning_rate_zero, stale_graph, in_place, bfloat16)
"""The checks of what moves parameters."""
_SINGLE = (
    first_steps,
    gradient_untouched,
    none_gradient,
    zero_grad,
    learning_rate_zero,
    empty_refused,
    duplicates_refused,
    determinism,
    closure_released,
    step_hooks,
    stale_graph,
    autograd_left_alone,
    in_place,
)
"""The checks that do not compare one run with another."""


def left_out(name: str, subject: Subject) -> str | None:
    """Return why a check is left out, or None: it would repeat what another one has found."""
    if subject.still and CHECKS[name] in _MOVES:
        return "parameters do not move (see `first_steps`)"
    if not subject.repeatable and CHECKS[name] not in _SINGLE:
        return "compares runs, and no two runs are equal (see `determinism`)"
    return None


def contract(name: str) -> str:
    """Return what a check demands: the first sentence of its docstring.

    >>> contract("empty_refused")
    'An empty list of parameters is refused with a `ValueError`.'
    """
    return " ".join((inspect.getdoc(CHECKS[name]) or "").split("\n\n")[0].split())
