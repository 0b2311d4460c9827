"""Distributed checkpoints: what PyTorch asks of an optimizer there, and in which form.

`torch.distributed.checkpoint.state_dict` reads checkpoints into the state dict that the optimizer has. A
fresh one has none, so PyTorch makes the state by a step with gradients of zero and a learning rate of 0. Any
step is one too many here: it counts, moves averages, and shrinks weights where the decay does not depend on
the learning rate. So that one call opens the states and does nothing else; it is known by PyTorch's function
on the stack, since a training step may look just the same.

Of a state dict PyTorch keeps the state of parameters and the param groups alone, and reads only entries
that the optimizer's own state dict has, too. What else there is to keep lies there while PyTorch asks:

    param_groups[k]["is_evaluating"]        whether the parameters are where the model is evaluated
    state[n]["trained_point"]               where training goes on, always, if there is a point of evaluation
    param_groups[0]["wrappers"]             what wrappers keep (see `thalweg.meta.Wrapper`)
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from types import CodeType, FrameType
from typing import Any

import torch

from thalweg.optim.stepping.checks import Group

_NAMED_OPTIMIZER = "torch.distributed.optim.named_optimizer"
_STATE_DICT = "torch.distributed.checkpoint.state_dict"

TRAINED = "trained_point"
"""The entry of a parameter's state that holds the point of training while the model is evaluated."""

IS_EVALUATING = "is_evaluating"
"""The entry of a param group in a distributed checkpoint that says where the parameters are."""


def is_opening() -> bool:
    """Whether PyTorch calls a step only to have the states made."""
    return is_within(_STATE_DICT, "_init_optim_state") or is_within(
        _NAMED_OPTIMIZER, "_NamedOptimizer", "init_state"
    )


def is_gathering() -> bool:
    """Whether PyTorch asks for the state dict of a distributed checkpoint."""
    return is_within(_STATE_DICT, "_get_optim_state_dict")


def is_within(module: str, *path: str, depth: int = sys.maxsize) -> bool:
    """Whether a function of a module, if that is loaded, is among the last `depth` calls on the stack."""
    return frame_of(module, *path, depth=depth + 1) is not None


def frame_of(module: str, *path: str, depth: int = sys.maxsize) -> FrameType | None:
    """Return the last call of a function of a module, or None; see `is_within`."""
    found: Any = sys.modules.get(module)
    for name in path:
        found = getattr(found, name, None)
    code = _code(found)
    if code is None:
        return None
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and depth:
        if frame.f_code is code:
            return frame
        frame, depth = frame.f_back, depth - 1
    return None


def _code(function: Any) -> CodeType | None:
    found = getattr(inspect.unwrap(function), "__code__", None) if callable(function) else None
    return found if isinstance(found, CodeType) else None


def has_stepped(
    optimizer: torch.optim.Optimizer, names_of: Callable[[Group], Sequence[str]]
) -> bool:
    """Whether states are those of a run: some have been stepped, here or where they were saved.

    `names_of` returns the names of the states of a group's parameters.
    """
    for group in optimizer.param_groups:
        names = names_of(group)
        for p in group["params"]:
            state = optimizer.state.get(p)
            if not isinstance(state, dict):
                continue
            if float(state["step"]) > 0 if "step" in state else any(n in state for n in names):
                return True
    return False


def with_points(
    saved: dict[str, Any], groups: Sequence[Group], have_points: Sequence[bool], is_evaluating: bool
) -> dict[str, Any]:
    """Add to a state dict where training goes on, for the groups that have a point of evaluation."""
    for group, has_point, packed in zip(groups, have_points, saved["param_groups"], strict=True):
        if not has_point:
            continue
        packed[IS_EVALUATING] = is_evaluating
        for p, n in zip(group["params"], packed["params"], strict=True):
            state = saved["state"].get(n)
            if isinstance(state, dict) and TRAINED not in state:
                saved["state"][n] = {**state, TRAINED: p.detach().clone()}
    return saved


def without_distribution(saved: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a state dict as it is without a distributed checkpoint."""
    groups = saved.get("param_groups", ())
    if not any(IS_EVALUATING in group for group in groups):
        return saved
    there = {n for group in groups if group.get(IS_EVALUATING) for n in group["params"]}
    state = {
        n: entry
        if n in there or not isinstance(entry, Mapping)
        else {k: v for k, v in entry.items() if k != TRAINED}
        for n, entry in saved["state"].items()
    }
    groups = [{k: v for k, v in group.items() if k != IS_EVALUATING} for group in groups]
    return {**saved, "state": state, "param_groups": groups}
