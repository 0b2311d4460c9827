"""Finding the layer that cannot take its input, or that turns finite numbers into NaN."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from thalweg.kept import modes_kept
from thalweg.objective.nested import mapped, tensors_in
from thalweg.train.restored.modes import evaluating
from thalweg.train.restored.randomness import isolated


@dataclass
class _Trail:
    """A record of layer calls: those that have not returned, and the first that gave NaN."""

    open: list[tuple[str, nn.Module, Any]] = field(default_factory=list)
    spoilt: tuple[str, nn.Module] | None = None
    error: Exception | None = None


def refusing_layer(model: nn.Module, inputs: Any, *, training: bool = False) -> str:
    """Return the innermost layer in which `model` fails on `inputs`, with what it was given; an
    empty text where no layer can be named. It is tried in evaluation mode, or as it is trained,
    and left as it was.

    >>> refusing_layer(nn.Sequential(nn.Flatten(), nn.Linear(7, 3)), torch.zeros(2, 5))
    'layer 1, Linear(in_features=7, out_features=3, bias=True), was given shape (2, 5)'
    """
    return _named(_run(model, inputs, training=training))


def refusal_of(model: nn.Module, inputs: Any) -> tuple[str, Exception | None]:
    """Return the layer in which `model` fails on `inputs` as it is trained, as `refusing_layer` does,
    and its error; None where it does not fail.
    """
    trail = _run(model, inputs, training=True)
    return _named(trail), trail.error


def _named(trail: _Trail) -> str:
    if not trail.open:
        return ""
    name, layer, given = trail.open[-1]
    called = f"layer {name}, {_shown(layer)}," if name else _shown(layer)
    return f"{called} was given {given}" if given else called


def spoiling_layer(model: nn.Module, inputs: Any) -> str:
    """Return the first layer of `model` that gives NaN though `inputs` are finite, or an empty text.

    >>> spoiling_layer(nn.Sequential(nn.Linear(1, 1), nn.Softmax(1)), torch.full((1, 1), 1.0))
    ''
    """
    found = _run(model, inputs).spoilt
    if found is None:
        return ""
    name, layer = found
    return f"layer {name}, {_shown(layer)}" if name else _shown(layer)


def cause_of_nonfinite(model: nn.Module, inputs: Any, targets: Any, loss: str) -> str:
    """Return one or two sentences on why the loss called `loss` is not finite before any update: the
    data, the initial parameters, a layer of the model, or the loss itself; and what to do.
    """
    for batch, role in ((inputs, "inputs"), (targets, "targets")):
        for value in tensors_in(batch):
            if not value.ndim or torch.isfinite(value).all():
                continue
            rows = (~torch.isfinite(value)).reshape(len(value), -1).any(1).nonzero()
            return (
                f"The data: the {role} hold NaN or infinity, first in row {int(rows[0])} of this "
                "batch. Remove these rows or fill the gaps."
            )
    spoilt = [name for name, p in model.named_parameters() if not torch.isfinite(p).all()]
    if spoilt:
        return (
            f"The model: its initial parameters {', '.join(spoilt[:3])} are not finite. See how "
            "they are made."
        )
    layer = spoiling_layer(model, inputs)
    if layer:
        return (
            f"The model: {layer} gives NaN for inputs that are finite. Look for the logarithm or "
            "root of a negative number, a division by zero, or numbers that overflow."
        )
    return (
        f"The loss: {loss} is not finite for outputs of the model that hold no NaN. See whether it "
        "fits them (logits or probabilities), and for the logarithm of zero or a division by zero."
    )


def _run(model: nn.Module, inputs: Any, *, training: bool = False) -> _Trail:
    trail = _Trail()
    probe = mapped(inputs, torch.clone)
    mode = _as_trained(model) if training else evaluating(model)
    try:
        with mode, _hooks(model, trail):
            model(probe)
    except Exception as error:
        trail.error = error
    return trail


@contextlib.contextmanager
def _as_trained(model: nn.Module) -> Iterator[None]:
    """Run `model` in training mode; modes, buffers and random generators are restored."""
    kept = [(buffer, buffer.clone()) for buffer in model.buffers()]
    try:
        with modes_kept(model), torch.no_grad(), isolated():
            model.train()
            yield
    finally:
        with torch.no_grad():
            for buffer, before in kept:
                buffer.copy_(before)


@contextlib.contextmanager
def _hooks(model: nn.Module, trail: _Trail) -> Iterator[None]:
    names = {module: name for name, module in model.named_modules()}

    def enter(layer: nn.Module, given: tuple[Any, ...]) -> None:
        shapes = [str(tuple(part.shape)) for part in given if isinstance(part, Tensor)]
        trail.open.append((names[layer], layer, f"shape {', '.join(shapes)}" if shapes else ""))

    def leave(layer: nn.Module, given: tuple[Any, ...], outputs: Any) -> None:
        trail.open.pop()
        if trail.spoilt is None and isinstance(outputs, Tensor) and outputs.isnan().any():
            trail.spoilt = names[layer], layer

    handles: list[Any] = []
    try:
        for module in model.modules():
            handles.append(module.register_forward_pre_hook(enter))
            handles.append(module.register_forward_hook(leave))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _shown(layer: nn.Module) -> str:
    return repr(layer) if not list(layer.children()) else type(layer).__name__
