"""Which parameters K-FAC steps, which are left to another optimizer, and their states in one dictionary."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from thalweg.curvature.kronecker.factors import check_sharing
from thalweg.curvature.kronecker.layers import KINDS
from thalweg.curvature.kronecker.of_layers import sorted_layers
from thalweg.errors import TaskError
from thalweg.optim.stepping.checks import Group
from thalweg.optim.stepping.steppable import refuse_sharded

Left = list[tuple[str, nn.Parameter, str]]
"""Parameters that K-FAC has no block for: name, parameter, and why."""


@dataclass(frozen=True)
class KFACSettings:
    """What holds for all layers.

    Raises:
        ValueError: for a value that is out of range.
    """

    refresh: int
    averaging: float
    fisher: str
    kl_clip: float | None
    factored: bool
    sharing: Any
    label_seed: int

    def __post_init__(self) -> None:
        if isinstance(self.refresh, bool) or not isinstance(self.refresh, int) or self.refresh < 1:
            raise ValueError(
                f"Invalid refresh: {self.refresh!r}; it must be an integer of at least 1."
            )
        if not 0 <= float(self.averaging) < 1:
            raise ValueError(
                f"Invalid averaging: {self.averaging!r}; it must be at least 0 and below 1."
            )
        if self.fisher not in ("sampled", "empirical"):
            raise ValueError(f"fisher must be 'sampled' or 'empirical'; got {self.fisher!r}.")
        if self.kl_clip is not None and not 0 < float(self.kl_clip) < math.inf:
            raise ValueError(f"Invalid kl_clip: {self.kl_clip!r}; it must be above 0, or None.")
        if isinstance(self.label_seed, bool) or not isinstance(self.label_seed, int):
            raise ValueError(f"Invalid label_seed: {self.label_seed!r}; it must be an integer.")
        check_sharing(self.sharing)


def check_entries(entries: Mapping[str, Any]) -> None:
    """Refuse entries of param groups that are out of range.

    Raises ValueError.
    """
    for name in ("lr", "damping", "momentum", "weight_decay"):
        value = entries[name]
        if isinstance(value, (bool, str)) or not hasattr(value, "__float__"):
            raise ValueError(f"Invalid {name}: {value!r}; it must be a number, not a schedule.")
        if not 0 <= float(value) < math.inf:
            raise ValueError(f"Invalid {name}: {value!r}; it must be finite, and not negative.")
        if name == "momentum" and float(value) >= 1:
            raise ValueError(f"Invalid momentum: {value!r}; it must be below 1.")
        if name == "damping" and float(value) == 0:
            raise ValueError(
                "Invalid damping: 0; factors of a few rows are singular, so it must be above 0."
            )


def groups_of(model: nn.Module, params: Iterable[Any] | None) -> tuple[list[Group], Left]:
    """Return the groups of parameters that K-FAC has a block for, and the others.

    Raises:
        TaskError: for parameters that are not the model's, or given twice.
    """
    names = {id(p): name for name, p in model.named_parameters()}
    groups = _given(model, params)
    refuse_sharded([p for group in groups for p in group["params"]], "KFAC")
    chosen = {}
    for group in groups:
        for p in group["params"]:
            if id(p) not in names:
                raise TaskError(
                    f"params has a parameter of shape {tuple(p.shape)} that is not the model's: KFAC reads "
                    "the layers of the model that it is given."
                )
            chosen[names[id(p)]] = p
    if not chosen:
        raise TaskError("The model has no trainable parameters.")
    if any(p.is_complex() for p in chosen.values()):
        raise TaskError("K-FAC is for real parameters, and the model has complex ones.")
    _, unknown = sorted_layers(model, chosen)
    own: list[Group] = []
    for group in groups:
        named = [(names[id(p)], p) for p in group["params"] if names[id(p)] not in unknown]
        if named:
            own.append({**group, "params": named})
    return own, [(name, chosen[name], why) for name, why in unknown.items()]


def rest_of(
    left: Left, rest: Callable[..., torch.optim.Optimizer] | None
) -> torch.optim.Optimizer | None:
    """Return the optimizer of the parameters that are left.

    Raises TaskError, naming them, where there is none.
    """
    if not left:
        return None
    if rest is None:
        listed = "; ".join(f"{name!r}: {why}" for name, _, why in left)
        raise TaskError(
            f"KFAC has no block for these parameters: {listed}. It knows {KINDS}. Give them an optimizer of "
            "their own, rest=functools.partial(optim.AdamW, lr=1e-3), freeze them, or name others in params."
        )
    made = rest([(name, p) for name, p, _ in left])
    if not isinstance(made, torch.optim.Optimizer):
        raise TaskError(
            f"rest is a function (parameters) -> optimizer; it returned {type(made).__name__}."
        )
    if getattr(made, "needs_closure", False):
        raise TaskError(
            f"{type(made).__name__} evaluates the objective itself, and cannot step the rest together with "
            "KFAC. Take AdamW, or SGD with momentum."
        )
    return made


def names_in(model: nn.Module, groups: Sequence[Group]) -> set[str]:
    """Return the model's names of the parameters in groups."""
    held = {id(p) for group in groups for p in group["params"]}
    return {name for name, p in model.named_parameters() if id(p) in held}


def put_together(own: dict[str, Any], rest: dict[str, Any]) -> dict[str, Any]:
    """Return the state dictionaries of two optimizers as that of one, the rest's parameters counted on."""
    count = sum(len(group["params"]) for group in own["param_groups"])
    groups = [
        {**group, "params": [index + count for index in group["params"]]}
        for group in rest["param_groups"]
    ]
    states = {index + count: state for index, state in rest["state"].items()}
    return {
        **own,
        "state": {**own["state"], **states},
        "param_groups": [*own["param_groups"], *groups],
    }


def parted(state_dict: Mapping[str, Any], groups: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the state dictionary of the first so many groups, and that of the rest."""
    every = list(state_dict["param_groups"])
    count = sum(len(group["params"]) for group in every[:groups])
    of_rest = [
        {**group, "params": [index - count for index in group["params"]]}
        for group in every[groups:]
    ]
    states = state_dict["state"]
    own = {index: state for index, state in states.items() if index < count}
    rest = {index - count: state for index, state in states.items() if index >= count}
    return (
        {**state_dict, "state": own, "param_groups": every[:groups]},
        {"state": rest, "param_groups": of_rest},
    )


def _given(model: nn.Module, params: Iterable[Any] | None) -> list[Group]:
    """Return groups of plain parameters, from tensors, named tensors or groups."""
    if params is None:
        return [{"params": [p for p in model.parameters() if p.requires_grad]}]
    each = list(params)
    if not each or not isinstance(each[0], dict):
        return [{"params": [_plain(p) for p in each]}]
    return [{**group, "params": [_plain(p) for p in _several(group["params"])]} for group in each]


def _several(params: Any) -> list[Any]:
    return [params] if isinstance(params, Tensor) else list(params)


def _plain(p: Any) -> Any:
    return p[1] if isinstance(p, tuple) else p
