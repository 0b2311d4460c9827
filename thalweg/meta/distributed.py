"""The state of wrappers in the layout of a distributed checkpoint.

See `thalweg.optim.stepping.distributed`. Numbers lie in the first param group, tensors of a parameter in its
state. A checkpoint is read into existing entries, so all entries always exist: a tensor that is not kept is
written as zeros, with `kept` = 0 beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from thalweg.meta.gradients import widened

WRAPPERS = "wrappers"
_KEY = "wrappers.{}.{}"
"""The key of a tensor in the state of a parameter: number of the wrapper, from inside, and name."""
_KEPT = ".kept"


def within_groups(
    params: Sequence[Tensor],
    inside: Mapping[str, Any],
    own: Mapping[str, Any],
    tensors: Sequence[str],
) -> dict[str, Any]:
    """Return the state dict of the optimizer inside, with what a wrapper keeps in its groups and states.

    Args:
        params: the parameters of all groups, in order.
        inside: the state dict of the optimizer inside.
        own: what the wrapper keeps.
        tensors: the entries of `own` that are tensors by the number of the parameter.
    """
    groups, state = [dict(group) for group in inside["param_groups"]], dict(inside["state"])
    further = groups[0].get(WRAPPERS, [])
    groups[0][WRAPPERS] = [{k: v for k, v in own.items() if k not in tensors}, *further]
    for n, p in enumerate(dict.fromkeys(params)):
        for name in tensors if p.requires_grad else ():
            held, key = own[name].get(n), _KEY.format(len(further), name)
            value = widened(torch.zeros_like(p)) if held is None else held
            kept = torch.tensor(float(held is not None), device="cpu")
            state[n] = {**state.get(n, {}), key: value, key + _KEPT: kept}
    return {**inside, "state": state, "param_groups": groups}


def beside_groups(saved: Mapping[str, Any]) -> dict[str, Any]:
    """Return a state dict with the states of wrappers moved into an entry of their own."""
    groups = saved.get("param_groups") or [{}]
    if WRAPPERS not in groups[0]:
        return dict(saved)
    wrappers: list[dict[str, Any]] = [dict(own) for own in groups[0][WRAPPERS]]
    state = {}
    for n, entry in saved["state"].items():
        if not isinstance(entry, Mapping):
            state[n] = entry
            continue
        state[n] = {k: v for k, v in entry.items() if not str(k).startswith("wrappers.")}
        for key in entry.keys() - state[n].keys():
            _, depth, name, *kept = key.split(".")
            held = wrappers[len(wrappers) - 1 - int(depth)].setdefault(name, {})
            if not kept and entry[key + _KEPT]:
                held[n] = entry[key]
        if not state[n]:
            del state[n]  # of an optimizer that keeps none
    first = {k: v for k, v in groups[0].items() if k != WRAPPERS}
    return {**saved, "state": state, "param_groups": [first, *groups[1:]], WRAPPERS: wrappers}
