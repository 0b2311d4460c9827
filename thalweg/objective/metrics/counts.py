"""Class metrics that follow from counts of right and wrong: precision, recall, F1, the confusion matrix.

With true positives TP, false positives FP and false negatives FN of a class (C. J. van Rijsbergen,
Information Retrieval, 2nd ed., 1979, chapter 7):

    precision = TP / (TP + FP)      recall = TP / (TP + FN)      F1 = 2·TP / (2·TP + FP + FN)

Each is 0 where it is 0/0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from thalweg.errors import TaskError
from thalweg.objective.metrics.classified import Classified, ClassMetric

Average = Literal["one", "macro", "micro", "weighted"]


class _Counts(NamedTuple):
    """Counts of each class or label, in float64."""

    right: Tensor
    false_positives: Tensor
    false_negatives: Tensor

    @property
    def support(self) -> Tensor:
        return self.right + self.false_negatives


def _precision(counts: _Counts) -> Tensor:
    return _ratio(counts.right, counts.right + counts.false_positives)


def _recall(counts: _Counts) -> Tensor:
    return _ratio(counts.right, counts.support)


def _f1(counts: _Counts) -> Tensor:
    wrong = counts.false_positives + counts.false_negatives
    return _ratio(2 * counts.right, 2 * counts.right + wrong)


FIGURES: dict[str, Callable[[_Counts], Tensor]] = {
    "precision": _precision,
    "recall": _recall,
    "f1": _f1,
}
"""What is averaged over classes, by name."""


def averaged(name: str, figure: Callable[[_Counts], Tensor], average: Average) -> ClassMetric:
    """Return the metric that averages a figure over the classes.

    "one" is the figure of class 1 of two; "macro" the mean over classes, of several those that occur in
    targets or predictions; "weighted" the mean by how often each occurs in the targets; "micro" the
    figure of all counts added up.
    """

    def measure(found: Classified) -> Tensor:
        counts = _counts(found)
        if average == "one":
            if len(counts.right) != 2 or found.kind == "labels":
                raise TaskError(
                    f"The metric {name} is that of class 1 of two; with {len(counts.right)} "
                    f"{'labels' if found.kind == 'labels' else 'classes'} choose {name}_macro, "
                    f"{name}_micro or {name}_weighted."
                )
            return figure(counts)[1]
        if average == "micro":
            return figure(_Counts(*(part.sum() for part in counts)))
        values = figure(counts)
        if average == "weighted":
            return _ratio((values * counts.support).sum(), counts.support.sum())
        if found.kind == "labels":
            return values.mean()
        return values[sum(counts) > 0].mean()

    return ClassMetric(name, measure)


def balanced_accuracy(found: Classified) -> Tensor:
    """Return the mean recall over the classes that occur in the targets.

    Source: K. H. Brodersen et al., The balanced accuracy and its posterior distribution, ICPR 2010.
    """
    found.refuse("labels", advice="labels are not classes; choose recall_macro")
    counts = _counts(found)
    return _recall(counts)[counts.support > 0].mean()


def label_accuracy(found: Classified) -> Tensor:
    """Return the share of labels that are right, 1 − the Hamming loss."""
    _only_labels(found)
    return (found.predicted == found.targets).double().mean()


def exact_match(found: Classified) -> Tensor:
    """Return the share of rows all of whose labels are right."""
    _only_labels(found)
    return (found.predicted == found.targets).reshape(len(found.targets), -1).all(1).double().mean()


def confusion(found: Classified) -> Tensor:
    """Return how often each class (row) was taken for each (column); of labels one 2 × 2 matrix each."""
    predicted, targets = found.predicted.long(), found.targets.long()
    if found.kind == "labels":
        return torch.stack([_matrix(p, t, 2) for p, t in zip(predicted.T, targets.T, strict=True)])
    return _matrix(predicted, targets, found.outputs.shape[1] if found.kind == "several" else 2)


def confusion_matrix(
    outputs: Tensor, targets: Tensor, *, loss: str = "", ignore_index: int | None = -100
) -> Tensor:
    """Return the confusion matrix: in row j and column k, how many rows of class j were taken for k.

    Args:
        outputs: what the model gives: (rows, classes, …), or one output a row for two classes.
        targets: class numbers (rows, …), or of the outputs' shape.
        loss: the name of the loss. Under binary_cross_entropy outputs are probabilities, and
            under it and its form with logits several outputs a row are labels: the result is then one
            2 × 2 matrix for each, of shape (labels, 2, 2).
        ignore_index: the class number that does not count.

    Returns:
        Integers of shape (classes, classes).

    Raises:
        TaskError: the targets do not fit the outputs.

    >>> outputs = torch.tensor([[2.0, 0.0], [1.0, 0.0], [0.0, 3.0]])
    >>> confusion_matrix(outputs, torch.tensor([0, 1, 1])).tolist()
    [[1, 0], [1, 1]]
    """
    reader = ClassMetric("confusion_matrix", confusion, loss, ignore_index)
    return confusion(reader.read(outputs, targets))


def _counts(found: Classified) -> _Counts:
    if found.kind == "labels":
        p, t = found.predicted, found.targets
        return _Counts(*(part.sum(0).double() for part in (p & t, p & ~t, ~p & t)))
    matrix = confusion(found).double()
    right = matrix.diagonal()
    return _Counts(right, matrix.sum(0) - right, matrix.sum(1) - right)


def _matrix(predicted: Tensor, targets: Tensor, classes: int) -> Tensor:
    pairs = torch.bincount(targets * classes + predicted, minlength=classes * classes)
    return pairs.reshape(classes, classes)


def _only_labels(found: Classified) -> None:
    found.refuse(
        "several", advice="it is one of labels, under a binary cross-entropy; choose accuracy"
    )


def _ratio(part: Tensor, whole: Tensor) -> Tensor:
    return torch.where(whole > 0, part / whole.clamp(min=1.0), torch.zeros_like(part))
