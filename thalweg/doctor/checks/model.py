"""Checks of the model on one batch: its outputs and the loss, rows that mix, what has no gradient."""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import Tensor, nn

from thalweg.doctor.remedies import advice
from thalweg.doctor.verdict import Statistic, Verdict
from thalweg.objective.cost import Cost
from thalweg.objective.nested import mapped, rows_of, tensors_in
from thalweg.objective.weighted import unweighted

ROUNDED = 1e-3
"""Relative difference of an output that rounding explains: products of fewer rows are summed otherwise."""
FEWEST_ROWS = 8
BEYOND = 0.05
"""Share of targets beyond what outputs reach."""
RANGES = {
    "ReluBackward0": (0.0, math.inf),
    "SoftplusBackward0": (0.0, math.inf),
    "SigmoidBackward0": (0.0, 1.0),
    "SoftmaxBackward0": (0.0, 1.0),
    "TanhBackward0": (-1.0, 1.0),
}
"""What the last operation of a model lets through."""


def model_verdicts(model: nn.Module, cost: Cost, batch: tuple[Any, Any]) -> list[Verdict]:
    """Return what is to be said of a fresh model by its outputs and gradients on one batch.

    The model is copied, and stays as it is.
    """
    inputs, targets = batch[0], batch[1]
    model = copy.deepcopy(model)
    found = [_without_gradient(model, cost, inputs, targets)]
    model.eval()
    outputs = model(inputs)
    if isinstance(outputs, Tensor) and outputs.is_floating_point() and rows_of(inputs):
        found += [
            _probabilities(cost.surrogate.name, outputs.detach().double()),
            _unreachable(cost, outputs, unweighted(targets)),
            _mixed(model, inputs, outputs.detach()),
        ]
    return [verdict for verdict in found if verdict is not None]


def _probabilities(loss: str, outputs: Tensor) -> Verdict | None:
    """Outputs that went through softmax or sigmoid before a loss that does so itself, or did not before
    one that does not.
    """
    inside = bool((outputs > 0).all() and (outputs < 1).all())
    of_classes = outputs.ndim > 1 and outputs.shape[1] > 1
    if loss == "cross_entropy" and of_classes and inside:
        total = outputs.sum(1)
        if bool((total - 1).abs().max() < ROUNDED):
            statistic = Statistic("mean sum of a row's outputs", float(total.mean()))
            return _twice(statistic, "softmax", "cross_entropy")
    if loss == "binary_cross_entropy_with_logits" and inside and outputs.numel() >= FEWEST_ROWS:
        return _twice(Statistic("smallest output", float(outputs.min())), "sigmoid", loss)
    if loss == "nll_loss" and of_classes:
        total = outputs.exp().sum(1)
        if bool((total - 1).abs().min() > ROUNDED):
            return Verdict(
                "outputs_and_loss",
                Statistic("mean sum of exp(outputs) of a row", float(total.mean()), low=1, high=1),
                status="confirmed",
                words="nll_loss takes logarithms of probabilities, and these outputs are none.",
                remedy=advice("log_softmax", "end in log_softmax, or take cross_entropy"),
            )
    return None


def _twice(statistic: Statistic, last: str, loss: str) -> Verdict:
    return Verdict(
        "outputs_and_loss",
        statistic,
        status="confirmed",
        words=f"The outputs are probabilities; {loss} makes such of them once more, and learns slowly.",
        remedy=advice("one_softmax", f"leave out the {last} behind the last layer"),
    )


def _unreachable(cost: Cost, outputs: Tensor, targets: Any) -> Verdict | None:
    """Targets that no output can reach, such as those below 0 behind a ReLU."""
    loss, name = cost.surrogate, type(outputs.grad_fn).__name__
    if loss.kind != "elementwise" or loss.name == "soft_margin_loss" or name not in RANGES:
        return None
    if not isinstance(targets, Tensor) or not targets.numel():
        return None
    low, high = RANGES[name]
    share = float(((targets < low) | (targets > high)).double().mean())
    if share <= BEYOND:
        return None
    reach = f"above {low:g}" if math.isinf(high) else f"between {low:g} and {high:g}"
    return Verdict(
        "unreachable_targets",
        Statistic("share of targets that no output reaches", share, high=BEYOND),
        status="confirmed",
        words=f"Outputs lie {reach}, behind {name.removesuffix('Backward0').lower()}; targets do not.",
        remedy=advice("last_layer", "leave out the last activation, or scale the targets"),
    )


def _mixed(model: nn.Module, inputs: Any, outputs: Tensor) -> Verdict | None:
    """The outputs of rows that change with the other rows of the batch, in evaluation mode.

    A wrong reshape, and a softmax or a mean over the wrong axis, do so (Karpathy, 2019).
    """
    rows = rows_of(inputs) or 0
    if rows < FEWEST_ROWS or len(outputs) != rows:
        return None
    half = rows // 2
    with torch.no_grad():
        fewer = model(mapped(inputs, lambda t: t[:half] if t.ndim and len(t) == rows else t))
    if fewer.shape != outputs[:half].shape:
        return None
    scale = float(outputs.abs().max())
    difference = float((fewer - outputs[:half]).abs().max())
    if not difference > ROUNDED * scale:
        return None
    return Verdict(
        "rows_mix",
        Statistic("change of outputs by other rows", difference / scale, high=ROUNDED),
        status="confirmed",
        words="In evaluation mode the output of a row changes with the other rows of its batch.",
        remedy=advice("reshape", "look for a reshape, softmax or mean over the axis of the batch"),
    )


def _without_gradient(model: nn.Module, cost: Cost, inputs: Any, targets: Any) -> Verdict | None:
    """Parameters that would be trained, and that the loss does not depend on."""
    model.train()
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if not trained:
        return Verdict(
            "nothing_to_train",
            Statistic("parameters that require a gradient", 0.0, low=1.0),
            status="confirmed",
            words="Every parameter is frozen.",
            remedy=advice("unfreeze", "p.requires_grad_(True)"),
        )
    outputs = model(inputs)
    if not any(t.requires_grad for t in tensors_in(outputs)):
        return None  # training will say what cuts the graph
    loss = cost.surrogate(outputs, cost.surrogate.match(outputs, targets))
    gradients = torch.autograd.grad(loss, list(trained.values()), allow_unused=True)
    unused = [name for name, g in zip(trained, gradients, strict=True) if g is None]
    if not unused:
        return None
    numbers = sum(trained[name].numel() for name in unused)
    more = f" and {len(unused) - 3} more" if len(unused) > 3 else ""
    return Verdict(
        "unused_parameters",
        Statistic("parameters that the loss does not depend on", float(numbers), high=0.0),
        kind="warning",
        status="confirmed",
        where=unused[0],
        words=f"No gradient reaches {', '.join(unused[:3])}{more}.",
        remedy=advice("use", "use them in forward, or leave them out"),
    )
