"""State dicts of the package schedulefree, loaded into the optimizers of the same equations here.

It keeps in groups what is of each parameter here: the number of steps, the sum of weights, the largest
learning rate so far.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

_THEIRS = frozenset(("k", "train_mode", "weight_sum", "lr_max", "weight_lr_power", "warmup_steps"))
_RENAMED = {"weight_lr_power": "power", "momentum": "beta"}
_LEFT_OUT = _THEIRS | {"scheduled_lr", "foreach", "momentum"}


def converted(owner: str, here: Mapping[str, Any], saved: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a state dict as it is here; any other than the package's stays as it is.

    Raises:
        ValueError: it was saved where its numbers are not enough to go on from.
    """
    groups = saved.get("param_groups") or ()
    if not groups or not all(group.keys() >= _THEIRS for group in groups):
        return saved
    state: dict[Any, Any] = dict(saved["state"])
    for group in groups:
        _check(owner, here, group)
        numbers = {
            "step": float(group["k"]),
            "weight_sum": float(group["weight_sum"]),
            "lr_max": max(float(group["lr_max"]), 0.0),
        }
        for n in group["params"]:
            if n in state:
                kept = {k: v for k, v in state[n].items() if k != "exp_avg_sq"}
                second = {"v": state[n]["exp_avg_sq"]} if "exp_avg_sq" in state[n] else {}
                fresh = {
                    k: torch.tensor(v, dtype=torch.float64, device="cpu")
                    for k, v in numbers.items()
                }
                state[n] = {**kept, **second, **fresh}
    new = [
        {k: v for k, v in group.items() if k not in _LEFT_OUT}
        | {ours: group[theirs] for theirs, ours in _RENAMED.items() if theirs in group}
        for group in groups
    ]
    return {**saved, "state": state, "param_groups": new}


def _check(owner: str, here: Mapping[str, Any], group: Mapping[str, Any]) -> None:
    said = f"the state dict is of the package schedulefree, and {owner} cannot go on from it: "
    if "silent_sgd_phase" in group or ("betas" in here) != ("betas" in group):
        raise ValueError(
            f"{said}it was saved by another optimizer. AdamWScheduleFree goes with ScheduleFreeAdamW, "
            "SGDScheduleFree with ScheduleFreeSGD."
        )
    if not group["train_mode"] and group["k"]:
        raise ValueError(
            f"{said}it was saved where the model is evaluated, and the point of training is not in it. Call "
            "optimizer.train() before model and optimizer are saved there."
        )
    if group["k"] < group["warmup_steps"]:
        raise ValueError(
            f"{said}it was saved in step {group['k']} of a warm-up of {group['warmup_steps']} steps, which "
            "is a schedule of lr here. Save it after the warm-up."
        )
