"""What a CUDA graph does, on the CPU: the work of a step is recorded, and done again without the host."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves

WAITS = torch.ops.aten._local_scalar_dense.default
"""The operation by which PyTorch reads a number of the device on the host."""


class Recorder(TorchDispatchMode):
    """PyTorch's operations and Triton's launches of a block, in order; `replay` does them again.

    What is read on the host is an error, as it is while a graph is captured.
    """

    def __init__(self) -> None:
        super().__init__()
        self._calls: list[tuple[Any, Any, Any, Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert func is not WAITS, f"{func} waits for the device"
        out = func(*args, **(kwargs or {}))
        self._calls.append((func, args, kwargs or {}, out))
        return out

    def launched(self, launch: Any, executor: Any, args: Any, kwargs: Any) -> Any:
        """Launch a kernel."""
        with _disable_current_modes():
            launch(executor, *args, **kwargs)
        self._calls.append((lambda *a, **k: launch(executor, *a, **k), args, kwargs, None))

    def replay(self) -> None:
        """Do on the device what was recorded, in the same memory."""
        for function, args, kwargs, out in self._calls:
            made = function(*args, **kwargs)
            for old, new in zip(tree_leaves(out), tree_leaves(made), strict=True):
                if isinstance(old, Tensor) and old.data_ptr() != new.data_ptr():
                    old.copy_(new)


@contextmanager
def recording(monkeypatch: pytest.MonkeyPatch, captures: bool = True) -> Iterator[Recorder]:
    """Record a block; with `captures` the optimizer is told that a graph is captured, and sends no table."""
    from triton.runtime.interpreter import GridExecutor

    from thalweg.engine.triton import batch, device, device_numbers, host_numbers
    from thalweg.optim.stepping import stepper

    recorder, launch = Recorder(), GridExecutor.__call__
    with monkeypatch.context() as patched:
        if captures:
            for module in (batch, device_numbers, host_numbers):
                patched.setattr(module, "is_capturing", lambda device: True)
            patched.setattr(stepper, "is_capturing", lambda: True)
            patched.setattr(device.DeviceTable, "write", _refuse)
        patched.setattr(
            GridExecutor, "__call__", lambda self, *a, **k: recorder.launched(launch, self, a, k)
        )
        with recorder:
            yield recorder


def _refuse(table: Any, numbers: Any) -> None:
    raise AssertionError("a replay would find in this table what the host wrote into it last")
