"""The device to train on, checked."""

from __future__ import annotations

import torch

from thalweg.errors import TaskError


def usable_device(device: str | torch.device) -> torch.device:
    """Return the device of a name.

    Raises TaskError for a name that PyTorch does not know, and for a device that this machine, or
    this build of PyTorch, does not have.
    """
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError) as error:
        hint = " Did you mean 'cuda'?" if device == "gpu" else ""
        raise TaskError(
            f"device is the name of a torch device, such as 'cpu', 'cuda', 'cuda:1' or 'mps'; "
            f"got {device!r}.{hint}"
        ) from error
    try:
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        raise TaskError(
            f"The device {str(found)!r} cannot be used here: {reason}. Without device= the model "
            "is trained where it was built, as a rule on the CPU."
        ) from error
    return found
