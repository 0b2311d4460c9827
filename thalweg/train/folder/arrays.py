"""Named arrays, with lists that belong to them, in one safetensors file of a run's folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from thalweg.errors import CheckpointError, sentence
from thalweg.files import atomic_path

UNREADABLE = (OSError, SafetensorError, ValueError, TypeError, RecursionError)
"""What reading a file raises that is missing, cut off or edited."""


def write_arrays(
    file: Path, what: str, schema: str, arrays: Mapping[str, Tensor], lists: Mapping[str, Any]
) -> Path:
    """Write arrays and lists, whole or not at all; return the file.

    Raises:
        CheckpointError: it cannot be written; `what` names it, as "path".
    """
    metadata = {"schema": schema, **{name: json.dumps(each) for name, each in lists.items()}}
    plain = {name: array.detach().cpu().contiguous() for name, array in arrays.items()}
    try:
        with atomic_path(file) as temporary:
            save_file(plain, temporary, metadata)
    except (ValueError, RuntimeError, OSError) as error:
        raise CheckpointError(f"The {what} {file} cannot be written: {sentence(error)}") from error
    return file


def read_arrays(
    file: Path, lists: Sequence[str], arrays: Sequence[str] | None = None
) -> tuple[str | None, dict[str, Tensor], list[Any]]:
    """Return the schema of a file, its arrays (all, or those named) and its lists, None for one it lacks.

    Raises one of UNREADABLE.
    """
    with safe_open(file, framework="pt") as opened:
        metadata = opened.metadata() or {}
        names = list(opened.keys()) if arrays is None else arrays
        found: dict[str, Tensor] = {name: opened.get_tensor(name) for name in names}
    return metadata.get("schema"), found, [json.loads(metadata.get(n, "null")) for n in lists]
