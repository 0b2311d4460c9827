"""Hashes by which it is told whether two things are the same, also in another process."""

from __future__ import annotations

import hashlib
import json
from typing import Any

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
