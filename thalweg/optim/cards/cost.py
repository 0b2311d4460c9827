"""What a step costs in addition to the parameter and its gradient: states, and passes over the data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from thalweg.engine import Chain
from thalweg.engine.cpu.backend import program_problem
from thalweg.engine.program.shapes import text_of
from thalweg.optim.stepping.stepper import Stepper

_LARGE = 2**20
"""Numbers of a parameter that stands for large ones."""
FLOAT32 = 4
"""Bytes of a number in float32."""


@dataclass(frozen=True)
class StepCost:
    """What a step of a chain costs, counted in its program."""

    states: tuple[str, ...]
    """Its states of the shape of the parameter."""
    numbers: tuple[str, ...]
    """Its states that are one float64 number for each tensor."""
    passes: int
    """How often a step goes over the data: once, and once more for each reduction in a row."""
    problem: str | None
    """Why it cannot be fused into kernels on this machine's CPU, or None."""
    couples: bool
    """Whether the step of one tensor depends on all tensors."""
    matrices: Mapping[str, str] = field(default_factory=dict)
    """Its states of other shapes, for a parameter of m × n: "m × m", "m × 1" and the like."""
    kept: float | None = None
    """Bytes of state for each number of a large float32 parameter, where not all states are float32."""

    @property
    def bytes(self) -> float:
        """Bytes of state for each number of a float32 parameter, without those of other shapes."""
        return FLOAT32 * len(self.states) if self.kept is None else self.kept

    def as_dict(self) -> dict[str, Any]:
        """Return the cost as plain data."""
        return {
            "states": list(self.states),
            "states_of_other_shapes": dict(self.matrices),
            "numbers_per_tensor": list(self.numbers),
            "state_bytes_per_parameter": self.bytes,
            "passes": self.passes,
            "fused": self.problem is None,
            "problem": self.problem,
            "couples_all_tensors": self.couples,
        }


def cost_of(optimizer: Stepper) -> StepCost:
    """Return what a step of an optimizer's first group costs.

    >>> import torch
    >>> from thalweg import optim
    >>> adam = optim.Adam([torch.nn.Parameter(torch.zeros(1))])
    >>> cost_of(adam).states, cost_of(adam).bytes, cost_of(adam).passes
    (('exp_avg', 'exp_avg_sq'), 8, 1)
    >>> cost_of(optim.Adam([torch.nn.Parameter(torch.zeros(1))], state_dtype="bfloat16")).bytes
    4.0
    """
    group = optimizer.param_groups[0]
    composition = optimizer.composition(group)
    cost = step_cost(composition.chain, composition.switches(group), optimizer.state_names)
    if optimizer.keeping.state_dtype is None:
        return cost
    large = torch.empty(_LARGE, device="meta")
    sizes = optimizer.kept_states(group, large).sizes(large)
    return replace(cost, kept=sum(size for _, size in sizes.values()) / _LARGE)


def step_cost(made: Chain, switches: Mapping[str, Any], called: Mapping[str, str]) -> StepCost:
    """Return what a step of a chain costs.

    Args:
        made: the chain.
        switches: the switches that are not at their defaults.
        called: what states are called in `optimizer.state`, where they are not called the same.
    """
    program = made.program({**made.hyperparameters, **switches})
    return StepCost(
        tuple(called.get(name, name) for name in made.states),
        tuple(called.get(name, name) for name in made.scalar_states),
        program.stages + 1,
        program_problem(program),
        any(value.is_reduction and value.data == "all" for value in program.reached()),
        {called.get(name, name): text_of(shape) for name, shape in program.matrix_states.items()},
    )
