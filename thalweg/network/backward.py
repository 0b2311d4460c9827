"""What the backward pass of a model costs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from thalweg.model.outputs import outputs_of
from thalweg.objective.nested import tensors_in


class BackwardCost:
    """Runs a model forwards and backwards, and keeps in `flops` what the way back has cost.

    `flops` is None where no output depends on a trainable parameter, or where a gradient cannot be computed.
    """

    def __init__(self) -> None:
        self.flops: int | None = None

    def run(self, count: Callable[[], int], model: nn.Module, x: Any) -> Any:
        """Return what the model gives for a batch; `count` says how many FLOPs there were so far."""
        with torch.enable_grad():
            outputs = outputs_of(model, x)
            with torch._C.DisableTorchFunction():  # nobody records what follows
                self.flops = _spent(outputs, model, count)
        return outputs


def _spent(outputs: Any, model: nn.Module, count: Callable[[], int]) -> int | None:
    wanted = [p for p in model.parameters() if p.requires_grad]
    ends = [t for t in tensors_in(outputs) if t.requires_grad]
    if not (wanted and ends):
        return None
    before = count()
    try:
        torch.autograd.grad(ends, wanted, [torch.ones_like(t) for t in ends], allow_unused=True)
    except Exception:  # whatever a user's own function does on the way back
        return None
    return count() - before
