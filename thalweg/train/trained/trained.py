"""What a finished run is used for, whether it is in memory or in a folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from thalweg.errors import DataError
from thalweg.objective import Scores
from thalweg.objective.answers import Output, answers
from thalweg.objective.nested import mapped, tensors_in
from thalweg.report.parts.drawn import Chart
from thalweg.tasks.data import SPLITS
from thalweg.tasks.sources.mappings import TARGET_NAMES
from thalweg.tasks.sources.source import ArraySource, Source
from thalweg.tasks.sources.tensors import as_tensor
from thalweg.tasks.sources.weighted import WeightedSource
from thalweg.tasks.task import Task
from thalweg.train.history import History
from thalweg.train.restored.randomness import isolated
from thalweg.train.trained.evaluate import confusion, evaluate, predict, predict_set
from thalweg.train.trained.exported import export_model


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

    def plot(self, path: str | os.PathLike[str] | None = None) -> Chart:
        """Draw loss and metrics over the epochs, as `history.plot` does."""
        return self.history.plot(path)

    def evaluate(self, split: str = "test") -> Scores:
        """Return loss, penalty and metrics on the whole "train", "validation" or "test" set."""
        return evaluate(self.model, self.task.data.split(split), self.task.cost)

    def predict(self, x: Any, output: Output = "raw") -> Any:
        """Return what the model says of the rows `x`: an array for an array, a tensor for a tensor.

        `x` is in the units in which the data was given: the data's scaling, if any, is applied to
        it, and the targets' scaling is undone in what is returned. Where the data were a table, `x` may
        be one, or its file: its columns are found by name. "train", "validation" and "test" stand for the
        rows of that set, in the order in which it yields them.

        Where a data set or a loader gave several inputs, `x` is a tuple or a mapping of arrays or tensors,
        and what is returned is of the kind that the model returns.

        `output` "raw" is the model's outputs; "probability" and "class" are what these mean under the
        loss: softmax or the logistic function of them, and the most probable class.

        Raises:
            TaskError: the loss gives the outputs no such meaning.
            DataError: `x` has not the shape or kind of the data.
        """
        outputs = answers(self.task.cost.surrogate, self._outputs(x), output)
        return outputs if any(True for _ in tensors_in(x)) else mapped(outputs, _as_array)

    def confusion(self, split: str = "test") -> np.ndarray:
        """Return the confusion matrix on a set: in row j and column k, how many of class j were taken for k.

        Classes are those that the loss counts. Under a binary cross-entropy with several outputs a row,
        which are labels, there is one 2 × 2 matrix for each.

        Args:
            split: "train", "validation" or "test".

        Raises:
            TaskError: the targets are not classes.
            DataError: the data has no such set.

        Source: as `thalweg.objective.confusion_matrix`.
        """
        cost, source = self.task.cost, self.task.data.split(split)
        return confusion(self.model, source, cost).cpu().numpy()

    def export(self, path: str | os.PathLike[str]) -> Path:
        """Write the model, with the data's scaling, to a file that runs without this package.

        Args:
            path: .pt2, a program that `torch.export.load` reads, or .onnx, with `thalweg[onnx]`. It takes
                any number of rows, in the units in which the data was given, and returns raw outputs.
                Several inputs are one tuple or dictionary, as in `predict`, and inputs by name in ONNX.

        Raises:
            TaskError: the model cannot be traced, an input is not a tensor, or the program gives other
                outputs than the model.
            MissingExtraError: ONNX needs packages that are not installed.
        """
        return export_model(self.model, self.task.data, path)

    def _outputs(self, x: Any) -> Any:
        data = self.task.data
        if is_set(x):
            return self._unscaled(predict_set(self.model, data.split(x)))
        if data.columns is not None and not isinstance(x, (Tensor, np.ndarray)):
            x = data.columns.encode(x)
        in_memory = isinstance(data.train, (ArraySource, WeightedSource))
        if not in_memory and not isinstance(x, list) and not hasattr(x, "__array__"):
            x = _inputs_of(x, data.train)
            return predict(self.model, mapped(x, Tensor.detach, _as_tensor))
        rows = as_tensor(x, "inputs of predict")
        if isinstance(data.train, (ArraySource, WeightedSource)):
            rows = _like(rows, data.train.inputs)
        if data.scaler is not None:
            rows = data.scaler(rows)
        return self._unscaled(predict(self.model, rows))

    def _unscaled(self, outputs: Any) -> Any:
        scaler = self.task.data.target_scaler
        return outputs if scaler is None else scaler.inverse(outputs).to(outputs.dtype)


def is_set(x: Any) -> bool:
    """Return whether `x` is the name of a task's set."""
    return isinstance(x, str) and x in SPLITS


def _inputs_of(x: Any, source: Source) -> Any:
    """Return the inputs of a batch that is one mapping and may still hold its targets."""
    target = getattr(source, "target", None)
    names = TARGET_NAMES if target is None else (target,)
    if not (isinstance(x, Mapping) and any(name in x for name in names)):
        return x
    with source.untraced(), isolated():
        learned, _ = source.first(1)
    if not isinstance(learned, Mapping):
        return x
    return {key: part for key, part in x.items() if key in learned or key not in names}


def _as_tensor(value: Any) -> Any:
    return as_tensor(value, "inputs of predict") if hasattr(value, "__array__") else value


def _as_array(outputs: Tensor) -> Any:
    return outputs.cpu().numpy()


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
