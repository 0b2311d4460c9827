"""Class metrics of the predicted probabilities: log loss, Brier score, calibration."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from thalweg.objective.metrics.classified import Classified


def log_loss(found: Classified) -> Tensor:
    """Return the mean of −log p of what is true, in nats; of labels the mean over all of them.

    Source: I. J. Good, Rational decisions, J. R. Stat. Soc. B 14 (1952) 107-114.
    """
    outputs, targets = found.outputs.double(), found.targets
    if found.kind == "several":
        if found.loss == "nll_loss":
            return functional.nll_loss(outputs, targets)
        if found.loss != "multi_margin_loss":
            return functional.cross_entropy(outputs, targets)
    if found.loss == "binary_cross_entropy" or found.kind == "several":
        return functional.binary_cross_entropy(found.probabilities, targets.double())
    return functional.binary_cross_entropy_with_logits(outputs, targets.double())


def brier(found: Classified) -> Tensor:
    """Return the mean of Σ (p − y)² over the classes, y the one-hot target: from 0 to 2.

    Of a single output, and of labels, it is the mean of (p − y)², from 0 to 1, half of that.

    Source: G. W. Brier, Monthly Weather Review 78 (1950) 1-3.
    """
    p, targets = found.probabilities, found.targets
    if found.kind != "several":
        return (p - targets.double()).square().mean()
    y = functional.one_hot(targets, p.shape[1])
    return (p - y).square().sum(1).mean()


def expected_calibration_error(bins: int) -> Callable[[Classified], Tensor]:
    """Return the function that gives Σ over bins of n_b/n·|accuracy_b − confidence_b|.

    The confidence of a row is the probability of what is predicted for it. The bins are those of equal
    width on (0, 1], each with its upper end.

    Source: M. P. Naeini, G. Cooper and M. Hauskrecht, AAAI 2015; C. Guo et al., ICML 2017, with 15 bins.
    """

    def measure(found: Classified) -> Tensor:
        found.refuse("labels", advice="labels have no one prediction a row; choose brier")
        p = found.probabilities
        confidence = torch.maximum(p, 1 - p) if found.kind == "two" else p.amax(1)
        right = (found.predicted == found.targets).double()
        place = (confidence * bins).ceil().long().sub(1).clamp(0, bins - 1)
        gaps = torch.zeros(bins, dtype=torch.float64, device=p.device)
        return gaps.index_add(0, place, right - confidence).abs().sum() / len(p)

    return measure
