"""`Optimizer`: any chain as a true `torch.optim.Optimizer`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn

from thalweg.engine import Chain, Link, Rule, chain
from thalweg.engine.backends import Engine, check_engine
from thalweg.optim.stepping import scheduled
from thalweg.optim.stepping.checks import Group, check_range, is_ours
from thalweg.optim.stepping.composition import Composition
from thalweg.optim.stepping.keeping import Rounding, StateDtype, keeping_of
from thalweg.optim.stepping.steppable import with_names
from thalweg.optim.stepping.stepper import Stepper


class Optimizer(Stepper):
    """Steps parameters by a chain of rules.

        p ← p − lr·update

    Args:
        params: a module, or what `torch.optim` takes: tensors, named tensors, or groups. From a module or
            named tensors the names are kept, and saved with the state.
        rule: a chain, a rule, or a rule with its hyperparameters.
        lr: learning rate, by default 0.001; a number, a 0-d tensor or a schedule, a function from the number
            of steps taken to the learning rate. `param_groups` may hold another.
        engine: "auto" takes the fastest for each tensor: compiled kernels, else PyTorch's calls on lists of
            tensors, else on one tensor after the other; "eager" takes the last one for all; "fused",
            "foreach" and "triton" (on a GPU) fail where they cannot run the chain.
        capturable: with engine="triton", keep step numbers on the GPU: no step waits for it, a CUDA graph can
            repeat a step, and `torch.amp.GradScaler` leaves its scale to the kernels.
        state_dtype: "float32", "bfloat16" (rounded stochastically) or "int8" (8 bits, with a scale for each
            256 numbers) for the states; None is the parameter's own dtype. Points at which a model is
            evaluated, and step sizes, stay wide.
        rounding: of parameters in bfloat16: "nearest", "stochastic", or "remainder", which keeps what is
            rounded off as a state of 16 bits, so that they move as float32 parameters.

    Every hyperparameter of the chain is an entry of the parameter groups, and may differ between groups and
    change between steps.

    Raises:
        ValueError: a negative learning rate, capturable with another engine, or PyTorch's own errors about
            parameters.
        RuleError: `rule` is not a rule or a chain of rules.

    >>> import torch
    >>> from thalweg import Optimizer, chain
    >>> from thalweg.rules import adam, clip_by_norm, decay
    >>> model = torch.nn.Linear(2, 1)
    >>> optimizer = Optimizer(
    ...     model, chain(clip_by_norm(1.0), adam(beta2=0.95), decay(0.1)), lr=3e-4
    ... )
    >>> model(torch.ones(2)).sum().backward()
    >>> optimizer.step()
    """

    def __init__(
        self,
        params: nn.Module | Iterable[Any],
        rule: Chain | Link | Rule,
        lr: float | Tensor = 1e-3,
        *,
        engine: Engine = "auto",
        capturable: bool = False,
        state_dtype: StateDtype | None = None,
        rounding: Rounding = "nearest",
    ) -> None:
        check_engine(engine, capturable)
        self.chain = rule if isinstance(rule, Chain) else chain(rule)
        self._composition = Composition(self.chain)
        self.engine = engine
        self.keeping = keeping_of(state_dtype, rounding)
        values = {"lr": lr, **self.chain.hyperparameters}
        numbers, self._default_schedules = scheduled.split(values)
        places = [place for place in self.chain.places if is_ours(place.rule)]
        known = {full for place in places for full in place.names.values()}
        self._checked = frozenset({"lr", *known} & set(numbers))
        for name in self._checked:
            check_range(name, numbers[name], numbers[name])
        super().__init__(with_names(params), numbers | ({"capturable": True} if capturable else {}))
        self._step_supports_amp_scaling = self._is_capturable()

    def composition(self, group: Group) -> Composition:
        """Return the chain: the same for every group."""
        return self._composition


def stepping(
    rules: Chain | Link | Rule, params: Iterable[Any], lr: Any = None, **values: Any
) -> Optimizer:
    """Return the optimizer of a chain with these hyperparameters in all groups; `lr` None is its default.

    Raises:
        RuleError: a hyperparameter that the chain has not.
    """
    whole = chain(rules)
    whole.with_values(values)  # says which names there are
    groups = list(params)
    if not (groups and isinstance(groups[0], dict)):
        groups = [{"params": groups}]
    rate = {} if lr is None else {"lr": lr}
    return Optimizer([{**group, **values} for group in groups], whole, **rate)
