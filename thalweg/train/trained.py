"""What a finished run is used for, whether it is in memory or in a folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from thalweg.errors import DataError
from thalweg.objective import Scores
from thalweg.objective.answers import Output, answers
from thalweg.tasks.sources import ArraySource
from thalweg.tasks.task import Task
from thalweg.tasks.tensors import as_tensor
from thalweg.train.evaluate import evaluate, predict
from thalweg.train.exported import export_model
from thalweg.train.history import History


class Trained:
    """A trained model with its task and its history."""

    model: nn.Module
    history: History

    @property
    def task(self) -> Task:
        """The task that was learned."""
        raise NotImplementedError

    @property
    def epochs(self) -> int:
        """The number of epochs on record."""
        return len(self.history)

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """Draw loss and metrics over the epochs, as `history.plot` does."""
        return self.history.plot(path)

    def evaluate(self, split: str = "test") -> Scores:
        """Return loss, penalty and metrics on the whole "train", "validation" or "test" set."""
        return evaluate(self.model, self.task.data.split(split), self.task.cost)

    def predict(self, x: Any, output: Output = "raw") -> Any:
        """Return what the model says of the rows `x`: an array for an array, a tensor for a tensor.

        `x` is in the units in which the data was given: the data's scaling, if any, is applied to
        it, and the targets' scaling is undone in what is returned. Where the data were a table, `x` may
        be one, or its file: its columns are found by name.

        `output` "raw" is the model's outputs; "probability" and "class" are what these mean under the
        loss: softmax or the logistic function of them, and the most probable class.

        Raises:
            TaskError: the loss gives the outputs no such meaning.
            DataError: `x` has not the shape or kind of the data.
        """
        outputs = answers(self.task.cost.surrogate, self._outputs(x), output)
        return outputs if isinstance(x, Tensor) else outputs.cpu().numpy()

    def export(self, path: str | os.PathLike[str]) -> Path:
        """Write the model, with the data's scaling, to a file that runs without this package.

        Args:
            path: .pt2, a program that `torch.export.load` reads, or .onnx, with `thalweg[onnx]`. It takes
                any number of rows, in the units in which the data was given, and returns raw outputs.

        Raises:
            TaskError: the model cannot be traced, its inputs are no tensor, or the program gives other
                outputs than the model.
            MissingExtraError: ONNX needs packages that are not installed.
        """
        return export_model(self.model, self.task.data, path)

    def _outputs(self, x: Any) -> Any:
        data = self.task.data
        if data.columns is not None and not isinstance(x, (Tensor, np.ndarray)):
            x = data.columns.encode(x)
        rows = as_tensor(x, "inputs of predict")
        if not isinstance(x, Tensor):
            rows = rows.clone()  # the caller's array, which no layer is to write into
        if isinstance(data.train, ArraySource):
            rows = _like(rows, data.train.inputs)
        if data.scaler is not None:
            rows = data.scaler(rows)
        outputs = predict(self.model, rows)
        if data.target_scaler is not None:
            outputs = data.target_scaler.inverse(outputs).to(outputs.dtype)
        return outputs


def _like(rows: Tensor, inputs: Tensor) -> Tensor:
    """Return `rows` as numbers of the kind the model was trained on; refuse another shape."""
    if rows.shape[1:] != inputs.shape[1:]:
        expected = "".join(f", {size}" for size in inputs.shape[1:])
        raise DataError(
            f"predict expects inputs of shape (rows{expected or ','}), as in training; "
            f"got {tuple(rows.shape)}."
        )
    if rows.is_complex() and not inputs.is_complex():
        raise DataError("predict expects real numbers, as in training; these are complex.")
    if inputs.is_floating_point() and not rows.is_floating_point():
        return rows.to(inputs.dtype)
    return rows
