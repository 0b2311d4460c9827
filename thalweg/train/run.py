"""A run: what `fit` gives back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from thalweg.errors import DataError
from thalweg.objective import Scores
from thalweg.tasks.sources import ArraySource
from thalweg.tasks.task import Task
from thalweg.tasks.tensors import as_tensor
from thalweg.train.evaluate import evaluate, predict
from thalweg.train.history import Epoch, Evaluation, History
from thalweg.train.stopping import Reached

if TYPE_CHECKING:
    from thalweg.train.recipe import Recipe


@dataclass
class Run:
    """A finished run: the trained model, its history, and why it stopped.

    `stopped` is "epochs" (all were done), "early stopping", "target", "gradient" (‖g‖ below the
    tolerance), "gradients" (their budget is spent), "interrupted" (Ctrl-C), or "diverged" or
    "failed" (only on the run that an error carries as its `run`). `steps` counts updates of the
    parameters: a batch that is only gathered, or left out, is none. `reached` tells when the target
    was first met: `stop_at`, or else the task's own. `best` is the epoch that was best by early
    stopping's figure, or else by validation loss, or else training loss. `seconds` is time spent in
    training, evaluations excluded; `gradients` what it computed in gradient-equivalents: a forward and a
    backward pass of one batch are 1, so a step of most optimizers is 1, one of SAM 2, one of L-BFGS
    as many as its line search.

    `model` is where it is to be used: for an optimizer that keeps an average, at the average, with
    batch normalisation's statistics computed there. `optimizer.train()` moves its parameters back
    to where training left them, to go on from there.
    """

    recipe: Recipe
    model: nn.Module
    optimizer: torch.optim.Optimizer
    history: History
    evaluations: list[Evaluation]
    steps: int
    seconds: float
    gradients: float
    stopped: str
    best: Epoch | None
    reached: Reached | None

    def __repr__(self) -> str:
        from thalweg.train.running.progress import summary  # showing is needed by texts alone

        figures = f", {summary(self.history[-1])}" if len(self.history) else ""
        return (
            f"Run({self.task.name!r}, {type(self.optimizer).__name__}, epochs={self.epochs}, "
            f"steps={self.steps}, stopped={self.stopped!r}{figures})"
        )

    @property
    def task(self) -> Task:
        """The task that was learned."""
        return self.recipe.task

    @property
    def epochs(self) -> int:
        """The number of epochs on record."""
        return len(self.history)

    def evaluate(self, split: str = "test") -> Scores:
        """Return loss, penalty and metrics on the whole "train", "validation" or "test" set."""
        return evaluate(self.model, self.task.data.split(split), self.task.cost)

    def predict(self, x: Any) -> Any:
        """Return the model's outputs for the rows `x`: an array for an array, a tensor for a
        tensor.

        `x` is in the units in which the data was given: the data's scaling, if any, is applied to
        it, and the targets' scaling is undone in what is returned.
        """
        data = self.task.data
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
        return outputs if isinstance(x, Tensor) else outputs.cpu().numpy()


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
