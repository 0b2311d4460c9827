"""A trained model as a file that runs without this package: torch.export's program, or ONNX."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree

from thalweg.errors import MissingExtraError, TaskError
from thalweg.files import write_bytes
from thalweg.objective.blame import blame
from thalweg.objective.nested import mapped
from thalweg.tasks.data import Data
from thalweg.tasks.place import place_of
from thalweg.train.restored.modes import evaluating

ENDINGS = (".pt2", ".onnx")
_ROWS = 3
"""Rows to trace with: more than one, which a program might take for a constant."""


class Predictor(nn.Module):
    """A model together with the scaling of its data: units of the data in, units of the targets out."""

    def __init__(self, model: nn.Module, data: Data) -> None:
        super().__init__()
        self.model = model
        self.before, self.after = data.scaler, data.target_scaler

    def forward(self, rows: Any) -> Any:
        """Return what the model says of rows: a tensor, or several in a tuple or a dictionary."""
        scaled = rows if self.before is None else self.before(rows).to(rows.dtype)
        outputs = self.model(scaled)
        return outputs if self.after is None else self.after.inverse(outputs).to(outputs.dtype)


def export_model(model: nn.Module, data: Data, path: str | os.PathLike[str]) -> Path:
    """Write a model with its data's scaling to a file, for any number of rows; return the path.

    Args:
        model: the trained model.
        data: its first rows of training show the shape of the inputs: one tensor, or several in a tuple,
            list or mapping, which the program takes as one argument, as the model does. An ONNX file has
            an input for each, by its name in the mapping, or `input_0`, `input_1`, … of a tuple.
        path: a file .pt2, which `torch.export.load` reads, or .onnx.

    The program is compared with the model before it is written, on another number of rows.

    Raises:
        TaskError: another ending, inputs that are not tensors, a model that cannot be traced, or a program
            that gives other outputs.
        MissingExtraError: ONNX needs packages that are not installed.
    """
    target = Path(path)
    if target.suffix.lower() not in ENDINGS:
        raise TaskError(f"An exported model must be a file {' or '.join(ENDINGS)}; got {target}.")
    rows = place_of(model)(_first_rows(data))
    predictor = Predictor(model, data)
    with evaluating(predictor):
        program = _traced(predictor, rows)
        _compare(predictor, program, rows)
        names = [name for name, _ in _named(rows)]
        is_onnx = target.suffix.lower() == ".onnx"
        content = _as_onnx(program, names) if is_onnx else _as_program(program)
    write_bytes(target, content)
    return target


def _first_rows(data: Data) -> Any:
    given, _ = next(iter(data.train.batches(2 * _ROWS)))
    inputs = _containers(given)
    parts = _named(inputs)
    for name, part in parts:
        what = f"the input {name!r}" if name else "its inputs"
        if not isinstance(part, Tensor) or not part.ndim:
            raise TaskError(
                "A model is exported with tensors as its inputs, one or several in a tuple or a mapping, "
                f"each with one row per sample; the data gives {what} as {_kind(part)}."
            )
        if len(part) < 2 or len(part) != len(parts[0][1]):
            raise TaskError(
                "A model is exported with two rows or more, as many in each of its inputs; the data gives "
                f"{what} with {len(part)}."
            )
    if not parts:
        raise TaskError(
            f"A model is exported with tensors as its inputs; the data gives {given!r}."
        )
    if data.scaler is not None:  # the data is scaled already, and the program scales
        inputs = data.scaler.inverse(inputs).to(inputs.dtype)
    return mapped(inputs, lambda part: part.detach().clone())


def _containers(value: Any) -> Any:
    """Return a batch in tuples and dictionaries: torch.export looks into no other mappings, and tells lists,
    which loaders make, from the tuples that users write.
    """
    if isinstance(value, Mapping):
        return {name: _containers(part) for name, part in value.items()}
    if type(value) in (tuple, list):
        return tuple(_containers(part) for part in value)
    return value


def _named(inputs: Any) -> list[tuple[str, Any]]:
    """Return what inputs consist of, by names such as `image`, `0` or `text.ids`."""
    leaves, _ = _pytree.tree_flatten_with_path(inputs)
    return [
        (
            ".".join(
                str(getattr(k, "key", getattr(k, "idx", getattr(k, "name", k)))) for k in path
            ),
            leaf,
        )
        for path, leaf in leaves
    ]


def _kind(part: Any) -> str:
    return "a single number" if isinstance(part, Tensor) else type(part).__name__


def _rows(inputs: Any, count: int) -> Any:
    return mapped(inputs, lambda part: part[:count])


def _traced(predictor: Predictor, inputs: Any) -> torch.export.ExportedProgram:
    shapes = (_pytree.tree_map(lambda part: {0: torch.export.Dim.DYNAMIC}, inputs),)
    try:
        return torch.export.export(predictor, (_rows(inputs, _ROWS),), dynamic_shapes=shapes)
    except Exception as error:  # PyTorch's own, and those of the user's model
        first = str(error).strip().splitlines()
        raise TaskError(
            f"The model cannot be exported: torch.export cannot trace it. {blame(error)}"
            if len(first) < 2
            else f"The model cannot be exported: torch.export cannot trace it: {first[0]}"
        ) from error


def _compare(predictor: Predictor, program: torch.export.ExportedProgram, inputs: Any) -> None:
    """Refuse a program that does not compute what the model does."""
    run = program.module()
    for part in (_rows(inputs, _ROWS), _rows(inputs, 2), inputs):
        expected, got = predictor(part), run(part)
        same = _pytree.tree_map_only(Tensor, lambda x: x.double(), (expected, got))
        try:
            torch.testing.assert_close(same[1], same[0], rtol=1e-4, atol=1e-5, equal_nan=True)
        except AssertionError as error:
            raise TaskError(
                "The exported program gives other outputs than the model, for example as it draws "
                f"random numbers in evaluation: {str(error).splitlines()[0]}"
            ) from error


def _as_program(program: torch.export.ExportedProgram) -> bytes:
    held = io.BytesIO()
    torch.export.save(program, held)
    return held.getvalue()


def _as_onnx(program: torch.export.ExportedProgram, names: list[str]) -> bytes:
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError:
        raise MissingExtraError("onnxscript", "An ONNX file", "onnx") from None
    own = (
        [f"input_{name}" if name[:1].isdecimal() else name for name in names]
        if any(names)
        else None
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's exporter uses what PyTorch has deprecated
        made = torch.onnx.export(program, dynamo=True, verbose=False, input_names=own)
    assert made is not None
    content: bytes = made.model_proto.SerializeToString()
    return content
