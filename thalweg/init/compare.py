"""Strategies side by side on one batch: how activations and gradients go through the layers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from thalweg.errors import TaskError, check_each_once
from thalweg.init.apply import apply
from thalweg.init.linear import LinearDescent, linear_descent
from thalweg.init.named import as_strategy
from thalweg.init.recommended import MARGIN, recommended, usual_of
from thalweg.init.spread import Spread
from thalweg.kept import by_batch, undisturbed, watched
from thalweg.model.layers import layers_of
from thalweg.model.outputs import first_tensor, outputs_of
from thalweg.objective.losses import Loss
from thalweg.report.plots.starts import starts_html, steps_said

AS_BUILT = "default"
"""The name for what the layers draw themselves."""

_LEFT = 0.5
"""How much of the loss of the best constant is left where the steps of the linear model are counted."""


@dataclass(frozen=True)
class Started:
    """What one strategy gives: by layer the logarithm of the root mean square of its outputs, and of the
    gradient there; and the loss.

    `drift` is how far both go from the first hidden layer to the last, in nats, added up without signs; None
    where there is one hidden layer alone. `steps` has for each seed how many steps of gradient descent the
    model would need if it stayed linear (`LinearDescent`), infinity where it would never learn; it is empty
    where that cannot be computed.
    """

    name: str
    layers: tuple[str, ...]
    activations: tuple[Spread, ...]
    gradients: tuple[Spread, ...]
    loss: Spread
    drift: Spread | None
    steps: tuple[float, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as plain values."""
        return {
            "strategy": self.name,
            "loss": vars(self.loss),
            "drift": None if self.drift is None else vars(self.drift),
            "steps": [steps if steps < math.inf else None for steps in self.steps],
            "layers": [
                {"layer": name, "activation": vars(a), "gradient": vars(g)}
                for name, a, g in zip(self.layers, self.activations, self.gradients, strict=True)
            ],
        }


@dataclass(frozen=True)
class InitComparison:
    """Strategies side by side; `str` gives the tables and the recommendation."""

    started: tuple[Started, ...]
    constant: float | None
    seeds: int

    @property
    def decided_by(self) -> str:
        """What decides: the "steps" of the linear model where one start has finite ones by every seed, else
        the "drift", and of a model with one hidden layer the "loss".
        """
        if any(each.steps and max(each.steps) < math.inf for each in self.started):
            return "steps"
        return "loss" if any(each.drift is None for each in self.started) else "drift"

    @property
    def recommended(self) -> tuple[str, ...]:
        """The recommended strategy, and those that the seeds do not tell apart from it.

        It is the usual one, orthogonal weights, with LSUV if that is compared, unless another strategy is
        forecast to be far better; and without a usual one the best by what decides.
        """
        return recommended(self._figures, self.seeds, 0.0 if self.decided_by == "loss" else MARGIN)

    @property
    def _figures(self) -> dict[str, Spread]:
        by = self.decided_by
        return {each.name: self._figure(each, by) for each in self.started}

    def _figure(self, each: Started, by: str) -> Spread:
        if by == "steps":
            return Spread.of([math.log1p(steps) for steps in each.steps] or [math.nan])
        if by == "drift" and each.drift is not None:
            return each.drift
        if not math.isfinite(each.loss.mean):
            return each.loss
        return Spread(abs(each.loss.mean - (self.constant or 0.0)), each.loss.std)

    def __str__(self) -> str:
        parts = [_table(each) for each in self.started]
        return "\n\n".join([*parts, self._summary()])

    def _summary(self) -> str:
        width = max(len(each.name) for each in self.started)
        columns = [("loss", 16, [str(each.loss).removeprefix("+") for each in self.started])]
        if any(each.drift is not None for each in self.started):
            drifts = ["" if each.drift is None else str(each.drift) for each in self.started]
            columns.append(("drift, nats", 16, drifts))
        if any(each.steps for each in self.started):
            columns.append(("linear steps", 18, [steps_said(each.steps) for each in self.started]))
        lines = ["".join([" " * width, *(f"  {title:>{wide}}" for title, wide, _ in columns)])]
        for place, each in enumerate(self.started):
            cells = "".join(f"  {found[place]:>{wide}}" for _, wide, found in columns)
            lines.append(f"{each.name:{width}}{cells}".rstrip())
        if self.constant is not None:
            lines.append(
                f"The best constant output has the loss {self.constant:.4g}: of classes the entropy of "
                "their shares."
            )
        return "\n".join([*lines, self._advice()])

    def _advice(self) -> str:
        names = self.recommended
        if not names:
            return "No strategy gives finite figures on this batch."
        best = next(each for each in self.started if each.name == names[0])
        usual = usual_of(self._figures)
        which = f"{names[0]}, the usual start" if usual == names[0] else names[0]
        behind = f" The usual start, {usual}, is far behind." if usual not in (None, *names) else ""
        also = f" This does not tell {', '.join(names[1:])} apart from it." if names[1:] else ""
        return (
            f"Recommended: {which}. {self._reason(best)}, over {self.seeds} seeds.{behind}{also} That is a "
            "forecast; what trains fastest a race says."
        )

    def _reason(self, best: Started) -> str:
        by = self.decided_by
        if by == "steps":
            lowest = (
                "the lowest of these starts" if self.constant is None else "the best constant's"
            )
            return (
                f"If the model stayed linear, the loss would fall to half of {lowest} in "
                f"{steps_said(best.steps)} steps of gradient descent"
            )
        if by == "drift":
            return (
                "From the first hidden layer to the last, activations and gradients change by "
                f"{best.drift} nats in all"
            )
        return f"There is no depth to compare; its loss {best.loss} is next to the constant's"

    def _repr_html_(self) -> str:
        """The figures by layer and a table, for notebooks."""
        return starts_html(self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as plain values."""
        return {
            "schema": "thalweg.init/1",
            "seeds": self.seeds,
            "constant_loss": self.constant,
            "recommended": list(self.recommended),
            "advice": self._advice(),
            "strategies": [each.to_dict() for each in self.started],
        }


def compare(
    build: Callable[[], nn.Module],
    strategies: Sequence[Any],
    x: Any,
    y: Any,
    loss: Loss,
    *,
    targets: Any = None,
    seeds: int = 5,
) -> InitComparison:
    """Start models by each strategy, run a batch through and back, and return what the layers see.

    Args:
        build: makes a fresh model.
        strategies: by name or made in Python; "default" is what the layers draw themselves.
        x: a batch of inputs.
        y: its targets.
        loss: of outputs and targets.
        targets: all targets of the training set, if they are known.
        seeds: models of each strategy, at least 2.

    Raises:
        TaskError: for a strategy that is not known, is named twice or cannot run, or a model that cannot be
            trained on the batch.
    """
    if seeds < 2:
        raise TaskError(f"A comparison needs at least 2 seeds to show a spread; got {seeds}.")
    if not strategies:
        raise TaskError("A comparison needs at least one strategy, such as he.")
    check_each_once("strategy", list(map(str, strategies)))
    named: Mapping[str, Any] = {
        str(each): None if each == AS_BUILT else as_strategy(each) for each in strategies
    }
    runs_of: dict[str, list[_MeasuredStart]] = {}
    for name, strategy in named.items():
        for seed in range(seeds):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                model = build()
                if strategy is not None:
                    apply(model, strategy, x, y, seed=seed, loss=loss, targets=targets)
                runs_of.setdefault(name, []).append(_measured(model, x, y, loss))
    constant = constant_loss(loss.name, y if targets is None else targets)
    left = _left(constant, [run.loss for runs in runs_of.values() for run in runs])
    started = tuple(_gathered(name, runs, left) for name, runs in runs_of.items())
    return InitComparison(started, constant, seeds)


def _left(constant: float | None, losses: Sequence[float]) -> float:
    """Return the loss that the linear model is to reach; NaN where none can be said."""
    base = min(filter(math.isfinite, losses), default=math.nan) if constant is None else constant
    return _LEFT * base if base > 0 else math.nan


@dataclass(frozen=True)
class _MeasuredStart:
    """One model on the batch: figures by layer, which of them are hidden, the loss, and how it would fall."""

    activations: dict[str, float]
    gradients: dict[str, float]
    hidden: tuple[str, ...]
    loss: float
    descent: LinearDescent | None


def _measured(model: nn.Module, x: Any, y: Any, loss: Loss) -> _MeasuredStart:
    names = {la.module: la.called or la.name for la in layers_of(model) if la.kind == "hidden"}
    outputs: dict[str, Tensor] = {}

    def see(module: nn.Module, _: Any, result: Any) -> None:
        value = first_tensor(result)
        if value is not None and value.requires_grad and names[module] not in outputs:
            value.retain_grad()
            outputs[names[module]] = value

    with torch.enable_grad(), undisturbed(model), watched(list(names), see):
        by_batch(model)
        value = loss(outputs_of(model, x), y)
        value.backward()  # type: ignore[no-untyped-call]
        descent = linear_descent(model, loss, x, y)
    activations = {name: _log_rms(out.detach()) for name, out in outputs.items()}
    gradients = {n: -math.inf if t.grad is None else _log_rms(t.grad) for n, t in outputs.items()}
    # the last layer that the batch reaches gives the outputs
    hidden = tuple(outputs)[:-1] or tuple(outputs)
    return _MeasuredStart(activations, gradients, hidden, float(value.detach()), descent)


def _log_rms(values: Tensor) -> float:
    square = float(values.double().square().mean())
    return math.log(square) / 2 if 0 < square < math.inf else -math.inf if square == 0 else math.nan


def _gathered(name: str, runs: Sequence[_MeasuredStart], left: float) -> Started:
    layers = tuple(runs[0].activations)
    if not layers:
        raise TaskError("The batch reaches no layer of the model that has weights and is hidden.")
    first, last = runs[0].hidden[0], runs[0].hidden[-1]
    drifts = [
        abs(run.activations[last] - run.activations[first])
        + abs(run.gradients[last] - run.gradients[first])
        for run in runs
    ]
    return Started(
        name=name,
        layers=layers,
        activations=tuple(Spread.of([run.activations[each] for run in runs]) for each in layers),
        gradients=tuple(Spread.of([run.gradients[each] for run in runs]) for each in layers),
        loss=Spread.of([run.loss for run in runs]),
        drift=None if first == last else Spread.of(drifts),
        steps=_steps(runs, left),
    )


def _steps(runs: Sequence[_MeasuredStart], left: float) -> tuple[float, ...]:
    found = []
    for run in runs:
        if run.descent is None or math.isnan(left):
            return ()
        found.append(run.descent.steps(run.loss - left))
    return tuple(found)


def _table(started: Started) -> str:
    width = max(len("layer"), *(len(name) for name in started.layers))
    lines = [started.name, f"{'layer':{width}}  {'log activation':>16}  {'log gradient':>16}"]
    lines += [
        f"{name:{width}}  {a!s:>16}  {g!s:>16}"
        for name, a, g in zip(started.layers, started.activations, started.gradients, strict=True)
    ]
    return "\n".join(lines)


def constant_loss(loss: str, y: Any) -> float | None:
    """Return the lowest loss of an output that does not depend on the input: the entropy of the classes, the
    variance of a regression; None where it is not known.

    >>> round(constant_loss("cross_entropy", torch.tensor([0, 0, 1, 1])), 4)
    0.6931
    """
    if not isinstance(y, Tensor):
        return None
    if loss in ("cross_entropy", "nll_loss") and not y.is_floating_point():
        counts = torch.bincount(y[y >= 0].flatten()).double()
        shares = counts[counts > 0] / counts.sum()
        return float(-(shares * shares.log()).sum())
    columns = y.detach().double().reshape(len(y), -1)
    if loss in ("mse_loss", "half_mse"):
        variance = float(columns.var(0, correction=0).mean())
        return variance / 2 if loss == "half_mse" else variance
    if loss in ("binary_cross_entropy", "binary_cross_entropy_with_logits"):
        p = columns.mean(0)
        return float(-(torch.special.xlogy(p, p) + torch.special.xlogy(1 - p, 1 - p)).mean())
    return None
