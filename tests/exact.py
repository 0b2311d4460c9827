"""Exact comparison of floats, each with its reason."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch


def same(actual: Any, expected: Any, *, because: str) -> None:
    """Assert the same dtype, shape and bits; NaN equals NaN."""
    assert because
    left, right = (
        value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)
        for value in (actual, expected)
    )
    assert left.dtype == right.dtype
    np.testing.assert_array_equal(left, right, strict=True)
