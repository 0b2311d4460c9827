"""In which precision a device computes elements and reductions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager

import torch

REAL = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def computed_in(dtype: torch.dtype) -> torch.dtype:
    """Return the precision in which elements of a dtype are computed: half precision in float32."""
    return dtype if dtype in (torch.float32, torch.float64) else torch.float32


def reduced_in(device: torch.device) -> torch.dtype:
    """Return the precision in which what is reduced is computed: float64, where a device has it."""
    return torch.float64 if has_double(device) else torch.float32


def has_double(device: torch.device) -> bool:
    """Whether a device computes in float64: MPS does not, nor do some GPUs of XPU."""
    if device.type == "xpu":
        return bool(torch.xpu.get_device_properties(device).has_fp64)
    return device.type != "mps"


@contextmanager
def own_precision(devices: Iterable[str]) -> Iterator[None]:
    """Compute in the precision of the tensors on these types of devices, whatever autocast is set to."""
    with ExitStack() as entered:
        for device in devices:
            if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
                entered.enter_context(torch.autocast(device, enabled=False))
        yield
