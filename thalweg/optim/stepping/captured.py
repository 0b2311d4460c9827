"""Steps while a CUDA graph is captured: what the device does will be repeated, what the host does not."""

from __future__ import annotations

import torch

from thalweg.errors import EngineError


def is_capturing() -> bool:
    """Whether a CUDA graph is being captured."""
    return torch.cuda.is_available() and torch.cuda.is_current_stream_capturing()


def refuse_schedules(has_schedules: bool) -> None:
    """Refuse a step that depends on how many steps the host has counted.

    Raises:
        EngineError: a hyperparameter is a schedule.
    """
    if has_schedules:
        raise EngineError(
            "A CUDA graph is captured, but a hyperparameter is a schedule: a function of the steps that the "
            "host has counted. Make it a 0-d tensor on the device, and write into that between replays."
        )


def not_ready() -> EngineError:
    """Return the error of a step that no step before has prepared."""
    return EngineError(
        "A CUDA graph is captured, but there was no step yet, or the last one was of other parameters, "
        "states or kinds of gradients. Step once before the capture."
    )
