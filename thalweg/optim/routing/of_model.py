"""Optimizers of matrices that are given a model: its hidden matrices by their own rule, the rest by AdamW."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import nn

from thalweg.engine import Rule
from thalweg.errors import TaskError
from thalweg.model.kinds import PART_OF, KindOfParameter, kinds_of
from thalweg.optim.routing.groups import in_order
from thalweg.optim.routing.route import REST
from thalweg.optim.routing.table import RouteTable, table_of
from thalweg.optim.stepping.checks import Group
from thalweg.optim.stepping.composition import Composition, compose_group
from thalweg.optim.stepping.stepper import Stepper
from thalweg.rules import adam

INNER = ("hidden", "input", "head")
"""The kinds that are for a rule of matrices: the first of them that a model has."""


@dataclass(frozen=True)
class Rest:
    """What steps the rest of a model: the rule, found from its group, and what the group has besides."""

    rule: Callable[[Group], Rule]
    numbers: Mapping[str, Any]


ADAMW = Rest(lambda group: adam, {"betas": (0.9, 0.999), "eps": 1e-8})


class OfModel(Stepper):
    """An optimizer of matrices that takes a model, too.

    Given a model, its hidden matrices and inner convolutions are stepped by the optimizer's own rule, all the
    rest by AdamW, with the same learning rate and weight decay: the groups "hidden" (and "qkv", of fused
    queries, keys and values, and "experts", of stacked matrices) and "rest". In a model without hidden
    matrices its first layer is stepped so.
    """

    needs_model: ClassVar[bool] = True
    """`fit` and races build it from the model."""
    knows_blocks: ClassVar[bool] = False
    """Whether the rule steps each of several matrices that lie one under the other alone."""
    of_model: ClassVar[Mapping[str, Any]] = {}
    """Defaults of the hidden matrices' group, where a model is given."""
    rests: ClassVar[Mapping[str, Rest]] = {}
    """What steps the rest in a dialect, where it is not AdamW."""
    _kinds: dict[str, tuple[str, str]]

    def _groups_of(self, params: Any, given: Any) -> Any:
        """Return the groups of a model; anything else as it is. `given` are the arguments that were given."""
        self.needs_model = False  # type: ignore[misc]  # to build it is all that needs one
        self._kinds = {}
        if not isinstance(params, nn.Module):
            return params
        every = kinds_of(params)
        self._kinds = {each.name: (each.kind, each.by) for each in every}
        rest = self.rests.get(given.get("dialect", ""), ADAMW)
        own = self._of_hidden(given)
        also: dict[str, Group] = {"experts": {"matrices": "last"}}
        groups: dict[str, Group] = {}
        kind = inner_kind(type(self).__name__, every)
        for each in every:
            route = self._route(each, kind)
            of_route = own if route != REST else rest.numbers
            if route == "qkv":
                also["qkv"] = {"blocks": each.blocks}
            given_to = {"params": [], "route": route, **of_route, **also.get(route, {})}
            groups.setdefault(route, given_to)["params"].append((each.name, each.parameter))
        return [groups[name] for name in ("hidden", "qkv", "experts", REST) if name in groups]

    def _of_hidden(self, given: Mapping[str, Any]) -> Group:
        """Return what the hidden matrices' group has besides what all groups have."""
        return {name: value for name, value in self.of_model.items() if name not in given}

    def _route(self, each: KindOfParameter, inner: str) -> str:
        if _inner(each) != inner:
            return REST
        if each.kind == "experts":
            return "experts"
        return "qkv" if self.knows_blocks and each.kind == "qkv" and each.blocks > 1 else "hidden"

    def _rest(self) -> Rest:
        return self.rests.get(self.__dict__.get("dialect", ""), ADAMW)

    def composition(self, group: Group) -> Composition:
        """Return the chain of a group: AdamW's for the rest of a model, or that of the dialect."""
        if not is_rest(group):
            return super().composition(group)
        extra = self.__dict__["_around"]
        if self.__dict__.get("_decay") is None:
            extra = self.__dict__.get("_decoupled", extra)
        decayed, maximize = bool(group["weight_decay"]), bool(group.get("maximize"))
        rule = self._rest().rule(group)
        return compose_group(maximize, decayed, extra, (rule,), _spelling_of_adam)

    def add_param_group(self, param_group: Group) -> None:
        """Add a group of parameters, as PyTorch does; one with the entry route="rest" is stepped by AdamW."""
        if isinstance(param_group, dict) and is_rest(param_group):
            param_group = {**self._rest().numbers, **param_group}
        super().add_param_group(param_group)

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Load a state; groups are found by their routes, if they have some (`Stepper.load_state_dict`)."""
        if all("route" in group for group in self.param_groups):
            state_dict = in_order(self.param_groups, state_dict)
        super().load_state_dict(state_dict)

    def routes(self) -> RouteTable:
        """Return how each parameter is stepped: name, kind, route, shape, learning rate, decay, states."""
        return table_of(self, self.form, self.state_sizes, self._kinds)


def is_rest(group: Mapping[str, Any]) -> bool:
    """Whether a group is stepped by AdamW."""
    return group.get("route") == REST


def inner_kind(who: str, every: list[KindOfParameter]) -> str:
    """Return the kind that is for a rule of matrices.

    Raises:
        TaskError: for a model that has none.
    """
    found = {_inner(each) for each in every}
    for kind in INNER:
        if kind in found:
            return kind
    listed = ", ".join(dict.fromkeys(each.kind for each in every)) or "none"
    raise TaskError(
        f"{who} is for matrices of linear layers and convolutions, and the model has none: its parameters "
        f"are of the kinds {listed}. Give it the tensors to step, {who}([…]), or take AdamW."
    )


def _inner(each: KindOfParameter) -> str:
    """Return of which kind a parameter is for a rule of matrices, to which experts are hidden matrices."""
    return "hidden" if each.kind == "experts" else PART_OF.get(each.kind, each.kind)


def _spelling_of_adam() -> Mapping[str, Any]:
    return {
        "beta1": lambda group: group["betas"][0],
        "beta2": lambda group: group["betas"][1],
    }
