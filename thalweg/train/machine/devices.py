"""Devices to train on: checked, waited for, and what is known of them."""

from __future__ import annotations

from typing import Any

import torch

from thalweg.errors import TaskError


def usable_device(device: str | torch.device) -> torch.device:
    """Return the device of a name.

    Raises:
        TaskError: for a name that PyTorch does not know, and for a device that this machine, or this build
            of PyTorch, does not have.
    """
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError) as error:
        hint = " Did you mean 'cuda'?" if device == "gpu" else ""
        raise TaskError(
            f"device must be the name of a torch device, such as 'cpu', 'cuda', 'cuda:1' or 'mps'; "
            f"got {device!r}.{hint}"
        ) from error
    if found.type == "meta":
        raise TaskError("The device 'meta' holds no numbers: a model cannot be trained there.")
    try:
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        raise TaskError(
            f"The device {str(found)!r} cannot be used here: {reason}. Without device= the model "
            "is trained where it was built, as a rule on the CPU."
        ) from error
    return found


def is_cpu(device: torch.device | None) -> bool:
    """Return whether a device is the processor itself, as it is where none is given."""
    return device is None or device.type == "cpu"


def other_accelerator() -> Any:
    """Return PyTorch's module of an accelerator that is no CUDA device, once it is in use, or None."""
    found = torch.accelerator.current_accelerator()
    if found is None or found.type == "cuda":
        return None
    module = torch.get_device_module(found)
    in_use = getattr(module, "is_initialized", None)
    return module if in_use is None or in_use() else None


def synchronize(device: torch.device) -> None:
    """Wait until a device has done all that it was given, as a clock must; the CPU is never behind."""
    if is_cpu(device):
        return
    wait = getattr(torch.get_device_module(device), "synchronize", None)
    if wait is not None:
        wait(*(() if device.type == "mps" else (device,)))


def device_name(device: torch.device) -> str:
    """Return the kind of a device and what its maker calls it, such as "cuda, NVIDIA H200"."""
    asked = getattr(torch.get_device_module(device), "get_device_name", None)
    return device.type if asked is None else f"{device.type}, {asked(device)}"


def free_on(device: torch.device) -> int | None:
    """Return how many bytes of its own memory a device has free, None where it does not say."""
    asked = getattr(torch.get_device_module(device), "mem_get_info", None)
    return None if asked is None else int(asked(device)[0])
