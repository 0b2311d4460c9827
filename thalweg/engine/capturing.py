"""Whether a CUDA graph is being captured, and the errors of a step that a replay would repeat wrongly."""

from __future__ import annotations

import torch

from thalweg.errors import EngineError


def is_capturing(device: torch.device) -> bool:
    """Whether a CUDA graph is being captured: the host's numbers of now would be repeated with it."""
    return device.type == "cuda" and torch.cuda.is_current_stream_capturing()


def counted_by_the_host() -> EngineError:
    """Return the error of a captured step whose numbers the host computes."""
    return EngineError(
        "optimizer.step() was called while a CUDA graph is captured: a replay would repeat this very "
        "step, its number and learning rate with it. Give the optimizer engine='foreach' or 'triton' and "
        "capturable=True, or capture forward and backward passes alone, and step after the replay."
    )


def moved() -> EngineError:
    """Return the error of a captured step of tensors that have moved, so that tables must be made."""
    return EngineError(
        "Parameters or states have moved since the last step, and a CUDA graph is captured now. Step "
        "once before the capture."
    )
