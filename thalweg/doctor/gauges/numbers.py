"""Norms of lists of tensors, and their way to the CPU in one transfer."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from thalweg.doctor.watched import Floats


def local(tensor: Tensor) -> Tensor:
    """Return a tensor, or the shard of it that this process has: to ask for the whole would be to wait for
    processes that may not look at this step.
    """
    here: Tensor = tensor.detach()
    return here.to_local() if type(here).__name__ == "DTensor" else here  # type: ignore[attr-defined]


def norms(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return the 2-norms as float32 or wider: half precision would overflow."""
    wide = [t.float() if t.dtype in (torch.float16, torch.bfloat16) else t for t in tensors]
    if not wide:
        return []
    if any(t.is_complex() for t in wide):
        return [torch.linalg.vector_norm(t) for t in wide]
    return list(torch._foreach_norm(wide))


def norm_of_all(tensors: Iterable[Tensor]) -> float:
    """Return the 2-norm of all numbers of some tensors, added up in float64."""
    return math.sqrt(sum(float(t.double().square().sum()) for t in tensors))


def floats(values: Sequence[Tensor]) -> Floats:
    """Return tensors of one number each as an array."""
    if not values:
        return np.zeros(0)
    if len({(v.device, v.dtype) for v in values}) > 1:
        values = [v.cpu().double() for v in values]
    return torch.stack(list(values)).cpu().double().numpy()
