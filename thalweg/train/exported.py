"""A trained model as a file that runs without this package: torch.export's program, or ONNX."""

from __future__ import annotations

import io
import os
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from thalweg.errors import MissingExtraError, TaskError
from thalweg.files import write_bytes
from thalweg.objective.blame import blame
from thalweg.tasks.data import Data
from thalweg.train.modes import evaluating
from thalweg.train.place import place_of

ENDINGS = (".pt2", ".onnx")
_ROWS = 3
"""Rows to trace with: more than one, which a program might take for a constant."""


class Predictor(nn.Module):
    """A model together with the scaling of its data: units of the data in, units of the targets out."""

    def __init__(self, model: nn.Module, data: Data) -> None:
        super().__init__()
        self.model = model
        self.before, self.after = data.scaler, data.target_scaler

    def forward(self, rows: Tensor) -> Any:
        """Return what the model says of rows."""
        scaled = rows if self.before is None else self.before(rows).to(rows.dtype)
        outputs = self.model(scaled)
        return outputs if self.after is None else self.after.inverse(outputs).to(outputs.dtype)


def export_model(model: nn.Module, data: Data, path: str | os.PathLike[str]) -> Path:
    """Write a model with its data's scaling to a file, for any number of rows; return the path.

    Args:
        model: the trained model.
        data: its first rows of training show the shape of the inputs, which are one tensor.
        path: a file .pt2, which `torch.export.load` reads, or .onnx.

    The program is run beside the model before it is written, on another number of rows.

    Raises:
        TaskError: another ending, inputs that are no tensor, a model that cannot be traced, or a program
            that gives other outputs.
        MissingExtraError: ONNX needs packages that are not installed.
    """
    target = Path(path)
    if target.suffix.lower() not in ENDINGS:
        raise TaskError(f"An exported model is a file {' or '.join(ENDINGS)}; got {target}.")
    rows = place_of(model)(_first_rows(data))
    predictor = Predictor(model, data)
    with evaluating(predictor):
        program = _traced(predictor, rows)
        _compare(predictor, program, rows)
        content = _as_onnx(program) if target.suffix.lower() == ".onnx" else _as_program(program)
    write_bytes(target, content)
    return target


def _first_rows(data: Data) -> Tensor:
    inputs, _ = next(iter(data.train.batches(2 * _ROWS)))
    if not isinstance(inputs, Tensor) or len(inputs) < 2:
        raise TaskError(
            "A model is exported with one tensor of two rows or more as its inputs; the data gives "
            f"{type(inputs).__name__}."
        )
    if data.scaler is not None:  # the data is scaled already, and the program scales
        inputs = data.scaler.inverse(inputs).to(inputs.dtype)
    return inputs.detach().clone()


def _traced(predictor: Predictor, rows: Tensor) -> torch.export.ExportedProgram:
    shapes = ({0: torch.export.Dim.DYNAMIC},)
    try:
        return torch.export.export(predictor, (rows[:_ROWS],), dynamic_shapes=shapes)
    except Exception as error:  # PyTorch's own, and those of the user's model
        first = str(error).strip().splitlines()
        raise TaskError(
            f"The model cannot be exported: torch.export cannot trace it. {blame(error)}"
            if len(first) < 2
            else f"The model cannot be exported: torch.export cannot trace it: {first[0]}"
        ) from error


def _compare(predictor: Predictor, program: torch.export.ExportedProgram, rows: Tensor) -> None:
    """Refuse a program that does not compute what the model does."""
    run = program.module()
    for part in (rows[:_ROWS], rows[:2], rows):
        expected, got = predictor(part), run(part)
        same = torch.utils._pytree.tree_map_only(Tensor, lambda x: x.double(), (expected, got))
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


def _as_onnx(program: torch.export.ExportedProgram) -> bytes:
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError:
        raise MissingExtraError("onnxscript", "An ONNX file", "onnx") from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's exporter uses what PyTorch has deprecated
        made = torch.onnx.export(program, dynamo=True, verbose=False)
    assert made is not None
    content: bytes = made.model_proto.SerializeToString()
    return content
