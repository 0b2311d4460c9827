"""What a batch weighs in the loss of a set: what the mean of its loss was divided by.

The loss of a set is the loss function's value on the whole set. In batches, the mean of each counts by
its divisor: the number of elements, the rows that are not ignored, the sum of the targets' class weights.
A loss may call PyTorch's functions in any way (as a module, a partial, in a function of the user's), so
these calls are recorded by a `TorchFunctionMode`: the arguments of each tell its divisor.
"""

from __future__ import annotations

import functools
import inspect
import math
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import _reduction, functional
from torch.overrides import TorchFunctionMode

from thalweg.errors import TaskError

Weight = float | Literal["sum"]
"""What a batch weighs; "sum" where its loss is a sum, no mean: the loss of the set is the sum of all."""

BatchWeight = Callable[[Any, Any], "Tensor | float"]
"""(outputs, targets) -> what the mean of the batch's loss was divided by."""

_Arguments = Mapping[str, Any]

SMOOTHED_ALONE = (
    "All rows of a batch have classes of weight 0. Label smoothing gives them a loss all the same, and the "
    "mean of the batch is that divided by 0. Take larger batches, give each class a weight above 0, or leave "
    "label_smoothing out."
)


def _elements(given: _Arguments) -> float:
    """Every element counts alike, whatever it is multiplied with."""
    target = given.get("target")
    return _broadcast([given["input"], target])


def _weighted_elements(given: _Arguments) -> float:
    """PyTorch divides by the sum of the elements' weights here, where there are any."""
    weight = given["weight"]
    return _elements(given) if weight is None else float(weight.double().sum())


def _rows(given: _Arguments) -> float:
    first: Tensor = next(iter(given.values()))
    return float(len(first)) if first.ndim > 1 else 1.0


def _divergence(given: _Arguments) -> float:
    if given["reduction"] == "batchmean":
        return float(len(given["input"]))
    return _elements(given)


def _classes(given: _Arguments) -> float:
    """Targets that are not ignored, each with the weight of its class."""
    target = given["target"]
    if target.is_floating_point():  # probabilities: a mean over positions, whatever the weights
        return float(target.numel() / target.shape[min(1, target.ndim - 1)])
    ignored = given["ignore_index"]
    kept = target != (-100 if ignored is None else ignored)
    weight = given["weight"]
    if weight is None:
        return float(kept.sum())
    divisor = float(weight.double()[target[kept]].sum())
    if divisor == 0 and given.get("label_smoothing") and bool(kept.any()):
        raise TaskError(SMOOTHED_ALONE)
    return divisor


def _sequences(given: _Arguments) -> float:
    lengths = given["target_lengths"]
    return float(lengths.numel() if isinstance(lengths, Tensor) else len(lengths))


def _pairs(given: _Arguments) -> float:
    return _broadcast(given.values())


def _broadcast(values: Iterable[Any]) -> float:
    """Return the number of elements of tensors that are broadcast with each other."""
    shapes = [value.shape for value in values if isinstance(value, Tensor)]
    return float(math.prod(np.broadcast_shapes(*shapes)))


_DIVISORS: dict[Callable[..., Any], Callable[[_Arguments], float]] = {
    functional.cross_entropy: _classes,
    functional.nll_loss: _classes,
    functional.multi_margin_loss: _rows,
    functional.multilabel_margin_loss: _rows,
    functional.multilabel_soft_margin_loss: _rows,
    functional.binary_cross_entropy: _elements,
    functional.binary_cross_entropy_with_logits: _elements,
    functional.mse_loss: _weighted_elements,
    functional.l1_loss: _weighted_elements,
    functional.huber_loss: _elements,
    functional.smooth_l1_loss: _elements,
    functional.soft_margin_loss: _elements,
    functional.hinge_embedding_loss: _elements,
    functional.poisson_nll_loss: _elements,
    functional.gaussian_nll_loss: _elements,
    functional.kl_div: _divergence,
    functional.ctc_loss: _sequences,
    functional.triplet_margin_loss: _rows,
    functional.cosine_embedding_loss: lambda given: float(given["target"].numel()),
    functional.margin_ranking_loss: _pairs,
}
if hasattr(functional, "linear_cross_entropy"):  # since PyTorch 2.13
    _DIVISORS[functional.linear_cross_entropy] = _classes


class Listener(TorchFunctionMode):
    """Notes which means and sums PyTorch's losses take inside its block.

    >>> outputs, targets = torch.zeros(3, 2), torch.tensor([0, -100, 1])
    >>> with Listener() as listener:
    ...     loss = functional.cross_entropy(outputs, targets)
    >>> listener.weight(loss, rows=3)
    2.0
    """

    def __init__(self) -> None:
        super().__init__()
        self._calls: list[tuple[Any, Callable[..., Any], Any, Any]] = []

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call `func`, and note it if it is a loss."""
        given = kwargs or {}
        compiling = torch.compiler.is_compiling()  # then this is traced, and must be plain
        if func is functional.l1_loss and "weight" not in given and not compiling:
            given = {**given, "weight": _lost_weight()}
        result = func(*args, **given)
        if isinstance(func, _FUNCTION) and func in _DIVISORS:
            self._calls.append((result, func, args, given))
        return result

    def weight(self, loss: Any, rows: int) -> Weight:
        """Return the weight of the batch whose loss is `loss`; `rows` where nothing else is known.

        It is known where the loss is the result of one of PyTorch's functions, or was computed from
        one such mean alone, with a factor or further terms.
        """
        heard = [(result, f, _bound(f, args, given)) for result, f, args, given in self._calls]
        for result, function, given in heard:
            if result is loss and given["reduction"] != "none":
                return _divisor(function, given)
        means = [each for each in heard if each[2]["reduction"] in ("mean", "batchmean")]
        if len(means) == 1 == len(heard):
            return _divisor(*means[0][1:])
        return float(rows)


_FUNCTION = type(functional.cross_entropy)


def _divisor(function: Callable[..., Any], given: dict[str, Any]) -> Weight:
    return "sum" if given["reduction"] == "sum" else _DIVISORS[function](given)


def _bound(function: Callable[..., Any], args: Any, kwargs: Any) -> dict[str, Any]:
    """Return the arguments of a call by name; PyTorch's deprecated ones are translated."""
    bound = _signature(function).bind(*args, **kwargs)
    bound.apply_defaults()
    given = bound.arguments
    averaged, reduced = given.get("size_average"), given.get("reduce")
    if averaged is not None or reduced is not None:
        given["reduction"] = _reduction.legacy_get_string(averaged, reduced, emit_warning=False)
    return given


@functools.cache
def _signature(function: Callable[..., Any]) -> inspect.Signature:
    return inspect.signature(function)


def _lost_weight() -> Any:
    """Return the `weight` given to the call of `l1_loss` that is under way.

    PyTorch 2.13 does not pass it on to a `TorchFunctionMode`, and would compute the loss without it.
    """
    frame = sys._getframe(1)
    for _ in range(5):
        if frame.f_back is None:
            return None
        frame = frame.f_back
        if frame.f_code is functional.l1_loss.__code__:
            return frame.f_locals.get("weight")
    return None
