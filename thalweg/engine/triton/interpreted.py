"""The functions of libdevice for Triton's interpreter, which has none: NumPy's, on what it computes with."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from thalweg.engine.program.ops import ARRAY
from thalweg.engine.triton.library import LIBRARY


def functions() -> SimpleNamespace:
    """Return NumPy's functions under libdevice's names."""
    return SimpleNamespace(**{name: _on_blocks(ARRAY[op]) for op, name in LIBRARY.items()})


def _on_blocks(function: Any) -> Any:
    from triton.language import block_type, tensor
    from triton.runtime.interpreter import TensorHandle

    def call(*blocks: Any) -> Any:
        dtype = blocks[0].dtype
        arrays = [block.handle.data for block in blocks]
        made = np.asarray(function(*arrays), dtype=arrays[0].dtype)
        return tensor(TensorHandle(made, dtype), block_type(dtype, list(made.shape)))

    return call
