"""Whether Triton is available, without importing it: it takes a second, which only a GPU is worth."""

from __future__ import annotations

import os
from functools import cache
from importlib.util import find_spec

from torch import Tensor

_TRUE = ("1", "true", "on", "yes", "y")


@cache
def triton_problem() -> str | None:
    """Return why there is no Triton here, or None."""
    if find_spec("triton") is None:
        return "Triton is not installed (pip install 'thalweg[triton]')"
    return None


def is_interpreting() -> bool:
    """Whether Triton's interpreter, which runs kernels by NumPy on the CPU, was asked for."""
    return os.environ.get("TRITON_INTERPRET", "").lower() in _TRUE


def device_problem(x: Tensor) -> str | None:
    """Return why no kernel can be launched for a tensor where it lies, or None.

    PyTorch calls GPUs of AMD "cuda", too.
    """
    kind = x.device.type
    if kind == ("cpu" if is_interpreting() else "cuda"):
        return None
    if kind == "cuda":
        return (
            "Triton's interpreter was asked for (TRITON_INTERPRET), which is for tensors on the CPU"
        )
    return f"it is on the device {str(x.device)!r}, and Triton's kernels run on GPUs"
