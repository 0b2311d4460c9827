"""Arrays in the folder of a run: written and read back, and files that someone edited."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from thalweg.errors import ThalwegError
from thalweg.train.folder.arrays import read_arrays, write_arrays
from thalweg.train.folder.gauges import read_gauges
from thalweg.train.folder.layout import GAUGES, PATH
from thalweg.train.folder.path import read_path


def test_what_was_written_is_read(tmp_path: Path) -> None:
    file = write_arrays(
        tmp_path / "a", "test", "s/1", {"x": torch.arange(6.0).view(2, 3).T}, {"n": [1]}
    )
    schema, arrays, lists = read_arrays(file, ("n", "absent"))
    assert (schema, lists) == ("s/1", [[1], None])
    assert arrays["x"].tolist() == [[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]]


@pytest.mark.parametrize("text", ["[" * 100_000, "[", json.dumps(5)], ids=("deep", "cut", "number"))
@pytest.mark.parametrize(
    ("read", "name", "lists"),
    [(read_gauges, GAUGES, ("parameters", "layers")), (read_path, PATH, ("names", "shapes"))],
    ids=("gauges", "path"),
)
def test_edited_lists_are_refused_in_words(
    tmp_path: Path, read: Callable[..., Any], name: str, lists: tuple[str, str], text: str
) -> None:
    arrays = {"points": torch.zeros(1, 2), "steps": torch.zeros(1, dtype=torch.int64)}
    save_file(arrays, tmp_path / name, {"schema": "any", **dict.fromkeys(lists, text)})
    with pytest.raises(ThalwegError, match=r"cannot be read|was edited"):
        read(tmp_path)
