"""Hashes by which it is told whether two things are the same, also in another process."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

import numpy as np
import torch
from torch import Tensor

_DIGITS = 20


def hash_of_bytes(data: bytes) -> str:
    """Return the SHA-256 of some bytes, in hexadecimal digits.

    >>> hash_of_bytes(b"")[:8]
    'e3b0c442'
    """
    return hashlib.sha256(data).hexdigest()


def hash_of(value: Any) -> str:
    """Return a short hash of a value of JSON; what JSON cannot hold counts by its repr.

    The order in which a dictionary was filled does not count.

    >>> hash_of({"epochs": 3, "data": "x"}) == hash_of({"data": "x", "epochs": 3})
    True
    """
    text = json.dumps(value, sort_keys=True, default=repr)
    return hash_of_bytes(text.encode())[:_DIGITS]


def bytes_of(value: Tensor | np.ndarray[Any, Any]) -> bytes:
    """Return the numbers of a tensor of any type, or of an array, in the order of their indices."""
    if not isinstance(value, Tensor):
        return value.tobytes()
    # of one row, any stride counts as contiguous; a copy has the usual one
    flat = value.detach().cpu().clone(memory_format=torch.contiguous_format).reshape(-1)
    return flat.view(torch.uint8).numpy().tobytes()


def hash_of_numbers(value: Tensor | np.ndarray[Any, Any]) -> str:
    """Return the SHA-256 of the numbers of a tensor or an array, in the order of its indices.

    >>> hash_of_numbers(torch.ones(2, 3).mT) == hash_of_numbers(np.ones((3, 2), "float32"))
    True
    """
    return hash_of_bytes(bytes_of(value))


def lasting(text: str) -> str:
    """Return the text without addresses in memory, which differ from one process to the next.

    >>> lasting("<function f at 0x7f0a>")
    '<function f>'
    """
    return re.sub(r" at 0x[0-9a-fA-F]+", "", text)
