"""`Optimizer`: any chain, or several by route, as a true `torch.optim.Optimizer`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor, nn

from thalweg.engine import Chain, Link, Rule, chain
from thalweg.engine.backends import Engine, check_engine, engine_on_device
from thalweg.errors import RuleError
from thalweg.optim.routing.groups import filled, in_order, multiplied, no_route
from thalweg.optim.routing.match import routed
from thalweg.optim.routing.route import Routing
from thalweg.optim.routing.table import RouteTable, table_of
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
        rule: a chain, a rule, or a rule with its hyperparameters; or chains by route (`thalweg.route`), for
            parameters of different kinds: then `params` is the model.
        lr: learning rate, by default 0.001; a number, a 0-d tensor or a schedule, a function from the number
            of steps taken to the learning rate. `param_groups` may hold another.
        engine: "auto" takes the fastest for each tensor: compiled kernels, else PyTorch's calls on lists of
            tensors, else on one tensor after the other; "eager" takes the last one for all; "fused",
            "foreach" and "triton" (on a GPU) fail where they cannot run the chain.
        capturable: keep step numbers on the GPU, with engine="foreach", which "auto" is then, or "triton": no
            step waits for it, a CUDA graph can repeat a step, and `torch.amp.GradScaler` leaves its scale to
            Triton's kernels.
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
        RuleError: `rule` is not a rule or a chain of rules, or routes and the model do not fit.

    >>> import torch
    >>> from thalweg import Optimizer, chain
    >>> from thalweg.rules import adam, clip_by_norm, decay
    >>> model = torch.nn.Linear(2, 1)
    >>> optimizer = Optimizer(
    ...     model, chain(clip_by_norm(1.0), adam(beta2=0.95), decay(0.1)), lr=3e-4
    ... )
    >>> model(torch.ones(2)).sum().backward()
    >>> optimizer.step()
    >>> from thalweg import route
    >>> Optimizer(model, route(bias=adam(), rest=chain(adam(), decay(0.1)))).param_groups[1][
    ...     "route"
    ... ]
    'rest'
    """

    def __init__(
        self,
        params: nn.Module | Iterable[Any],
        rule: Chain | Link | Rule | Routing,
        lr: float | Tensor | scheduled.ScheduleFunction = 1e-3,
        *,
        engine: Engine = "auto",
        capturable: bool = False,
        state_dtype: StateDtype | None = None,
        rounding: Rounding = "nearest",
    ) -> None:
        check_engine(engine)
        self.routing = rule if isinstance(rule, Routing) else None
        chains = {"": chain(rule)} if not isinstance(rule, Routing) else rule.chains
        self._compositions = {name: Composition(each) for name, each in chains.items()}
        self._kinds: dict[str, tuple[str, str]] = {}
        self.engine = engine
        self.keeping = keeping_of(state_dtype, rounding)
        first = {n: v for each in chains.values() for n, v in each.hyperparameters.items()}
        numbers, schedules = scheduled.split({"lr": lr, **first})
        self._checked = frozenset({"lr", *_of_ours(chains.values())} & set(numbers))
        for name in self._checked:
            check_range(name, numbers[name], numbers[name])
        given = with_names(params)
        if self.routing is not None:
            self._numbers = numbers
            given, numbers, schedules = self._grouped(params, lr), {"lr": numbers["lr"]}, {}
        self._default_schedules = schedules
        super().__init__(given, numbers | ({"capturable": True} if capturable else {}))
        if capturable:
            self.engine = engine_on_device(engine, self.param_groups)
        self._step_supports_amp_scaling = self._takes_loss_scale()

    def _grouped(self, params: Any, lr: Any) -> list[Group]:
        """Return the param groups of the routes."""
        assert self.routing is not None
        every = routed(self.routing, params)
        self._kinds = {each.name: (each.kind, each.by) for each in every}
        return [
            {
                "params": [(each.name, each.parameter) for each in every if each.route == name],
                "route": name,
                "lr": multiplied(lr, self.routing.lr_factors.get(name, 1.0)),
                **whole.hyperparameters,
            }
            for name, whole in self.routing.chains.items()
            if any(each.route == name for each in every)
        ]

    @property
    def chain(self) -> Chain:
        """The chain that steps all parameters.

        Raises:
            AttributeError: where there are routes, each with a chain of its own.
        """
        if self.routing is not None:
            raise AttributeError(
                "this optimizer has routes, each with a chain of its own: optimizer.routing.chains"
            )
        return self._compositions[""].chain

    def composition(self, group: Group) -> Composition:
        """Return the chain of a group: that of its route, or the only one there is."""
        if self.routing is None:
            return self._compositions[""]
        try:
            return self._compositions[group["route"]]
        except KeyError:
            raise RuleError(no_route(group, self.routing)) from None

    def add_param_group(self, param_group: Group) -> None:
        """Add a group of parameters; where there are routes, its entry "route" names the one it takes."""
        if self.routing is not None and isinstance(param_group, dict):
            param_group = filled(self.routing, param_group, self.defaults)
        super().add_param_group(param_group)

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Load a state: groups are found by their routes, parameters by name (`Stepper.load_state_dict`)."""
        if self.routing is not None:
            state_dict = in_order(self.param_groups, state_dict)
        super().load_state_dict(state_dict)

    def routes(self) -> RouteTable:
        """Return how each parameter is stepped: name, kind, route, shape, learning rate, decay, states."""
        return table_of(self, self.form, self.state_sizes, self._kinds)

    def _outer_defaults(self) -> dict[str, Any]:
        """Return the hyperparameters that groups may have besides those of all groups."""
        return {} if self.routing is None else self._numbers


def _of_ours(chains: Iterable[Chain]) -> set[str]:
    """Return the hyperparameters whose ranges are known: those that only this package's rules have."""
    ours, others = set[str](), set[str]()
    for place in (place for whole in chains for place in whole.places):
        (ours if is_ours(place.rule) else others).update(place.names.values())
    return ours - others


def stepping(
    rules: Chain | Link | Rule | Routing,
    params: Any,
    lr: Any = None,
    *,
    engine: Engine = "auto",
    **values: Any,
) -> Optimizer:
    """Return the optimizer of a chain with these hyperparameters in all groups; `lr` None is its default.

    Raises:
        RuleError: a hyperparameter that the chain, or the routes, have not.
    """
    rate = {} if lr is None else {"lr": lr}
    if isinstance(rules, Routing):
        return Optimizer(params, rules.with_values(values), engine=engine, **rate)
    whole = chain(rules)
    whole.with_values(values)  # says which names there are
    groups = list(params)
    if not (groups and isinstance(groups[0], dict)):
        groups = [{"params": groups}]
    return Optimizer([{**group, **values} for group in groups], whole, engine=engine, **rate)
