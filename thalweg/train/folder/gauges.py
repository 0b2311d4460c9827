"""Gauges of a run on disk: arrays by step, parameter and layer, as safetensors."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from thalweg.errors import CheckpointError, sentence
from thalweg.train.folder.arrays import UNREADABLE, read_arrays, write_arrays
from thalweg.train.folder.layout import GAUGES

SCHEMA = "thalweg.gauges/1"


@dataclass(frozen=True)
class Gauges:
    """What was recorded of a run, in root mean squares.

    Args:
        arrays: by name: `steps` (samples), `lr` (samples), `gradient`, `update`, `weight` and `unchanged`
            (samples, parameters); `layer_steps` (passes), `layer_output`, `layer_gradient` (passes, calls);
            `loss` (steps), of the first steps; `step_loss` (samples), where it was told.
        parameters: the names of the parameters, in the order of their axis.
        layers: the names of the layers, one for each call in a pass.
    """

    arrays: Mapping[str, Tensor]
    parameters: Sequence[str]
    layers: Sequence[str]


def write_gauges(folder: str | os.PathLike[str], gauges: Gauges) -> Path:
    """Write gauges into the folder of a run; return the file.

    Raises:
        CheckpointError: it cannot be written.
    """
    lists = {"parameters": list(gauges.parameters), "layers": list(gauges.layers)}
    return write_arrays(Path(folder) / GAUGES, "gauges", SCHEMA, gauges.arrays, lists)


def read_gauges(folder: str | os.PathLike[str]) -> Gauges:
    """Return the gauges in the folder of a run.

    Raises:
        CheckpointError: there are none, or the file was edited.
    """
    path = Path(folder) / GAUGES
    try:
        schema, arrays, (parameters, layers) = read_arrays(path, ("parameters", "layers"))
    except UNREADABLE as error:
        raise CheckpointError(
            f"The gauges {path} cannot be read: {sentence(error)} "
            "Record them: thalweg train … --gauges 10, or "
            "RecordGauges(folder)."
        ) from error
    named = all(isinstance(each, list) for each in (parameters, layers))
    if schema != SCHEMA or not named or not all(map(_is_real, arrays.values())):
        raise CheckpointError(f"{path} holds no gauges of the schema {SCHEMA!r}, or it was edited.")
    return Gauges(arrays, tuple(map(str, parameters)), tuple(map(str, layers)))


def _is_real(array: Tensor) -> bool:
    return array.dtype in (torch.float64, torch.int64)
