"""Optimizers of matrices that are given a model: its hidden matrices by their own rule, the rest by AdamW."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import nn

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

OF_ADAMW: Mapping[str, Any] = {"betas": (0.9, 0.999), "eps": 1e-8}
"""What the group of the rest has besides what all groups have."""


class OfModel(Stepper):
    """An optimizer of matrices that takes a model, too.

    Given a model, its hidden matrices and inner convolutions are stepped by the optimizer's own rule, all the
    rest by AdamW, with the same learning rate and weight decay: the groups "hidden" (and "qkv", of fused
    queries, keys and values) and "rest". In a model without hidden matrices its first layer is stepped so.
    """

    needs_model: ClassVar[bool] = True
    """`fit` and races build it from the model."""
    knows_blocks: ClassVar[bool] = False
    """Whether the rule steps each of several matrices that lie one under the other alone."""
    of_model: ClassVar[Mapping[str, Any]] = {}
    """Defaults of the hidden matrices' group, where a model is given."""
    _kinds: dict[str, tuple[str, str]]

    def _groups_of(self, params: Any, given: Any) -> Any:
        """Return the groups of a model; anything else as it is. `given` are the arguments that were given."""
        self.needs_model = False  # type: ignore[misc]  # to build it is all that needs one
        self._kinds = {}
        if not isinstance(params, nn.Module):
            return params
        every = kinds_of(params)
        self._kinds = {each.name: (each.kind, each.by) for each in every}
        own = {name: value for name, value in self.of_model.items() if name not in given}
        groups: dict[str, Group] = {}
        kind = inner_kind(type(self).__name__, every)
        for each in every:
            route = self._route(each, kind)
            of_route = own if route != REST else OF_ADAMW
            blocks = {"blocks": each.blocks} if route == "qkv" else {}
            group = groups.setdefault(route, {"params": [], "route": route, **of_route, **blocks})
            group["params"].append((each.name, each.parameter))
        return [groups[name] for name in ("hidden", "qkv", REST) if name in groups]

    def _route(self, each: KindOfParameter, inner: str) -> str:
        if PART_OF.get(each.kind, each.kind) != inner:
            return REST
        return "qkv" if self.knows_blocks and each.kind == "qkv" and each.blocks > 1 else "hidden"

    def composition(self, group: Group) -> Composition:
        """Return the chain of a group: AdamW's for the rest of a model."""
        if not is_rest(group):
            return super().composition(group)
        extra = self.__dict__["_around"]
        if self.__dict__.get("_decay") is None:
            extra = self.__dict__.get("_decoupled", extra)
        decayed, maximize = bool(group["weight_decay"]), bool(group.get("maximize"))
        return compose_group(maximize, decayed, extra, (adam,), _spelling_of_adam)

    def add_param_group(self, param_group: Group) -> None:
        """Add a group of parameters, as PyTorch does; one with the entry route="rest" is stepped by AdamW."""
        if isinstance(param_group, dict) and is_rest(param_group):
            param_group = {**OF_ADAMW, **param_group}
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

    Raises TaskError for a model that has none.
    """
    found = {PART_OF.get(each.kind, each.kind) for each in every}
    for kind in INNER:
        if kind in found:
            return kind
    listed = ", ".join(dict.fromkeys(each.kind for each in every)) or "none"
    raise TaskError(
        f"{who} is for matrices of linear layers and convolutions, and the model has none: its parameters "
        f"are of the kinds {listed}. Give it the tensors to step, {who}([…]), or take AdamW."
    )


def _spelling_of_adam() -> Mapping[str, Any]:
    return {
        "beta1": lambda group: group["betas"][0],
        "beta2": lambda group: group["betas"][1],
    }
