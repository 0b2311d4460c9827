"""Optimizer state to and from dictionaries, compatible with PyTorch's.

Differences to `torch.optim`: a state keeps its own dtype, so a run resumed on the same machine makes the
steps bitwise of an uninterrupted run, and parameters are found by name where both sides know names.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor

from thalweg.optim.stepping import distributed
from thalweg.optim.stepping.scheduled import NUMBER


def saved_state(packed: dict[str, Any]) -> dict[str, Any]:
    """Return a state dict whose tensors have storages of their own, so that any file format takes them.

    As PyTorch's, it holds the tensors of the optimizer, which move on with the next step. Only numbers that
    live on a device are copied, since there they are views of one tensor.
    """
    packed["state"] = {index: own_numbers(s) for index, s in packed.get("state", {}).items()}
    return packed


def own_numbers(state: Any) -> Any:
    """Return the state of a parameter with copies in the place of numbers that are views of a block."""
    if not isinstance(state, dict):
        return state
    return {k: v.clone() if _is_line(v) else v for k, v in state.items()}


def _is_line(value: Any) -> bool:
    return isinstance(value, Tensor) and value.ndim == 0 and value._is_view()


@contextmanager
def without_orphans(optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """Leave out the state of parameters that are in no group any more, which PyTorch cannot number."""
    kept = optimizer.state
    known = {id(p) for group in optimizer.param_groups for p in group["params"]}
    own = {k: v for k, v in kept.items() if not isinstance(k, Tensor) or id(k) in known}
    if len(own) == len(kept):
        yield
        return
    optimizer.state = defaultdict(dict, own)
    try:
        yield
    finally:
        optimizer.state = kept


def loaded_state(optimizer: torch.optim.Optimizer, state_dict: Mapping[str, Any]) -> None:
    """Put a state dict into an optimizer."""
    saved = dict(state_dict)
    for before in optimizer._optimizer_load_state_dict_pre_hooks.values():
        replaced = before(optimizer, saved)
        if replaced is not None:
            saved = replaced
    if not {"state", "param_groups"} <= saved.keys():
        raise ValueError(
            "A state dict of an optimizer has the entries 'state' and 'param_groups', this one has: "
            f"{', '.join(map(str, saved)) or 'none'}. Give what optimizer.state_dict() returned."
        )
    saved = dict(distributed.without_distribution(saved))
    groups = optimizer.param_groups
    saved_groups = deepcopy(saved["param_groups"])
    _check_sizes(groups, saved_groups)
    owner = _match(groups, saved_groups)
    state: defaultdict[Any, Any] = defaultdict(dict)
    for index, entry in saved["state"].items():
        param = owner.get(index)
        state[index if param is None else param] = (
            deepcopy(entry) if param is None else _own(entry, param)
        )
    new_groups = []
    for group, new in zip(groups, saved_groups, strict=True):
        new["params"] = group["params"]
        if "param_names" in group:
            new["param_names"] = group["param_names"]
        new.pop(
            NUMBER, None
        )  # schedules are not part of a state dict, and neither is which are whose
        # what the writer did not know, such as an argument newer than it, stays as it is here
        new_groups.append({**{k: v for k, v in group.items() if k not in new}, **new})
    optimizer.__setstate__({"state": state, "param_groups": new_groups})
    for after in optimizer._optimizer_load_state_dict_post_hooks.values():
        after(optimizer)


def _check_sizes(groups: list[dict[str, Any]], saved: list[dict[str, Any]]) -> None:
    if len(groups) != len(saved):
        raise ValueError("loaded state dict has a different number of parameter groups")
    if any(len(a["params"]) != len(b["params"]) for a, b in zip(groups, saved, strict=True)):
        raise ValueError(
            "loaded state dict contains a parameter group that doesn't match the size of optimizer's group"
        )


def _match(groups: list[dict[str, Any]], saved: list[dict[str, Any]]) -> dict[Any, Tensor]:
    """Return the parameter of each saved index."""
    here, there = by_name(groups), by_name(saved)
    if here is not None and there is not None:
        if here.keys() == there.keys():
            return {index: here[name] for name, index in there.items()}
        if not here.keys() & there.keys():  # other names altogether, as of a wrapped module
            return _by_position(groups, saved)
        missing = sorted(here.keys() - there.keys())[:3]
        unknown = sorted(there.keys() - here.keys())[:3]
        raise ValueError(
            "loaded state dict names other parameters than this optimizer: "
            f"here but not there: {', '.join(missing) or 'none'}; "
            f"there but not here: {', '.join(unknown) or 'none'}."
        )
    return _by_position(groups, saved)


def by_name(groups: Iterable[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return the params of groups by their names, or None where not every one has a name of its own.

    A group that was copied from another one, or was given other params, still has the names of before.
    """
    found: dict[str, Any] = {}
    for group in groups:
        names, params = group.get("param_names", ()), group["params"]
        if len(names) != len(params) or not found.keys().isdisjoint(names):
            return None
        found.update(zip(names, params, strict=True))
        if len(set(names)) != len(names):
            return None
    return found


def _by_position(groups: list[dict[str, Any]], saved: list[dict[str, Any]]) -> dict[Any, Tensor]:
    return {
        index: param
        for group, other in zip(groups, saved, strict=True)
        for index, param in zip(other["params"], group["params"], strict=True)
    }


def _own(entry: Any, param: Tensor) -> Any:
    """Return a copy of a state on the device of its parameter; numbers stay on the host."""
    if isinstance(entry, Mapping):
        return {key: _own(value, param) for key, value in entry.items()}
    if type(entry) in (list, tuple):
        return type(entry)(_own(value, param) for value in entry)
    if isinstance(entry, Tensor):
        device = entry.device if entry.ndim == 0 and param.ndim else param.device
        return entry.detach().clone().to(device)
    return deepcopy(entry)
