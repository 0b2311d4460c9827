"""A whole optimizer as JavaScript: what steps its first param group, and its numbers."""

from __future__ import annotations

from dataclasses import dataclass

from thalweg.engine.javascript.printed import print_rule
from thalweg.errors import TaskError
from thalweg.optim.stepping.stepper import Stepper


@dataclass(frozen=True)
class PrintedOptimizer:
    """An optimizer's step as the text of a JavaScript object, and its numbers by the chain's names."""

    text: str
    hyperparameters: dict[str, float]


def print_optimizer(optimizer: object) -> PrintedOptimizer:
    """Return what steps the first param group of an optimizer, with all that goes around its rules.

    The sign (`maximize`), an L2 penalty, links before and after and the weight decay are in the text;
    numbers that are schedules have the values of the first step.

    Raises:
        TaskError: the optimizer is no chain of rules, as solvers and wrappers are not.
        EngineError: a rule calls PyTorch outside the vocabulary.

    >>> import torch
    >>> from thalweg import optim
    >>> print_optimizer(optim.SGD([torch.zeros(2)], lr=0.1, momentum=0.9)).hyperparameters
    {'lr': 0.1, 'momentum': 0.9, 'dampening': 0.0}
    """
    if not isinstance(optimizer, Stepper):
        raise TaskError(
            f"{type(optimizer).__name__} is no chain of rules, so a page cannot step it. Solvers are shown "
            "as recorded paths; of a wrapper, give the optimizer inside."
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
    return PrintedOptimizer(print_rule(program, states), numbers)
