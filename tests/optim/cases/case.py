"""What a row of the case table is: one optimizer with one set of options, and what it is held to."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from thalweg.optim.stepping.composition import DECAYS

# Without the key, its values mean nothing or are refused.
DEPENDENTS = {
    "momentum": ("dampening", "nesterov"),
    "weight_decay": ("decoupled_weight_decay", "decay"),
}
# Arguments that choose an implementation, and those that have tests of their own.
NOT_EXERCISED = {
    "params",
    "foreach",
    "fused",
    "capturable",
    "state_dtype",
    "rounding",
    "differentiable",
    "engine",
    "dialect",
    "lr",
    "newton",
    "precondition_1d",
}
# Arguments that the classes of torch.optim have not.
OURS_ALONE = {"dialect", "decay", "before", "after", "beta1"}
# Arguments that a transcription does not take: each of their values has a transcription of its own.
EMBODIED = {"dialect", "before", "after", "amsgrad", "centered"}


@dataclass(frozen=True, eq=False)
class Case:
    """One optimizer with one set of options.

    Kinds: "tensor", a step of one array; "noise", the same with the noise of that step besides;
    "model", a step of all arrays, which depend on one another.
    """

    optimizer: str
    options: dict[str, Any] = field(default_factory=dict)
    reference: Callable[..., Any] | None = None
    kind: str = "tensor"
    jumps: bool = False
    """Whether a step jumps where a state or an update changes its sign, so that a rounding decides."""

    @property
    def name(self) -> str:
        settings = [
            key if value is True else str(value) if key == "dialect" else f"{key}={value}"
            for key, value in self.options.items()
        ]
        return "-".join([self.optimizer, *settings]).replace(" ", "")

    @property
    def parameters(self) -> Mapping[str, inspect.Parameter]:
        """The arguments of the optimizer."""
        from thalweg import optim

        return inspect.signature(getattr(optim, self.optimizer)).parameters

    @property
    def has_twin(self) -> bool:
        """Whether torch.optim has the same."""
        return hasattr(torch.optim, self.optimizer) and not OURS_ALONE & set(self.options)

    @property
    def is_coupled(self) -> bool:
        """Whether a step of one tensor depends on the others, by a sum over all of them.

        Then an absent gradient, another group or another dtype changes every tensor's path.
        """
        return self.kind == "model"

    @property
    def is_of_matrices(self) -> bool:
        """Whether a step works with whole matrices: no list of tensors can, and complex ones are refused."""
        return self.optimizer in ("Adafactor", "SOAP", "Shampoo")

    @property
    def draws_noise(self) -> bool:
        """Whether a step depends on a parameter's place: which one it is, and its order in memory."""
        return self.kind == "noise"

    @property
    def decays_cautiously(self) -> bool:
        """Whether the weight decay depends on the sign of a step, which may be lost in a rounding."""
        return self.options.get("decay") == "cautious"

    @property
    def decays_apart(self) -> bool:
        """Whether the weight decay is a factor of the parameter, not a part of the gradient."""
        return self.optimizer == "AdamW" or "decoupled_weight_decay" in self.options

    @property
    def program(self) -> tuple[object, ...]:
        """What a step runs: rules and switches. Numbers are inputs of it.

        What decays and what turns the sign are rules of their own, the same beside all others: of an
        optimizer that torch.optim has not they do not count.
        """
        optimizer = self.ours([torch.nn.Parameter(torch.zeros(1))])
        (group,) = optimizer.param_groups
        composition = optimizer.composition(group)
        shared = set() if self.has_twin else {"negate", *(rule.name for rule in DECAYS.values())}
        names = [place.rule.name for place in composition.chain.places]
        rules = tuple(name for name in names if name not in shared)
        return (self.optimizer, self.has_twin, rules, *composition.switches(group).items())

    @property
    def exercises(self) -> list[str]:
        """The arguments that the case sets to something other than their defaults."""
        return [
            key
            for key, value in self.options.items()
            if key not in NOT_EXERCISED and value != self.parameters[key].default
        ]

    @property
    def lr(self) -> float:
        """The learning rate, the default where the case gives none."""
        return float(self.options.get("lr", self.parameters["lr"].default))

    def having(self, **options: Any) -> Case:
        """Return the case with other options."""
        return dataclasses.replace(self, options={**self.options, **options})

    def without(self, argument: str) -> Case:
        """Return the case without an argument and without what has no meaning then."""
        dropped = (argument, *DEPENDENTS.get(argument, ()))
        kept = {key: value for key, value in self.options.items() if key not in dropped}
        return dataclasses.replace(self, options=kept)

    def of_torch(self) -> Case | None:
        """Return what torch.optim's class of the same name makes of it, if there is one."""
        if not hasattr(torch.optim, self.optimizer):
            return None
        kept = {key: value for key, value in self.options.items() if key not in OURS_ALONE}
        return Case(self.optimizer, kept)

    def theirs(self, params: Any, **options: Any) -> torch.optim.Optimizer:
        """Build torch.optim's own, in its plain loop."""
        assert self.has_twin
        factory = getattr(torch.optim, self.optimizer)
        if self.optimizer == "Adafactor":
            params = without_empty(params)
        return factory(params, **{"foreach": False, **self.options, **options})

    def transcribed(self, params: Any, **options: Any) -> torch.optim.Optimizer:
        """Build the NumPy transcription as an optimizer."""
        from ..transcription import Transcription

        return Transcription(params, self, **options)

    def oracle(self, params: Any, **options: Any) -> torch.optim.Optimizer:
        """Build torch.optim's own where it has the case, else the transcription."""
        make = self.theirs if self.has_twin else self.transcribed
        return make(params, **options)

    def ours(self, params: Any, **options: Any) -> torch.optim.Optimizer:
        from thalweg import optim

        return getattr(optim, self.optimizer)(params, **{**self.options, **options})


def without_empty(params: Any) -> Any:
    """Leave out tensors without elements, on which PyTorch's Adafactor divides by zero."""
    if isinstance(params, dict):
        return {**params, "params": without_empty(params["params"])}
    if not isinstance(params, list):
        return params
    full = [x for x in params if not isinstance(x, torch.Tensor) or x.numel()]
    return [without_empty(x) if isinstance(x, dict) else x for x in full]


def rows(
    optimizer: str,
    reference: Callable[..., Any] | None,
    *sets: dict[str, Any],
    kind: str = "tensor",
    jumps: bool = False,
) -> list[Case]:
    """Return a case for each set of options."""
    return [Case(optimizer, options, reference, kind, jumps) for options in sets]
