"""What a model's outputs say under a loss: probabilities and classes."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from thalweg.errors import TaskError
from thalweg.objective.losses import Loss

Output = Literal["raw", "probability", "class"]
"""The kinds of answers: the model's outputs as they are, probabilities, or class numbers."""

_LOGITS = ("cross_entropy", "binary_cross_entropy_with_logits", "soft_margin_loss")
_ONE_ROW_OF_SCORES = ("cross_entropy", "nll_loss", "multi_margin_loss")
_HALF = {
    "binary_cross_entropy_with_logits": 0.0,
    "soft_margin_loss": 0.0,
    "binary_cross_entropy": 0.5,
}
"""Where an output is an answer by itself: above this it is class 1."""


def answers(loss: Loss, outputs: Any, kind: Output) -> Any:
    """Return what outputs say under a loss.

        "probability":  softmax(o) of cross-entropy, exp(o) of nll_loss, σ(o) of a logistic loss, o of bce
        "class":        argmax over the classes, the second axis; o > 0 or p > ½ of one output, as 0 or 1

    Raises:
        TaskError: the loss gives its outputs no such meaning, there is no such kind, or an output that is
            to be a class is NaN.

    >>> from thalweg.objective.losses import as_loss
    >>> answers(as_loss("cross_entropy"), torch.tensor([[0.0, 2.0]]), "class")
    tensor([1])
    """
    if kind == "raw":
        return outputs
    if kind not in ("probability", "class"):
        raise TaskError(f"output must be 'raw', 'probability' or 'class'; got {kind!r}.")
    name = loss.name
    if not isinstance(outputs, Tensor) or name not in (*_ONE_ROW_OF_SCORES, *_HALF):
        raise TaskError(
            f"Under the loss {name} the outputs are not classes, so there is no {kind} to give: use "
            "output='raw'."
        )
    if kind == "class":
        return _classes(name, outputs)
    if name == "multi_margin_loss":
        raise TaskError(
            "The scores of multi_margin_loss are not logarithms of probabilities: use output='class' "
            "or 'raw'."
        )
    if name in _ONE_ROW_OF_SCORES:
        scores = outputs if outputs.is_floating_point() else outputs.double()
        return scores.softmax(_axis(scores)) if name == "cross_entropy" else scores.exp()
    return outputs.sigmoid() if name in _LOGITS else outputs


def _classes(name: str, outputs: Tensor) -> Tensor:
    if outputs.is_floating_point() and bool((missing := outputs.isnan()).any()):
        if outputs.ndim < 2 and name in _ONE_ROW_OF_SCORES:
            missing = missing[None]
        rows = missing.reshape(len(missing), -1).any(1)
        raise TaskError(
            f"The outputs of {int(rows.sum())} of {len(rows)} rows are not numbers (NaN), first of row "
            f"{int(rows.int().argmax())} (counted from 0), so these rows have no class. Look for NaN in "
            "them and leave them out; output='raw' shows all outputs."
        )
    if name in _ONE_ROW_OF_SCORES:
        return outputs.argmax(_axis(outputs))
    return (outputs > _HALF[name]).to(torch.int64)


def _axis(outputs: Tensor) -> int:
    """Return the axis of the classes: the second, or the only one of a single row."""
    return 1 if outputs.ndim > 1 else 0
