"""The decorator that makes an update rule of a plain function, and checks it where it is defined."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, get_args, overload

from thalweg.engine.language.compose import check_link
from thalweg.engine.language.rule import Link, Rule, RuleKind
from thalweg.engine.program.shapes import Seen
from thalweg.errors import RuleError


@overload
def rule(function: Callable[..., Any], /) -> Rule: ...
@overload
def rule(
    *,
    lr_inside: bool = False,
    after_step: bool = False,
    of_gradient: bool = False,
    matrices: Seen = "first",
) -> Callable[[Callable[..., Any]], Rule]: ...


def rule(
    function: Callable[..., Any] | None = None,
    /,
    *,
    lr_inside: bool = False,
    after_step: bool = False,
    of_gradient: bool = False,
    matrices: Seen = "first",
) -> Any:
    """Make an update rule, a link for `chain`, of a plain function of tensors (a decorator).

    The signature is the declaration. The first positional argument is the incoming update (at the head of a
    chain: the gradient), `p` is the parameter, `gradient` the gradient at the head of the chain; every other
    positional argument is a state tensor, zero at first; annotated `Scalar`, with its first value as
    default, it is one float64 number instead; annotated `RowsByRows`, `ColumnsByColumns`, `EachRow` or
    `EachColumn` it has m × m, n × n, m or n numbers for a parameter that is seen as m × n. Keyword-only
    arguments are scalars: `t`, the step number of that parameter from 1, `lr`, the learning rate, and the
    hyperparameters with their defaults. Numbers may change at every step; bools and strings are switches,
    fixed while they stay the same, on which the rule may branch. Returned are the outgoing update, then the
    new states in their order. After the last rule of a chain the engine computes

        p ← p − lr·update

    The function works on whole tensors with PyTorch's elementwise functions and with what `thalweg` has for
    rules: the reductions `norm(u)`, `mean(u)`, `total(u)` and `largest(u)`, over the tensor or, with
    `scope="unit"` or `"all"`, over each slice along its first dimension or over all tensors of the step;
    `dimensions(u)`, their number; `noise(u, seed, t)`, standard normal. What a reduction gives may be kept in
    a `Scalar`. What is done with whole matrices (products, roots) is a function decorated by
    `thalweg.matrix_function`. A rule that keeps an average says so with `evaluated_at`. It never loops over
    parameters, branches on values or changes a tensor in place; one that does is refused here with a
    `RuleError`.

    Args:
        function: the rule.
        lr_inside: the update that it returns is multiplied by the learning rate already: p ← p − update.
        after_step: it stands after the step. Its first argument is the point where the step leads, and what
            it returns is where the parameter goes instead; `p` still is the point before the step.
        of_gradient: at the head of a chain its update still is a gradient, of another objective (a sign, a
            penalty), and `gradient` is what it returns.
        matrices: how a tensor of more than two dimensions is seen as a matrix: the first dimension × the rest
            ("first"), or a batch of matrices in the last two dimensions ("last"). A rule with a switch called
            `matrices` leaves it to that.

    >>> @rule
    ... def heavy_ball(g, v, *, momentum=0.9):
    ...     v = momentum * v + g
    ...     return v, v
    >>> heavy_ball(momentum=0.5)
    heavy_ball(momentum=0.5)

    A rule after the step, which keeps an average of the points, and a number that a reduction feeds:

    >>> import torch
    >>> from thalweg import Scalar, norm
    >>> @rule(after_step=True)
    ... def averaged(x, average, farthest: Scalar = 0.0, *, t, decay=0.99):
    ...     average = torch.where(t == 1, x, decay * average + (1 - decay) * x)
    ...     return x, average, torch.maximum(farthest, norm(x - average))
    >>> @averaged.evaluated_at
    ... def _(average):
    ...     return average
    """
    if matrices not in get_args(Seen):
        raise RuleError(f"matrices={matrices!r} must be 'first' or 'last'.")
    kind = RuleKind(lr_inside, after_step, of_gradient, matrices)
    if after_step and (lr_inside or of_gradient):
        raise RuleError(
            "A rule that stands after the step (after_step=True) returns a point, not an update or a "
            "gradient: leave out lr_inside and of_gradient."
        )
    return _define(function, kind) if function is not None else lambda f: _define(f, kind)


def _define(function: Callable[..., Any], kind: RuleKind) -> Rule:
    if not inspect.isfunction(function):
        raise RuleError(f"@rule makes a rule of a function, got {function!r}.")
    made = Rule(function, kind, check_link)
    empty = inspect.Parameter.empty
    values = {n: 0.0 if v is empty else v for n, v in made.signature.hyperparameters.items()}
    check_link(Link(made, values))
    return made
