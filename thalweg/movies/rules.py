"""A whole optimizer as JavaScript: what steps its first param group, and its numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from thalweg.engine.javascript.operations import operand, statement, text
from thalweg.engine.javascript.printed import print_rule
from thalweg.errors import TaskError
from thalweg.movies.traced import trace_point
from thalweg.optim.stepping.composition import Composition
from thalweg.optim.stepping.stepper import Stepper


@dataclass(frozen=True)
class PrintedOptimizer:
    """An optimizer's step as the text of a JavaScript object, and its numbers by the chain's names."""

    text: str
    hyperparameters: dict[str, float]
    averages: bool = False
    """Whether its model is to be evaluated elsewhere than where its steps lead, at an average."""


def print_optimizer(optimizer: object) -> PrintedOptimizer:
    """Return what steps the first param group of an optimizer, with all that goes around its rules.

    The sign (`maximize`), an L2 penalty, links before and after and the weight decay are in the text;
    numbers that are schedules have the values of the first step.

    Raises:
        TaskError: the optimizer is not a chain of rules, as solvers and wrappers are not.
        EngineError: a rule calls PyTorch outside the vocabulary.

    >>> import torch
    >>> from thalweg import optim
    >>> print_optimizer(optim.SGD([torch.zeros(2)], lr=0.1, momentum=0.9)).hyperparameters
    {'lr': 0.1, 'momentum': 0.9, 'dampening': 0.0}
    """
    if not isinstance(optimizer, Stepper):
        raise TaskError(
            f"{type(optimizer).__name__} is not a chain of rules, so a page cannot step it. Solvers are "
            "shown as recorded paths; of a wrapper, give the optimizer inside."
        )
    group = optimizer.param_groups[0]
    composition = optimizer.composition(group)
    program = composition.chain.program(composition.switches(group))
    states = composition.chain.scalar_states
    numbers = {
        name: float(composition.getter(name)(group))
        for name in program.scalars
        if name != "t" and name not in states
    }
    printed = print_rule(program, states)
    average = _average(composition, group)
    if average is None:
        return PrintedOptimizer(printed, numbers)
    return PrintedOptimizer(
        f"{printed.removesuffix('}')}  average: {average},\n}}", numbers, averages=True
    )


def _average(composition: Composition, group: dict[str, Any]) -> str | None:
    """Return the point of evaluation of one element as the text of a JavaScript function, if there is one."""
    place = next((p for p in reversed(composition.chain.places) if p.rule.evaluation), None)
    if place is None:
        return None
    found = place.rule.evaluation
    assert found is not None
    fixed = {
        own: composition.getter(full)(group)
        for own, full in place.names.items()
        if own in found.names and own in place.rule.signature.hyperparameters
    }
    moving = [name for name in found.names if name not in fixed]
    if not set(moving) <= {"p", *place.rule.signature.states}:
        return None

    def function(*given: Tensor) -> Any:
        return found.function(**dict(zip(moving, given, strict=True)), **fixed)

    traced = trace_point(function, moving, f"the average of {place.rule.name}")
    lines = []
    for value in traced.values:
        if value.op == "tensor":
            full = place.names.get(value.data, value.data)
            held = "point[0]" if value.data == "p" else f"state.tensors[{text(full)}][0]"
            lines.append(f"const {value.name} = {held}[i];")
        elif value.op != "constant":
            lines.append(statement(value))
    body = " ".join([*lines, f"return {operand(traced.returned)};"])
    return f"(point, state, i) => {{ {body} }}"
