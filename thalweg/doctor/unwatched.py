"""What cannot be watched of a model, known before it is tried."""

from __future__ import annotations

import torch
from torch import nn

WRAPPERS = {"OptimizedModule": "_orig_mod", "DistributedDataParallel": "module"}
"""Modules that stand around the one that is trained, and the attribute that has it."""


def trained_by(model: nn.Module) -> nn.Module:
    """Return the model within what compiles it, or gathers its gradients from other processes.

    It has the same parameters and layers, and may be called without being compiled again, or waiting for
    processes that do not call it.

    >>> trained_by(nn.Linear(1, 1))  # as of torch.compile(nn.Linear(1, 1))
    Linear(in_features=1, out_features=1, bias=True)
    """
    while type(model).__name__ in WRAPPERS:
        model = getattr(model, WRAPPERS[type(model).__name__])
    return model


def blind_spots(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, str]:
    """Return what cannot be watched, with the reason, a sentence each."""
    found: dict[str, str] = {}
    kinds = {type(module).__name__ for module in model.modules()}
    within = trained_by(model)
    is_compiled = any(
        type(module).__name__ == "OptimizedModule"
        or getattr(module, "_compiled_call_impl", None) is not None
        for module in within.modules()
    )
    if is_compiled or "OptimizedModule" in kinds:
        found["activations"] = (
            "the model is compiled, and hooks would have it compiled again. Watch it before torch.compile."
        )
    if is_compiled:
        found["functional"] = "the loss after a step needs a model that is not compiled."
        found["forks"] = "a compiled model would be compiled again in each fork."
        found["examination"] = "a compiled model would be compiled again."
    sharded = "FullyShardedDataParallel" in kinds or any(
        type(p).__name__ == "DTensor" for p in model.parameters()
    )
    if sharded:
        found["activations"] = "the model is sharded: hooks see a part of each layer only."
        found["functional"] = (
            "the loss after a step needs whole parameters; each process has a part."
        )
        found["forks"] = "the model is sharded over processes; one of them cannot train alone."
        found["examination"] = (
            "the model is sharded over processes; one of them cannot call it alone."
        )
        found["norms"] = "the norms are those of the shard of this process."
    if "DistributedDataParallel" in kinds:
        found["forks"] = "the model trains in several processes; one of them cannot train alone."
        found["batches"] = "the losses and the batches are those of this process."
    if any(isinstance(module, torch.jit.ScriptModule) for module in model.modules()):
        found["activations"] = "the model is compiled by torch.jit, which runs without hooks."
    if not hasattr(optimizer, "register_step_pre_hook"):
        found["updates"] = f"{type(optimizer).__name__} has no hooks for its step."
    return found
