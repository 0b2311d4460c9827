"""What cannot be watched of a model, known before it is tried."""

from __future__ import annotations

import torch
from torch import nn


def blind_spots(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, str]:
    """Return what cannot be watched, with the reason, a sentence each."""
    found: dict[str, str] = {}
    kinds = {type(module).__name__ for module in model.modules()}
    parameters = list(model.parameters())
    if "OptimizedModule" in kinds or any(
        getattr(module, "_compiled_call_impl", None) is not None for module in model.modules()
    ):
        found["activations"] = (
            "the model is compiled, and hooks would have it compiled again. Watch it before torch.compile."
        )
        found["functional"] = "the loss after a step needs a model that is not compiled."
        found["forks"] = "a compiled model would be compiled again in each fork."
    sharded = "FullyShardedDataParallel" in kinds or any(
        type(p).__name__ == "DTensor" for p in parameters
    )
    if sharded:
        found["activations"] = "the model is sharded: hooks see a part of each layer only."
        found["functional"] = (
            "the loss after a step needs whole parameters; each process has a part."
        )
        found["forks"] = "the model is sharded over processes; one of them cannot train alone."
        found["norms"] = "the norms are those of the shard of this process."
    if "DistributedDataParallel" in kinds:
        found["functional"] = "the loss after a step would wait for the other processes."
        found["forks"] = "the model trains in several processes; one of them cannot train alone."
    if any(isinstance(module, torch.jit.ScriptModule) for module in model.modules()):
        found["activations"] = "the model is compiled by torch.jit, which runs without hooks."
    if not hasattr(optimizer, "register_step_pre_hook"):
        found["updates"] = f"{type(optimizer).__name__} has no hooks for its step."
    return found
