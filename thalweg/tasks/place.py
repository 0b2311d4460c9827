"""Where the parameters of a model are, and in which numbers."""

from __future__ import annotations

import torch
from torch import nn

from thalweg.tasks.sources.source import Placement


def place_of(model: nn.Module) -> Placement:
    """Return the device and floating-point dtype of the model's parameters."""
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.is_floating_point() or tensor.is_complex():
            return Placement(tensor.device, tensor.dtype.to_real())
    return Placement(dtype=torch.get_default_dtype())
