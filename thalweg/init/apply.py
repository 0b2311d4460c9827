"""`init.apply`: start a model by a strategy, in place, and say what was done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from thalweg.errors import TaskError
from thalweg.init.strategies.strategy import InitChain, InitStrategy, Setup, full_name, parts_of
from thalweg.init.table import InitReport, InitRow
from thalweg.kept import kept_if_it_fails, seeded
from thalweg.model.graph import CallGraph
from thalweg.model.layers import Layer
from thalweg.model.symmetry import symmetric_in
from thalweg.model.trace import Traced, traced
from thalweg.numeric import as_seed
from thalweg.objective.losses import as_loss


def apply(
    model: nn.Module,
    strategy: InitStrategy | InitChain,
    x: Any = None,
    y: Any = None,
    *,
    seed: int | None = 0,
    loss: str | Callable[[Any, Any], Tensor] | None = None,
    targets: Any = None,
) -> InitReport:
    """Set the weights of a model by a strategy, in place; return what was done.

    Every weight is drawn on the CPU from a generator of its own, by the seed and the name of its layer, so a
    model gets the same numbers on every device and whatever else is drawn. Frozen parameters stay.

    Args:
        model: the module.
        strategy: such as `init.he()`, or several: `init.he() | init.output_bias(counts)`.
        x: a batch of inputs, for strategies that look at what it gives; also to find what is behind
            each layer where `torch.fx` cannot.
        y: the targets, for `output_bias`, `variance`, `search` and `gradinit`.
        seed: of what is drawn; None draws from PyTorch's global generator.
        loss: by name, such as "cross_entropy", or a function (outputs, targets), for `output_bias`,
            `search` and `gradinit`.
        targets: all targets of the training set, for `output_bias` and `variance`, where y is those of
            a batch.

    Raises:
        TaskError: the model has nothing to set or all of it is frozen, or a strategy matches nothing in it or
            cannot run. The model is then as it was.

    >>> from thalweg import init
    >>> net = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))
    >>> report = apply(net, init.orthogonal() | init.output_bias([50, 30, 20]))
    >>> [row.strategy for row in report.rows], report.untouched
    (['orthogonal', 'orthogonal', 'output_bias:counts=50/30/20'], ('0.bias',))
    >>> net[2].bias.exp()
    tensor([0.5000, 0.3000, 0.2000], grad_fn=<ExpBackward0>)
    """
    _check(model)
    before = {name: _std(p) for name, p in model.named_parameters()}
    setup, found = set_up(model, strategy, x, y, seed=seed, loss=loss, targets=targets)
    return _report(model, setup, found, before)


def set_up(
    model: nn.Module,
    strategy: InitStrategy | InitChain,
    x: Any = None,
    y: Any = None,
    *,
    seed: int | None = 0,
    loss: str | Callable[[Any, Any], Tensor] | None = None,
    targets: Any = None,
    graph: CallGraph | None = None,
) -> tuple[Setup, Traced]:
    """Do what `apply` does, without a report; return what the strategy worked on.

    `graph` is the model's, where it is known already.
    """
    _check(model)
    parts_of(strategy)
    found = traced(model, x, graph)
    finite = {name for name, p in model.named_parameters() if _is_finite(p)}
    setup = Setup(
        model=model,
        layers=found.layers,
        seed=_seed(seed),
        x=x,
        y=y,
        targets=y if targets is None else targets,
        loss=None if loss is None else as_loss(loss),
        shared=seed is None,
    )
    with kept_if_it_fails(model):
        with torch.no_grad(), seeded(model, setup.seed):
            strategy.run(setup)
        if not setup.notes:
            _check_free(strategy, found.layers)
        _check_finite(model, strategy, finite)
    return setup, found


def _seed(seed: Any) -> int | None:
    whole = as_seed(seed)
    if whole is None and seed is not None:
        raise TaskError(f"seed must be an integer from 0 to 2⁶³ − 1, or None; got {seed!r}.")
    return whole


def _check(model: Any) -> None:
    if not isinstance(model, nn.Module):
        hint = " Build it first: task.build()." if hasattr(model, "build") else ""
        raise TaskError(f"init.apply takes an nn.Module; got {type(model).__name__}.{hint}")
    named = dict(model.named_parameters())
    if not named:
        raise TaskError(f"{type(model).__name__} has no parameters, so there is nothing to set.")
    if any(isinstance(module, torch.jit.ScriptModule) for module in model.modules()):
        raise TaskError(
            f"{type(model).__name__} was compiled by torch.jit: its layers cannot be told apart any more. "
            "Start the model before: init.apply(model, …), then torch.jit.script(model)."
        )
    for name, parameter in named.items():
        if is_lazy(parameter):
            raise TaskError(
                f"The parameter {name} has no shape yet: its layer is lazy. Run the model on a batch "
                "first: model(x)."
            )
        if parameter.is_meta:
            raise TaskError(
                f"The parameter {name} is on the device meta, without numbers. Give it memory first: "
                "model.to_empty(device='cpu')."
            )
        if parameter.is_complex():
            raise TaskError(f"The parameter {name} is complex; strategies draw real numbers.")


def _check_free(strategy: InitStrategy | InitChain, layers: Sequence[Layer]) -> None:
    """Raise TaskError where nothing was set since all layers that the strategies are for are frozen."""
    parts = parts_of(strategy)
    matched = {id(la): la for part in parts for la in part.matched(layers)}.values()
    if any(la.trainable or la.has_trainable_bias for la in matched):
        return
    both = [(la, name) for la in matched for name in (la.parameter, la.bias) if name is not None]
    names = [full_name(la, name) for la, name in both]
    more = f" and {len(names) - 6} more" if len(names) > 6 else ""
    raise TaskError(
        f"{', '.join(f'init.{part.name}' for part in parts)}: all that could be set is frozen, and frozen "
        f"parameters stay as they are: {', '.join(names[:6])}{more}. Set requires_grad to have them set."
    )


def _check_finite(model: nn.Module, strategy: object, before: set[str]) -> None:
    """Raise TaskError for a parameter that was finite before, and is not now."""
    for name, parameter in model.named_parameters():
        if name in before and not _is_finite(parameter):
            raise TaskError(f"After {strategy} the parameter {name} is not finite.")


def _is_finite(parameter: Tensor) -> bool:
    return bool(torch.isfinite(parameter.detach()).all())


def _std(parameter: Tensor) -> float:
    values = parameter.detach().double()
    return float(values.std(correction=0)) if values.numel() else 0.0


def _report(model: nn.Module, setup: Setup, found: Traced, before: dict[str, float]) -> InitReport:
    weights = {full_name(layer, layer.parameter): layer for layer in found.layers}
    biases = {full_name(la, la.bias): la for la in found.layers if la.bias is not None}
    rows = []
    for name, parameter in model.named_parameters():
        known = name.replace("parametrizations.", "").removesuffix(".original0")
        if known not in setup.notes:
            continue
        strategy, gain = setup.notes[known]
        layer = weights.get(known)
        owner = layer or biases.get(known)
        values = parameter.detach().double().flatten()
        alike = bool((values == values[:1]).all()) and bool(values.numel())
        rows.append(
            InitRow(
                name=known,
                kind="other" if owner is None else owner.kind,
                strategy=strategy,
                fan_in=None if layer is None else layer.fan_in,
                fan_out=None if layer is None else layer.fan_out,
                gain=gain,
                before=before[name],
                after=_std(parameter),
                value=float(values[0]) if alike else None,
            )
        )
    touched = {row.name for row in rows}
    untouched = [
        _named_with_reason(name, parameter)
        for name, parameter in model.named_parameters()
        if name not in touched and ".parametrizations." not in f".{name}"
    ]
    tied = [
        f"{layer.name} shares the weight of {layer.tied}." for layer in found.layers if layer.tied
    ]
    symmetric = [
        f"Units that begin alike and stay so: {each}." for each in symmetric_in(found.layers)
    ]
    return InitReport(
        tuple(rows), tuple(untouched), found.by, found.unfound, (*setup.remarks, *tied, *symmetric)
    )


def _named_with_reason(name: str, parameter: nn.Parameter) -> str:
    return name if parameter.requires_grad else f"{name} (frozen)"
