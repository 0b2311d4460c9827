"""Nested plain data with tensors in one safetensors file: tensors as tensors, the rest as JSON
beside them.

No pickle, so reading a file runs nothing. Numbers come back bit for bit: JSON keeps Python's floats
by their shortest exact decimal form. A checksum over all of it tells a damaged file.
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

from thalweg.errors import CheckpointError
from thalweg.files import atomic_path

_FORMAT = "thalweg-1"


def write_archive(path: str | os.PathLike[str], content: dict[str, Any]) -> None:
    """Write `content`, nested dicts, lists, tuples, tensors, numbers, strings and None, whole or
    not at all.

    Raises CheckpointError for a value of another kind, naming it, and where the file cannot be
    written.
    """
    tensors: dict[str, Tensor] = {}
    text = json.dumps(_encode(content, "", tensors))
    metadata = {"format": _FORMAT, "content": text, "crc32": str(_checksum(text, tensors))}
    try:
        with atomic_path(path) as temporary:
            save_file(tensors, temporary, metadata)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"The checkpoint {path} cannot be written: {error}") from error


def read_archive(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return what `write_archive` wrote, tensors on the CPU.

    Raises CheckpointError for a file that is missing, damaged, or not of this kind.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"There is no checkpoint {path}.")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            f"The checkpoint {path} is truncated or damaged, or no safetensors file ({error}). "
            "Delete it to start anew."
        ) from error
    if metadata.get("format") != _FORMAT:
        raise CheckpointError(
            f"The file {path} is no checkpoint of this version: expected format {_FORMAT}, "
            f"got {metadata.get('format')}."
        )
    text = metadata.get("content", "")
    if metadata.get("crc32") != str(_checksum(text, tensors)):
        raise CheckpointError(
            f"The checkpoint {path} is damaged: its checksum does not match its content."
        )
    decoded: dict[str, Any] = _decode(json.loads(text), tensors)
    return decoded


def _encode(value: Any, where: str, tensors: dict[str, Tensor]) -> Any:
    """Return `value` as JSON data; what JSON lacks becomes {"$kind": …}, and tensors move to
    `tensors`.
    """
    if isinstance(value, Tensor):
        if value.layout != torch.strided:
            raise CheckpointError(
                f"The checkpoint cannot hold {where}: a tensor of layout {value.layout}."
            )
        # A copy of its own: safetensors refuses tensors that share memory, as tied weights do.
        tensors[where] = value.detach().cpu().clone(memory_format=torch.contiguous_format)
        return {"$tensor": where}
    if value is None or isinstance(value, (bool, str)):
        return value
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


def _decode(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_decode(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    ((kind, inner),) = value.items()
    if kind == "$tensor":
        return tensors[inner]
    if kind == "$float":
        return float(inner)
    if kind == "$tuple":
        return tuple(_decode(item, tensors) for item in inner)
    pairs = {_decode(k, tensors): _decode(v, tensors) for k, v in inner}
    return Counter(pairs) if kind == "$counter" else pairs


def _checksum(text: str, tensors: dict[str, Tensor]) -> int:
    value = zlib.crc32(text.encode())
    for name in sorted(tensors):
        flat = tensors[name].reshape(-1)
        if flat.numel():
            value = zlib.crc32(flat.view(torch.uint8).numpy().data, value)
    return value
