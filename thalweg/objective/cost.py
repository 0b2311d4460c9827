"""The cost: a surrogate loss to descend, a penalty added to it, and metrics reported apart."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor, nn

from thalweg.errors import TaskError, suggest
from thalweg.objective.class_weights import with_class_weights
from thalweg.objective.losses import Loss, LossFunction, as_loss
from thalweg.objective.metrics import Metric, MetricFunction, as_metric
from thalweg.objective.penalty import Penalty, bind
from thalweg.objective.residuals import Residuals, residuals_of
from thalweg.objective.scores import Meter
from thalweg.objective.weight import BatchWeight

MetricLike = str | Metric | MetricFunction


@dataclass(frozen=True)
class Cost:
    """The objective J(θ) = L(θ) + λΩ(θ), and the metrics reported with it.

    `loss` is the name of a loss in `torch.nn.functional` ("cross_entropy", "mse_loss", short
    "mse"), a torch loss module, or a function (outputs, targets) -> scalar. The loss of a set is
    the loss function's value on the whole set, though it is computed in batches: where PyTorch's
    functions take the mean or the sum, also in a function or a module of yours, what they divide by
    is known (elements, rows that are not ignored, the weights of classes). Any other function is taken for a
    mean over the batch's rows; if it is one over something else, `batch_weight` (outputs, targets)
    says over how much of it. A batch of weight 0 is left out: no step is taken on it. With a sum a
    step descends the sum over its batch.

    `penalty` is `L1`, `L2`, a sum of them, or a function (model) -> scalar. `metrics` are names
    ("accuracy"), functions or `Metric`s, one or several. By name, accuracy and error rate count the
    targets that the loss counts: all but its `ignore_index`. Where that is within a function of
    yours, say it again: `functools.partial(accuracy, ignore_index=0)`.

    `class_weights` are numbers ≥ 0, one for each class, by which the rows of cross_entropy or nll_loss
    count; the mean divides by their sum, so that a class of weight 2 counts as if its rows came twice.

    Raises:
        TaskError: for an unknown name.

    >>> import torch
    >>> from thalweg.objective import L2
    >>> cost = Cost("mse", metrics="mae", penalty=L2(0.1))
    >>> model = nn.Linear(1, 1, bias=False)
    >>> _ = nn.init.constant_(model.weight, 2.0)
    >>> x, y = torch.ones(4, 1), torch.zeros(4, 1)
    >>> float(cost.objective(model, x, y).detach())  # 2² + 0.1 · 2²
    4.400000095367432
    >>> def masked(outputs, targets):  # a mean over the targets that are not padding
    ...     kept = targets >= 0
    ...     return ((outputs - targets).square() * kept).sum() / kept.sum()
    >>> cost = Cost(masked, batch_weight=lambda outputs, targets: (targets >= 0).sum())
    """

    loss: str | nn.Module | LossFunction | Loss
    metrics: MetricLike | Sequence[MetricLike] | None = None
    penalty: Penalty | None = None
    batch_weight: BatchWeight | None = field(default=None, repr=False)
    class_weights: Any = None
    surrogate: Loss = field(init=False, repr=False, compare=False)
    measures: tuple[Metric, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        surrogate = as_loss(self.loss)
        if self.class_weights is not None:
            surrogate = with_class_weights(surrogate, self.class_weights)
            numbers = tuple(surrogate.function.keywords["weight"].tolist())  # type: ignore[attr-defined]
            object.__setattr__(self, "class_weights", numbers)  # hashable, and compared as numbers
        if self.batch_weight is not None:
            if not callable(self.batch_weight):
                raise TaskError(
                    "batch_weight must be a function (outputs, targets) -> number: what the mean of the "
                    f"batch's loss was divided by; got {self.batch_weight!r}."
                )
            surrogate = dataclasses.replace(surrogate, batch_weight=self.batch_weight)
        ignored = -100 if surrogate.ignore_index is None else surrogate.ignore_index
        given = self.metrics
        if given is None:
            given = ()
        elif isinstance(given, (str, Metric)) or callable(given):
            given = (given,)
        else:
            given = tuple(given)
            object.__setattr__(self, "metrics", given)  # a list would make the cost unhashable
        measures = tuple(as_metric(metric, surrogate.name, ignored) for metric in given)
        names = [measure.name for measure in measures]
        if len(set(names)) != len(names):
            raise TaskError(f"Two metrics have the same name: {', '.join(names)}.")
        if self.penalty is not None and not callable(self.penalty):
            raise TaskError(
                f"A penalty must be L1(…), L2(…), a sum of them, or a function of the model; "
                f"got {self.penalty!r}. For weight decay write L2({self.penalty!r})."
            )
        object.__setattr__(self, "surrogate", surrogate)
        object.__setattr__(self, "measures", measures)

    def objective(self, model: nn.Module, inputs: Any, targets: Any) -> Tensor:
        """Return J = L + λΩ on one batch, a differentiable scalar."""
        loss = self.surrogate(model(inputs), targets)
        return loss if self.penalty is None else loss + self.penalty(model)

    def bind_penalty(self, model: nn.Module) -> Callable[[], Tensor] | None:
        """Return λΩ of `model` as a function without arguments, or None without a penalty."""
        return None if self.penalty is None else bind(self.penalty, model)

    def bind_residuals(self, model: nn.Module, name: str) -> Residuals:
        """Return the residuals r of `model`, J = ½‖r‖², for the optimizer called `name`.

        Raises:
            TaskError: where the objective is not a sum of squares; `residuals_of` says which are.
        """
        return residuals_of(self.surrogate, self.penalty, model, name)

    def penalty_value(self, model: nn.Module) -> float:
        """Return λΩ of `model` as a number, 0 where there is no penalty."""
        return 0.0 if self.penalty is None else float(self.penalty(model).detach())

    def meter(self) -> Meter:
        """Return a fresh meter of this cost's metrics."""
        return Meter(self.measures)

    def bounds(self, name: str) -> tuple[float, float]:
        """Return the lowest and the highest value that the figure called `name` can take, infinite
        where nothing is known.

        >>> Cost("cross_entropy", metrics="accuracy").bounds("accuracy")
        (0.0, 1.0)
        """
        if name == "loss":
            return self.surrogate.low, math.inf
        for measure in self.measures:
            if measure.name == name:
                return measure.low, measure.high
        return -math.inf, math.inf

    def direction(self, name: str) -> Literal["max", "min"]:
        """Return which way the figure called `name` is better; TaskError if this cost has no such
        figure.
        """
        if name in ("loss", "penalty", "objective"):
            return "min"
        for measure in self.measures:
            if measure.name == name:
                return measure.direction
        known = ["loss", "penalty", "objective", *(measure.name for measure in self.measures)]
        raise TaskError(
            f"The cost has no metric {name!r}.{suggest(name, known)} It has: {', '.join(known)}."
        )
