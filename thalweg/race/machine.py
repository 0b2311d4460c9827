"""The machine a race runs on: its name for the report, and the threads that suit a small model."""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from thalweg.version import __version__

_SMALL_MODEL = 20_000
"""Parameters below which sharing out a step among threads costs more than it gains."""


def machine_name() -> str:
    """Return the processor and the number of cores, in words."""
    cores = os.cpu_count() or 1
    return f"{_processor()}, {cores} core{'s' if cores > 1 else ''}"


def versions() -> dict[str, str]:
    """Return the versions of what the numbers of a race depend on."""
    return {
        "thalweg": __version__,
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


def fitting_threads(parameters: int) -> int:
    """Return how many threads torch should use for a model of so many parameters: one for a small
    model.
    """
    return 1 if parameters < _SMALL_MODEL else torch.get_num_threads()


@contextlib.contextmanager
def torch_threads(number: int) -> Iterator[None]:
    """Let torch use `number` threads inside the block, and as many as before after it."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return " ".join(line.partition(":")[2].split())
    return platform.processor() or platform.machine()
