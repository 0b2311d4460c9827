"""Whether a kernel can be compiled and launched here: Triton needs a driver, and a C compiler beside it."""

from __future__ import annotations

from functools import cache

import torch

from thalweg.engine.triton.device import current, zeros
from thalweg.engine.triton.scalars import print_fold
from thalweg.engine.triton.source import jit


@cache
def launch_problem(device: torch.device) -> str | None:
    """Return why the smallest of the kernels fails on a device, or None; asked once a process."""
    try:
        with current(device):
            runs = torch.zeros(2, dtype=torch.int64, device=device)
            fold = jit(print_fold("sum"), "fold")
            fold[(1,)](zeros(1, device), runs, zeros(1, device), BLOCK=128)
    except Exception as error:  # whatever a toolchain fails with, another engine can step
        said = str(error).partition("\n")[0]
        return f"Triton cannot launch a kernel on {device} ({type(error).__name__}: {said})"
    return None
