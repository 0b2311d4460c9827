"""What outputs and targets say of classes: the common ground of all class metrics."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from thalweg.errors import TaskError

Kind = Literal["two", "several", "labels"]
"""One output for two classes, one for each of several classes, or one for each label of a row."""

_OF_LABELS = (
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "soft_margin_loss",
    "multilabel_soft_margin_loss",
    "MultiLabelSoftMarginLoss",
)


@dataclass(frozen=True)
class Classified:
    """Outputs and targets, one row for each row or position that counts.

    Of "two" classes both are of shape (n,), of "several" outputs are (n, classes) and targets the class
    numbers (n,), of "labels" both are (n, labels). Targets of "two" and "labels" are bools.
    """

    kind: Kind
    outputs: Tensor
    targets: Tensor
    loss: str
    name: str

    @property
    def predicted(self) -> Tensor:
        """The classes, or the labels as bools, that the outputs say; the first of equal ones."""
        if self.kind == "several":
            return self.outputs.max(1).indices
        return self.outputs > (0.5 if self.loss == "binary_cross_entropy" else 0.0)

    @property
    def probabilities(self) -> Tensor:
        """The probability of each class, of class 1 or of each label, in float64."""
        outputs = self.outputs.double()
        if self.loss == "multi_margin_loss":
            raise TaskError(
                f"The metric {self.name} is one of probabilities, and the scores of "
                "multi_margin_loss are none. Train with cross_entropy, or leave it out."
            )
        if self.kind == "several":
            return outputs.exp() if self.loss == "nll_loss" else outputs.softmax(1)
        return outputs if self.loss == "binary_cross_entropy" else outputs.sigmoid()

    @property
    def scores(self) -> Tensor:
        """What orders the rows by each class: probabilities where those of a row depend on each other."""
        if self.kind == "several" and self.loss != "multi_margin_loss":
            return self.probabilities
        return self.outputs.double()

    def refuse(self, *kinds: Kind, advice: str) -> None:
        """Raise TaskError if the outputs are of one of these kinds."""
        if self.kind in kinds:
            raise TaskError(
                f"The metric {self.name} cannot be had of outputs of shape "
                f"{tuple(self.outputs.shape)}: {advice}."
            )


@dataclass(frozen=True)
class ClassMetric:
    """A function of (outputs, targets) that measures what they say of classes.

    Args:
        name: what messages call it.
        measure: the figure of what counts.
        loss: the name of the loss beside it, which says what an output means.
        ignore_index: the class number that does not count; None if all do.
    """

    name: str
    measure: Callable[[Classified], Tensor]
    loss: str = ""
    ignore_index: int | None = -100

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the figure of a batch; NaN where nothing counts."""
        found = self.read(outputs, targets)
        if not len(found.targets):
            return torch.tensor(torch.nan)
        return self.measure(found)

    def count(self, outputs: Tensor, targets: Tensor) -> int:
        """Return how many rows or positions count."""
        return len(self.read(outputs, targets).targets)

    def beside(self, loss: str, ignore_index: int | None) -> ClassMetric:
        """Return the metric as it is beside this loss."""
        return dataclasses.replace(self, loss=loss, ignore_index=ignore_index)

    def read(self, outputs: Tensor, targets: Tensor) -> Classified:
        """Return outputs and targets as classes; TaskError where they are none."""
        if not (isinstance(outputs, Tensor) and isinstance(targets, Tensor) and outputs.ndim):
            raise TaskError(
                f"The metric {self.name} wants a tensor of outputs and one of targets; got "
                f"{type(outputs).__name__} and {type(targets).__name__}."
            )
        if outputs.ndim == 1 or outputs.shape[1] == 1:
            if targets.numel() != outputs.numel():
                raise self._unfit(outputs, targets)
            return self._found("two", outputs.reshape(-1), targets.reshape(-1) > 0.5)
        if targets.shape == outputs.shape and self.loss in _OF_LABELS:
            return self._found("labels", _flat(outputs), _flat(targets) > 0.5)
        if targets.shape == outputs.shape:
            return self._found("several", _flat(outputs), targets.argmax(1).reshape(-1))
        if targets.shape != outputs.shape[:1] + outputs.shape[2:] or targets.is_floating_point():
            raise self._unfit(outputs, targets)
        return self._numbers(_flat(outputs), targets.reshape(-1).long())

    def _numbers(self, outputs: Tensor, targets: Tensor) -> Classified:
        if self.ignore_index is not None:
            kept = targets != self.ignore_index
            outputs, targets = outputs[kept], targets[kept]
        wrong = (targets < 0) | (targets >= outputs.shape[1])
        if wrong.any():
            raise TaskError(
                f"The metric {self.name} found class {int(targets[wrong][0])}; with "
                f"{outputs.shape[1]} outputs classes are 0 to {outputs.shape[1] - 1}."
            )
        return self._found("several", outputs, targets)

    def _found(self, kind: Kind, outputs: Tensor, targets: Tensor) -> Classified:
        return Classified(kind, outputs, targets, self.loss, self.name)

    def _unfit(self, outputs: Tensor, targets: Tensor) -> TaskError:
        return TaskError(
            f"{self.name}: {tuple(outputs.shape)} outputs do not fit {tuple(targets.shape)} targets "
            f"of {targets.dtype}. Targets are class numbers (rows,), or of the outputs' shape."
        )


def _flat(values: Tensor) -> Tensor:
    """Return (rows, classes, …) as (rows and positions, classes)."""
    return values.movedim(1, -1).reshape(-1, values.shape[1])
