"""Class metrics of the order in which scores put the rows: ROC AUC, average precision, top k."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from thalweg.errors import TaskError
from thalweg.objective.metrics.classified import Classified

_UNDEFINED = torch.nan


def auc(found: Classified) -> Tensor:
    """Return the area under the ROC curve: how likely a row of the class scores above one that is not.

        P(s⁺ > s⁻) + ½·P(s⁺ = s⁻)

    With several classes or labels it is the mean over each against the rest. One that no row has, or
    every row, has no curve and is left out; where none has one it is NaN.

    Source: J. A. Hanley and B. J. McNeil, Radiology 143 (1982) 29-36; each against the rest:
    F. Provost and P. Domingos, CeDER working paper IS-00-04, 2000, with equal weights.
    """
    return _mean_of_each(found, _area)


def average_precision(found: Classified) -> Tensor:
    """Return the average precision Σₖ (Rₖ − Rₖ₋₁)·Pₖ over the thresholds k, of falling score.

    P and R are precision and recall of the rows that score at least as much. With more than two
    classes, or labels, it is the mean over those that occur; NaN where none does.

    Source: M. Zhu, Recall, precision and average precision, University of Waterloo, 2004.
    """
    return _mean_of_each(found, _precision)


def in_top(k: int, name: str) -> Callable[[Classified], Tensor]:
    """Return the function that gives the share of rows whose class is among the k best scores.

    Of equal scores the smaller class number comes first, so that top 1 is the accuracy.
    """

    def measure(found: Classified) -> Tensor:
        found.refuse("two", "labels", advice="it wants one output for each of several classes")
        classes = found.outputs.shape[1]
        if k >= classes:
            raise TaskError(
                f"The metric {name} is 1 whatever the model says: there are {classes} classes. "
                f"Choose k below {classes}."
            )
        own = found.outputs.gather(1, found.targets[:, None])
        earlier = torch.arange(classes, device=own.device) < found.targets[:, None]
        before = (found.outputs > own) | ((found.outputs == own) & earlier)
        return (before.sum(1) < k).double().mean()

    return measure


def _mean_of_each(found: Classified, figure: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    scores, targets = found.scores, found.targets
    if scores.isnan().any():
        return torch.tensor(_UNDEFINED)
    if found.kind == "two":
        return figure(scores, targets)
    if found.kind == "several":
        targets = targets[:, None] == torch.arange(scores.shape[1], device=targets.device)
        if scores.shape[1] == 2:
            return figure(scores[:, 1], targets[:, 1])
    return torch.stack([figure(s, t) for s, t in zip(scores.T, targets.T, strict=True)]).nanmean()


def _area(scores: Tensor, positive: Tensor) -> Tensor:
    positives = positive.sum().double()
    negatives = len(positive) - positives
    if not positives or not negatives:
        return torch.tensor(_UNDEFINED, dtype=torch.float64)
    _, place, counts = torch.unique(scores, return_inverse=True, return_counts=True)
    ranks = counts.cumsum(0) - (counts - 1).double() / 2  # equal scores share their mean rank
    above = ranks[place][positive].sum() - positives * (positives + 1) / 2
    area: Tensor = above / (positives * negatives)
    return area


def _precision(scores: Tensor, positive: Tensor) -> Tensor:
    positives = positive.sum().double()
    if not positives:
        return torch.tensor(_UNDEFINED, dtype=torch.float64)
    _, place = torch.unique(-scores, return_inverse=True)
    size = int(place.max()) + 1
    right = torch.bincount(place[positive], minlength=size).double()
    precision = right.cumsum(0) / torch.bincount(place, minlength=size).cumsum(0)
    return (right * precision).sum() / positives
