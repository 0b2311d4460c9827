"""Strategies as texts: one that tells two apart, and one that the command line reads."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from types import CodeType
from typing import Any

import numpy as np
from torch import Tensor, nn

from thalweg.hashing import hash_of, hash_of_numbers, lasting

_PLAIN = (bool, int, float, str, type(None))


def identified(value: Any) -> str:
    """Return a text that is the same in every process, and another one where a strategy trains otherwise.

    >>> identified(0.5), identified(lambda x: x) == identified(lambda x: 2 * x)
    ('0.5', False)
    """
    if isinstance(value, nn.Module):
        return f"{value!r} {hash_of([[k, identified(v)] for k, v in value.state_dict().items()])}"
    if isinstance(value, Tensor | np.ndarray):
        dtype = str(value.dtype).removeprefix("torch.")
        return f"{dtype}{tuple(value.shape)} {hash_of_numbers(value)}"
    if isinstance(value, functools.partial):
        return f"{identified(value.func)}{identified(value.args)}{identified(value.keywords)}"
    if isinstance(value, Mapping):
        return repr([(key, identified(each)) for key, each in value.items()])
    if isinstance(value, (tuple, list)):
        return repr([identified(each) for each in value])
    code = getattr(value, "__code__", None)
    if code is None:
        return lasting(repr(value))
    held = [identified(cell.cell_contents) for cell in value.__closure__ or ()]
    content = [_code(code), identified(value.__defaults__ or ()), held]
    return f"{value.__qualname__} {hash_of(content)}"


def _code(code: CodeType) -> str:
    constants = [_code(c) if isinstance(c, CodeType) else repr(c) for c in code.co_consts]
    return repr((code.co_code, constants, code.co_names))


def written(name: str, settings: Mapping[str, Any]) -> str:
    """Return NAME:setting=value,…; what no text stands for is shown in words.

    >>> written("curriculum", {"order": "hard", "start": 0.5}), written("transfer", {})
    ('curriculum:order=hard,start=0.5', 'transfer')
    """
    parts = ",".join(f"{k}={_word(v)}" for k, v in settings.items())
    return f"{name}:{parts}" if parts else name


def _word(value: Any) -> str:
    if isinstance(value, _PLAIN):
        return str(value).lower() if isinstance(value, bool) or value is None else str(value)
    if isinstance(value, (tuple, list)):
        return "+".join(_word(each) for each in value)
    return f"<{getattr(value, '__qualname__', type(value).__name__)}>"
