"""The machine that trains: its name, and the versions of what its numbers depend on."""

from __future__ import annotations

import contextlib
import os
import platform
from pathlib import Path

import numpy as np
import torch

from thalweg.numeric import plural
from thalweg.version import __version__


def machine_name() -> str:
    """Return the processor and the number of cores, in words."""
    cores = os.cpu_count() or 1
    return f"{_processor()}, {plural(cores, 'core')}"


def versions() -> dict[str, str]:
    """Return the versions of what the numbers of a run depend on."""
    return {
        "thalweg": __version__,
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return " ".join(line.partition(":")[2].split())
    return platform.processor() or platform.machine()
