"""Nested plain data with tensors in one safetensors file: tensors as tensors, the rest as JSON
beside them.

No pickle, so reading a file runs nothing. Numbers come back bit for bit: JSON keeps Python's floats
by their shortest exact decimal form. A checksum over the whole content detects damaged files.
"""

from __future__ import annotations

import json
import math
import os
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from thalweg.errors import CheckpointError, sentence
from thalweg.files import atomic_path

_FORMAT = "thalweg-1"
_PAIRS = (torch.complex32, torch.complex128)
"""Complex dtypes that safetensors cannot write: they are written as pairs of real numbers."""
_KNOWN = frozenset(
    getattr(torch, name)
    for name in (
        *("bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"),
        *("float16", "bfloat16", "float32", "float64", "complex64"),
        *("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu"),
    )
    if hasattr(torch, name)
)
"""The dtypes that safetensors can write."""


def write_archive(path: str | os.PathLike[str], content: dict[str, Any]) -> None:
    """Write `content`, nested dicts, lists, tuples, tensors, numbers, strings and None, whole or
    not at all.

    Raises:
        CheckpointError: for a value of another kind, naming it, and where the file cannot be written.
    """
    text, tensors = _encoded(content)
    metadata = {"format": _FORMAT, "content": text, "crc32": str(_checksum(text, tensors))}
    try:
        with atomic_path(path) as temporary:
            save_file(tensors, temporary, metadata)
    except OSError as error:  # whose text names the temporary file
        reason = error.strerror or error
        raise CheckpointError(f"The checkpoint {path} cannot be written: {reason}.") from error
    except (SafetensorError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"The checkpoint {path} cannot be written: {sentence(error)}"
        ) from error


def rehearsed(content: dict[str, Any]) -> dict[str, Any]:
    """Return what reading would give after writing `content`, without a file.

    Raises:
        CheckpointError: for what cannot be written, as `write_archive` does.
    """
    text, tensors = _encoded(content)
    decoded: dict[str, Any] = _decode(json.loads(text), tensors)
    return decoded


def _encoded(content: dict[str, Any]) -> tuple[str, dict[str, Tensor]]:
    tensors: dict[str, Tensor] = {}
    try:
        return json.dumps(_encode(content, "", tensors)), tensors
    except (RecursionError, ValueError) as error:  # it holds itself, or numbers of endless length
        raise CheckpointError(
            f"The checkpoint cannot hold what it is to hold: {sentence(error)}"
        ) from error


def read_archive(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return what `write_archive` wrote, tensors on the CPU.

    Raises:
        CheckpointError: for a file that is missing, damaged, or not of this kind.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(
            f"The checkpoint {path} is not a regular file."
            if path.exists()
            else f"There is no checkpoint {path}."
        )
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"The checkpoint {path} is truncated or damaged, or no safetensors file ({error}). "
            "Delete it to start again."
        ) from error
    if metadata.get("format") != _FORMAT:
        raise CheckpointError(
            f"The file {path} is not a checkpoint of this version: expected format {_FORMAT}, "
            f"got {metadata.get('format')}."
        )
    text = metadata.get("content", "")
    if metadata.get("crc32") != str(_checksum(text, tensors)):
        raise CheckpointError(
            f"The checkpoint {path} is damaged: its checksum does not match its content."
        )
    try:
        decoded: dict[str, Any] = _decode(json.loads(text), tensors)
    # nested too deeply, no JSON, numbers that are too long, or other forms than are written here
    except (RuntimeError, ValueError, TypeError, KeyError, OverflowError) as error:
        raise _unreadable(path, f"{type(error).__name__}: {error}") from error
    if not isinstance(decoded, dict):
        raise _unreadable(path, f"it is a {type(decoded).__name__}")
    return decoded


def _unreadable(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(
        f"The content of the checkpoint {path} is not as this package writes it ({reason}): it was "
        "edited, or written by another version. Delete it to start again."
    )


def _encode(value: Any, where: str, tensors: dict[str, Tensor]) -> Any:
    """Return `value` as JSON data; what JSON lacks becomes {"$kind": …}, and tensors move to
    `tensors`.
    """
    if isinstance(value, Tensor):
        return _put(value, where, tensors)
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        number = float(value)
        return number if math.isfinite(number) else {"$float": repr(number)}
    if isinstance(value, tuple):
        return {"$tuple": [_encode(v, f"{where}/{i}", tensors) for i, v in enumerate(value)]}
    if isinstance(value, list):
        return [_encode(v, f"{where}/{i}", tensors) for i, v in enumerate(value)]
    if isinstance(value, dict):
        kind = "$counter" if isinstance(value, Counter) else "$dict"
        pairs = [
            [_encode(k, where, tensors), _encode(v, f"{where}/{k}".lstrip("/"), tensors)]
            for k, v in value.items()
        ]
        return {kind: pairs}
    raise CheckpointError(
        f"The checkpoint cannot hold {where}: a {type(value).__name__}. It holds tensors, numbers, "
        "strings, and lists and dictionaries of them."
    )


def _put(value: Tensor, where: str, tensors: dict[str, Tensor]) -> dict[str, str]:
    """Put a tensor among those that are written; return its kind and its name there."""
    if value.layout != torch.strided:
        raise CheckpointError(
            f"The checkpoint cannot hold {where}: a tensor of layout {value.layout}."
        )
    kind, name = "$tensor", where
    while name in tensors:  # the keys 1 and "1" of a dictionary have the same text
        name += "'"
    # A copy of its own: safetensors refuses tensors that share memory, as tied weights do.
    tensor = value.detach().cpu().clone(memory_format=torch.contiguous_format)
    if tensor.dtype in _PAIRS:  # which safetensors does not know
        kind, tensor = "$complex", torch.view_as_real(tensor)
    if tensor.is_quantized or tensor.dtype not in _KNOWN:
        raise CheckpointError(
            f"The checkpoint cannot hold {where}: a tensor of dtype {tensor.dtype}."
        )
    tensors[name] = tensor
    return {kind: name}


def _decode(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_decode(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    ((kind, inner),) = value.items()
    if kind == "$tensor":
        return tensors[inner]
    if kind == "$complex":
        # A copy, since complex128 must lie at a multiple of 16 bytes, its parts in a file at one of 8: where
        # compilers rely on that, as in PyTorch's kernels without AVX, reading elsewhere ends the process.
        return torch.view_as_complex(tensors[inner].clone(memory_format=torch.contiguous_format))
    if kind == "$float":
        return float(inner)
    if kind == "$tuple":
        return tuple(_decode(item, tensors) for item in inner)
    if kind not in ("$dict", "$counter"):
        raise ValueError(f"unknown kind {kind!r}")
    pairs = {_decode(k, tensors): _decode(v, tensors) for k, v in inner}
    return Counter(pairs) if kind == "$counter" else pairs


def _checksum(text: str, tensors: dict[str, Tensor]) -> int:
    value = zlib.crc32(text.encode())
    for name in sorted(tensors):
        flat = tensors[name].reshape(-1)
        if flat.numel():
            value = zlib.crc32(flat.view(torch.uint8).numpy().data, value)
    return value
