"""Surrogate losses by name: PyTorch's functions, with the shape checks it leaves out."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn
from torch.nn import functional

from thalweg.errors import DataError, TaskError, suggest
from thalweg.objective.fitting import check_classes, shape_message, taken_from
from thalweg.objective.nested import describe_batch
from thalweg.objective.weight import SMOOTHED_ALONE, BatchWeight, Listener, Weight
from thalweg.objective.weighted import (
    Weighted,
    check_weights,
    class_counts,
    losses_of,
    unweighted,
    weighted_loss,
)

LossFunction = Callable[[Any, Any], Tensor]
TargetKind = Literal["classes", "elementwise", "probabilities", "free"]


def half_mse(outputs: Tensor, targets: Tensor, reduction: str = "mean") -> Tensor:
    """Half the mean squared error, the textbook's (1/m)·Σ ½(ŷ−y)²: its gradient has no factor 2.

    >>> import torch
    >>> float(half_mse(torch.tensor([3.0]), torch.tensor([1.0])))
    2.0
    """
    return 0.5 * functional.mse_loss(outputs, targets, reduction=reduction)


# What each loss wants as targets decides the checks: class numbers, values shaped like the outputs,
# or probabilities in [0, 1] shaped like the outputs.
_NAMED: dict[str, tuple[LossFunction, TargetKind]] = {
    "cross_entropy": (functional.cross_entropy, "classes"),
    "nll_loss": (functional.nll_loss, "classes"),
    "multi_margin_loss": (functional.multi_margin_loss, "classes"),
    "binary_cross_entropy": (functional.binary_cross_entropy, "probabilities"),
    "binary_cross_entropy_with_logits": (
        functional.binary_cross_entropy_with_logits,
        "probabilities",
    ),
    "mse_loss": (functional.mse_loss, "elementwise"),
    "half_mse": (half_mse, "elementwise"),
    "l1_loss": (functional.l1_loss, "elementwise"),
    "smooth_l1_loss": (functional.smooth_l1_loss, "elementwise"),
    "huber_loss": (functional.huber_loss, "elementwise"),
    "soft_margin_loss": (functional.soft_margin_loss, "elementwise"),
    "kl_div": (functools.partial(functional.kl_div, reduction="batchmean"), "elementwise"),
    "poisson_nll_loss": (functional.poisson_nll_loss, "elementwise"),
}
# The others are never negative; these are, of outputs that are not logarithms of probabilities, or
# of counts.
_SIGNED = ("nll_loss", "kl_div", "poisson_nll_loss")
_ALIASES = {
    "nll": "nll_loss",
    "bce": "binary_cross_entropy",
    "bce_with_logits": "binary_cross_entropy_with_logits",
    "mse": "mse_loss",
    "mae": "l1_loss",
    "l1": "l1_loss",
    "huber": "huber_loss",
    "smooth_l1": "smooth_l1_loss",
}
_MODULES: dict[type[nn.Module], str] = {
    nn.CrossEntropyLoss: "cross_entropy",
    nn.NLLLoss: "nll_loss",
    nn.MultiMarginLoss: "multi_margin_loss",
    nn.BCELoss: "binary_cross_entropy",
    nn.BCEWithLogitsLoss: "binary_cross_entropy_with_logits",
    nn.MSELoss: "mse_loss",
    nn.L1Loss: "l1_loss",
    nn.SmoothL1Loss: "smooth_l1_loss",
    nn.HuberLoss: "huber_loss",
    nn.SoftMarginLoss: "soft_margin_loss",
    nn.KLDivLoss: "kl_div",
    nn.PoissonNLLLoss: "poisson_nll_loss",
}


def loss_names() -> list[str]:
    """Return the names `Cost` knows as losses, short aliases included."""
    return sorted([*_NAMED, *_ALIASES])


@dataclass(frozen=True)
class Loss:
    """A surrogate loss: a name, a function (outputs, targets), the kind of targets it wants, and the
    number below which it cannot fall.

    Of class numbers, targets equal to `ignore_index` do not count. `batch_weight` (outputs, targets)
    says what the mean of a batch was divided by, where that cannot be known; see `measured`.
    """

    name: str
    function: LossFunction
    kind: TargetKind = "free"
    low: float = -math.inf
    ignore_index: int | None = None
    batch_weight: BatchWeight | None = None

    def __call__(self, outputs: Any, targets: Any) -> Tensor:
        """Return the loss of a batch; refuse shapes that PyTorch would silently broadcast."""
        if isinstance(targets, Weighted):
            return self._weighted(outputs, targets)[0]
        return self._call(self.function, outputs, targets)

    def _call(self, function: LossFunction, outputs: Any, targets: Any) -> Tensor:
        if self.kind in ("elementwise", "probabilities") and outputs.shape != targets.shape:
            raise TaskError(shape_message(self.name, outputs, targets))
        try:
            loss = function(outputs, targets)
        except (IndexError, RuntimeError, TypeError, ValueError):
            self.check(outputs, targets)  # says it better, where it knows what is wrong
            raise
        if isinstance(loss, Tensor) and loss.is_complex():
            raise TaskError(
                f"The loss {self.name} gives a complex number, and only real ones can be descended. "
                "Take the real part (.real) or the modulus (.abs()) in the loss or in the model."
            )
        return loss

    def measured(self, outputs: Any, targets: Any, rows: int) -> tuple[Tensor, Weight]:
        """Return the loss of a batch of so many rows, and what it weighs in the loss of the set.

        That is what the batch's mean was divided by: the elements, the rows or positions that are not
        ignored, the sum of the targets' class weights; or "sum" for a sum. It is known wherever the
        loss is one of PyTorch's means, also in a function or module of the user's, alone or with
        other terms. Elsewhere `batch_weight` says it, and without that it is the rows. Of `Weighted`
        targets each row counts by its weight.

        Raises:
            TaskError: where label smoothing divides by 0, all classes of the batch having weight 0: the
                loss of the set would leave out what it adds.
        """
        if isinstance(targets, Weighted):
            return self._weighted(outputs, targets)
        if self.batch_weight is not None:
            return self(outputs, targets), self._own_weight(outputs, targets)
        if _sums(self.function):
            return self(outputs, targets), "sum"
        with Listener() as listener:
            loss = self(outputs, targets)
        return loss, listener.weight(loss, rows)

    def _weighted(self, outputs: Any, given: Weighted) -> tuple[Tensor, Weight]:
        """Return the loss of a batch whose rows weigh differently, and what it weighs."""
        check_weights(given.weights, len(given.weights), "a batch")
        loss, weight = self.weighted(outputs, given.targets, given.weights)
        if setting_of(self.function, "label_smoothing", 0.0) and bool(loss.isinf() & (weight == 0)):
            raise TaskError(SMOOTHED_ALONE)
        return loss, "sum" if _sums(self.function) else float(weight)

    def weighted(self, outputs: Any, targets: Any, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss of a batch whose rows have these weights, and what it weighs: Σᵢ wᵢ·dᵢ.

        The weights are not looked at, so that it may run under `torch.vmap`.
        """
        function = self.function
        if self.batch_weight is not None:
            raise TaskError(
                "The data weighs its rows, which says what the mean of a batch is divided by: leave "
                "batch_weight out."
            )
        class_weight = setting_of(function, "weight", None)
        if class_weight is not None and self.kind == "elementwise":
            raise TaskError(
                f"The data weighs its rows, and the loss {self.name} has weights of its own: give one."
            )
        losses = self._call(losses_of(self.name, function), outputs, targets)
        counts = None
        if self.name in ("cross_entropy", "nll_loss"):
            counts = class_counts(targets, self.ignore_index, class_weight)
        if setting_of(function, "reduction", "mean") == "batchmean":
            losses = losses.flatten(1).sum(1)
        return weighted_loss(losses, weights, counts, is_sum=_sums(function))

    def _own_weight(self, outputs: Any, targets: Any) -> float:
        assert self.batch_weight is not None
        weight = float(self.batch_weight(outputs, targets))
        if not 0 <= weight < math.inf:
            raise TaskError(
                f"batch_weight returned {weight:g}; it is a finite number ≥ 0: what the mean of the "
                "batch's loss was divided by."
            )
        return weight

    def weighs_by_rows(self, targets: Any) -> bool:
        """Return whether every batch of the set with these `targets` surely weighs its number of rows.

        Then no weight need be measured.
        """
        if self.kind == "free" or self.batch_weight is not None or isinstance(targets, Weighted):
            return False
        if setting_of(self.function, "reduction", "mean") not in ("mean", "batchmean"):
            return False
        if any(
            setting_of(self.function, old, None) is not None for old in ("reduce", "size_average")
        ):
            return False
        if self.kind != "classes" and setting_of(self.function, "weight", None) is None:
            return True
        if not isinstance(targets, Tensor) or setting_of(self.function, "weight", None) is not None:
            return False
        return self.ignore_index is None or not bool((targets == self.ignore_index).any())

    def match(self, outputs: Any, targets: Any) -> Any:
        """Return `targets` in the dtype that the loss expects for `outputs`; other targets stay as they
        are.
        """
        if isinstance(targets, Weighted):
            return Weighted(self.match(outputs, targets.targets), targets.weights)
        if not (isinstance(outputs, Tensor) and isinstance(targets, Tensor)):
            return targets
        if self.kind in ("elementwise", "probabilities"):
            if targets.is_complex() and not outputs.is_complex():
                raise TaskError(
                    f"The targets are complex numbers, and the model gives {outputs.dtype}: the loss "
                    f"{self.name} would drop their imaginary parts. Give it y.real or abs(y), or both "
                    "parts as two columns with torch.view_as_real(y)."
                )
            return targets.to(outputs.dtype)
        if self.kind == "classes" and not targets.is_floating_point():
            return targets.long()
        return targets

    def check(self, outputs: Any, targets: Any, name: str = "") -> None:
        """Raise an error that says what is wrong if `targets` cannot be learned from such
        `outputs`.

        `outputs` may be those of a few rows only: their trailing shape says what the model can
        express. `name` is that of the set, where `targets` are a whole one.
        """
        targets = unweighted(targets)
        if self.kind != "free" and not isinstance(outputs, Tensor):
            raise TaskError(
                f"The loss {self.name} wants one tensor of outputs; the model gives "
                f"{type(outputs).__name__}. Let it return a tensor, or give Cost a function of "
                f"(outputs, targets) of your own, which takes it from there{taken_from(outputs)}."
            )
        if self.kind != "free" and not isinstance(targets, Tensor):
            raise DataError(
                f"The loss {self.name} wants one tensor of targets; the data give "
                f"{describe_batch(targets)}. Let each row have numbers as its target, or give Cost a "
                "function of (outputs, targets) of your own."
            )
        if not (isinstance(outputs, Tensor) and isinstance(targets, Tensor)):
            return
        if self.kind == "classes":
            check_classes(self.name, outputs, targets, name, self.ignore_index)
        elif self.kind != "free":
            if self.name != "l1_loss" and (outputs.is_complex() or targets.is_complex()):
                raise TaskError(
                    f"The loss {self.name} compares real numbers, and the model gives "
                    f"{outputs.dtype}. Let it return the real part or the modulus, or both parts "
                    "as columns (torch.view_as_real), or give Cost a function of (outputs, targets)."
                )
            if outputs.shape[1:] != targets.shape[1:]:
                raise TaskError(shape_message(self.name, outputs, targets))
            if self.kind == "probabilities" and ((targets < 0) | (targets > 1)).any():
                raise DataError(
                    f"The loss {self.name} expects targets between 0 and 1; these reach from "
                    f"{targets.min().item():g} to {targets.max().item():g}."
                )


def as_loss(loss: str | nn.Module | LossFunction | Loss) -> Loss:
    """Return the `Loss` that a name, a torch loss module or a function (outputs, targets) stands
    for.

    >>> as_loss("mse").name
    'mse_loss'
    >>> as_loss("hubber")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    thalweg.errors.TaskError: Unknown loss 'hubber'. Did you mean 'huber' or 'huber_loss'? A...
    """
    if isinstance(loss, Loss):
        return loss
    if isinstance(loss, str):
        name = _ALIASES.get(loss, loss)
        if name not in _NAMED:
            known = loss_names()
            hint = suggest(loss, known) or f" There are: {', '.join(known)}."
            raise TaskError(
                f"Unknown loss {loss!r}.{hint} A function (outputs, targets) will do as well."
            )
        return _named(name)
    if isinstance(loss, (nn.Module, functools.partial)):
        _check_reduction(loss)
    if isinstance(loss, nn.Module) and type(loss) in _MODULES:
        name = _MODULES[type(loss)]
        return _named(name, loss)
    if not callable(loss):
        raise TaskError(
            f"A loss must be a name such as 'cross_entropy', or a function of (outputs, targets); "
            f"got {type(loss).__name__}."
        )
    inner = loss.func if isinstance(loss, functools.partial) else loss
    for name, (function, _) in _NAMED.items():
        if function is inner:
            return _named(name, loss)
    name = getattr(inner, "__name__", type(inner).__name__)
    return Loss(name, loss, ignore_index=_ignored(loss))


def _named(name: str, function: LossFunction | None = None) -> Loss:
    usual, kind = _NAMED[name]
    low = -math.inf if name in _SIGNED else 0.0
    given = usual if function is None else function
    ignored = _ignored(given, -100) if name in ("cross_entropy", "nll_loss") else None
    return Loss(name, given, kind, low, ignored)


def setting_of(loss: Any, name: str, default: Any) -> Any:
    """Return what a module or a partial sets, such as `reduction`."""
    if isinstance(loss, functools.partial):
        return loss.keywords.get(name, setting_of(loss.func, name, default))
    return getattr(loss, name, default) if isinstance(loss, nn.Module) else default


def _ignored(loss: Any, default: int | None = None) -> int | None:
    ignored = setting_of(loss, "ignore_index", default)
    return None if ignored is None else int(ignored)


def _sums(loss: Any) -> bool:
    return bool(setting_of(loss, "reduction", "") == "sum")


def _check_reduction(loss: Any) -> None:
    if setting_of(loss, "reduction", "mean") == "none":
        raise TaskError(
            "A loss is one number, to descend; with reduction='none' there is one for each row or "
            "element. Leave it at 'mean', or give Cost a function of (outputs, targets) that ends in "
            "a mean of your own."
        )
