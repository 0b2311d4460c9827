"""The functional face of a chain: one pure step, run eagerly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from thalweg.engine.eager.printed import eager_program
from thalweg.engine.matrix.printed import fitted
from thalweg.engine.passes import Pass, reductions_over_all, run_together
from thalweg.engine.precision import own_precision
from thalweg.engine.program.printing import host_function
from thalweg.engine.program.program import Program
from thalweg.engine.storage import elements
from thalweg.errors import RuleError


def functional_step(
    program: Program, p: Any, g: Any, state: Mapping[str, Any], values: Mapping[str, Any]
) -> tuple[Any, dict[str, Any]]:
    """Run one pure step on a tensor or a dict of tensors (see `Chain.step`).

    `values` are lr and the hyperparameters by name, numbers or 0-d tensors.
    """
    states = (*program.states, *program.matrix_states)
    _check_state(program, state)
    t = state["t"] + 1
    known = {**values, **{s: state[s] for s in program.scalar_outputs}, "t": t}
    reads, scalars = _on_host(program, [known[name] for name in program.scalars])
    one = not isinstance(p, Mapping)
    names = [None] if one else list(p)
    leaves = [
        [tree if one else tree[name] for tree in (g, p, *(state[s] for s in states))]
        for name in names
    ]
    kept = [state[s] for s in program.number_outputs]
    # one number for all where the chain's own switches are others than those of this step
    numbers = [[x[name] if isinstance(x, Mapping) else x for x in kept] for name in names]
    results = _run(program, leaves, reads, numbers)
    fitted = [_fitted(program, result, leaf) for result, leaf in zip(results, leaves, strict=True)]
    new = [
        fitted[0][k] if one else {name: fit[k] for name, fit in zip(names, fitted, strict=True)}
        for k in range(1 + len(states))
    ]
    after = {"t": t, **dict(zip(states, new[1:], strict=True))}
    after |= dict(zip(program.scalar_outputs, scalars, strict=True))
    for k, name in enumerate(program.number_outputs, start=len(program.outputs)):
        each = [x.double() if isinstance(x := r[k], Tensor) else x for r in results]
        after[name] = each[0] if one else dict(zip(names, each, strict=True))
    return new[0], after


def _fitted(program: Program, result: Sequence[Any], leaf: Sequence[Tensor]) -> list[Tensor]:
    """Return the new parameter and states with the shapes and dtypes of the old."""
    own = len(program.outputs)
    new = [_like(x, old) for x, old in zip(result[:own], leaf[1:], strict=False)]
    after = result[own + len(program.number_outputs) :]
    old = leaf[1 + own :]
    return new + [fitted(x, s).to(s.dtype) for x, s in zip(after, old, strict=True)]


def _on_host(program: Program, given: Sequence[Any]) -> Any:
    """Return the scalars that the passes read, and the new scalar states."""
    host = host_function(program)
    return (host.on_tensors if any(isinstance(x, Tensor) for x in given) else host)(*given)


def _run(
    program: Program,
    leaves: Sequence[Sequence[Tensor]],
    reads: Sequence[Any],
    numbers: Sequence[Sequence[Any]],
) -> list[Any]:
    """Return what the program computes of each leaf: gradient, parameter, states."""
    form = eager_program(program)
    count = sum(elements(leaf[1]) for leaf in leaves)
    results: list[Any] = [None] * len(leaves)

    def run(k: int) -> Pass:
        results[k] = yield from form.run(leaves[k], reads, count, k, numbers[k])

    over_all = reductions_over_all(program)
    may_be_cast = program.sees_matrices or program.foreign
    with own_precision({leaf[1].device.type for leaf in leaves} if may_be_cast else ()):
        run_together([(run(k), over_all) for k in range(len(leaves))])
    return results


def _check_state(program: Program, state: Mapping[str, Any]) -> None:
    wanted = ("t", *program.states, *program.matrix_states, *program.kept)
    missing = [name for name in wanted if name not in state]
    if missing:
        raise RuleError(
            f"The state lacks {', '.join(missing)}. Begin with state = chain.init(p), and give each step the "
            "state that the step before returned."
        )
    for name in program.scalar_outputs:
        if isinstance(state[name], Mapping):
            raise RuleError(
                f"The state {name!r} is a dict of one number for each tensor, but with the switches of this "
                "step it is one number for all tensors. Keep the switches of the steps before."
            )


def _like(x: Any, old: Tensor) -> Tensor:
    """Return a result with the shape and dtype of what it replaces."""
    if old.is_complex():
        return torch.view_as_complex(_like(x, torch.view_as_real(old)).contiguous())
    if not isinstance(x, Tensor):
        return torch.full_like(old, x)
    x = x if x.dtype == old.dtype else x.to(old.dtype)
    fitted: Tensor = x if x.shape == old.shape else x.expand_as(old)
    return fitted
