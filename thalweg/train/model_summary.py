"""A table of a model's layers: what each gives, and how many parameters it has."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from html import escape
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from thalweg.errors import TaskError
from thalweg.generators import generators_in, kept
from thalweg.kept import buffers_kept
from thalweg.numeric import as_whole
from thalweg.objective.blame import blame
from thalweg.objective.nested import mapped, tensors_in
from thalweg.tasks.place import place_of
from thalweg.tasks.sources.tensors import as_tensor
from thalweg.text_table import aligned, html_table
from thalweg.train.health.layers import refusing_layer
from thalweg.train.restored.modes import evaluating
from thalweg.train.restored.randomness import isolated

_HEADINGS = ("layer", "kind", "output", "parameters", "trainable")


@dataclass(frozen=True)
class LayerRow:
    """A layer: its name in the model, its class, the shapes of its output in the first call, and its own
    parameters.

    `output` is empty where the model was not run, or did not call the layer. `tied` counts parameters
    that a layer above has already: they are not in `parameters`.
    """

    name: str
    kind: str
    output: tuple[tuple[int, ...], ...]
    parameters: int
    trainable: int
    tied: int
    output_bytes: int

    def cells(self) -> tuple[str, ...]:
        """The row as text, one cell for each column."""
        tied = f" (+ {self.tied:,} tied)" if self.tied else ""
        shapes = ", ".join(str(shape) for shape in self.output)
        return (self.name, self.kind, shapes, f"{self.parameters:,}{tied}", f"{self.trainable:,}")


@dataclass(frozen=True)
class ModelSummary:
    """The layers of a model, with totals; `str` gives a table, a notebook shows one.

    `parameter_bytes` and `buffer_bytes` are what the model holds, `output_bytes` what the outputs of its
    layers take for the batch that it was run on, 0 where there was none.
    """

    kind: str
    layers: tuple[LayerRow, ...]
    parameter_bytes: int
    buffer_bytes: int

    @property
    def parameters(self) -> int:
        """The number of parameters, each counted once."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def trainable(self) -> int:
        """The number of parameters that take gradients."""
        return sum(layer.trainable for layer in self.layers)

    @property
    def output_bytes(self) -> int:
        """What the layers' outputs take for the batch."""
        return sum(layer.output_bytes for layer in self.layers)

    def __str__(self) -> str:
        lines = aligned(_HEADINGS, (layer.cells() for layer in self.layers))
        rule = "─" * max(map(len, lines))
        return "\n".join([lines[0], rule, *lines[1:], rule, self._totals()])

    def _repr_html_(self) -> str:
        """A table for notebooks."""
        table = html_table(_HEADINGS, (layer.cells() for layer in self.layers))
        return f"{table}<p>{escape(self._totals())}</p>"

    def _totals(self) -> str:
        held = f"{_amount(self.parameter_bytes)} of parameters"
        if self.buffer_bytes:
            held += f", {_amount(self.buffer_bytes)} of buffers"
        if self.output_bytes:
            held += f", {_amount(self.output_bytes)} of outputs for this batch"
        count = f"{self.parameters:,} parameters, {self.trainable:,} of them trainable"
        return f"{self.kind}: {count}\n{held}"


def summary(model: nn.Module, x: Any = None) -> ModelSummary:
    """Return a table of the layers of `model`: name, kind, output shape, parameters, trainable ones.

    A layer is a module without modules in it, or with parameters of its own. The model is run once in
    evaluation mode, and left as it was: modes, buffers, random generators, no hooks.

    Args:
        model: the module.
        x: a batch as the model takes it, or its shape as a tuple such as (1, 3, 32, 32), for one of
            zeros; None leaves the output shapes out.

    Raises:
        TaskError: the model is not a module, or cannot be run on `x`; the message names the layer.

    >>> print(summary(nn.Sequential(nn.Flatten(), nn.Linear(784, 10)), (32, 1, 28, 28)))
    layer  kind     output     parameters  trainable
    ────────────────────────────────────────────────
    0      Flatten  (32, 784)           0          0
    1      Linear   (32, 10)        7,850      7,850
    ────────────────────────────────────────────────
    Sequential: 7,850 parameters, 7,850 of them trainable
    31.4 kB of parameters, 101.6 kB of outputs for this batch
    """
    given: object = model
    if not isinstance(given, nn.Module):
        hint = " Build it first: task.build()." if hasattr(given, "build") else ""
        raise TaskError(f"summary takes an nn.Module; got {type(given).__name__}.{hint}")
    if x is not None and any(map(is_lazy, model.parameters())):
        model = copy.deepcopy(model)  # to run it gives lazy parameters their shapes
    outputs = {} if x is None else _outputs(model, x)
    seen: set[int] = set()
    rows = []
    for name, module in model.named_modules():
        own = list(module.parameters(recurse=False))
        if own or not any(module.children()):
            rows.append(_row(name, module, own, outputs.get(module, ()), seen))
    known = [p for p in model.parameters() if not is_lazy(p)]
    return ModelSummary(
        type(model).__name__,
        tuple(rows),
        sum(p.nbytes for p in known),
        sum(b.nbytes for b in model.buffers() if not is_lazy(b)),
    )


def _row(
    name: str,
    module: nn.Module,
    own: list[nn.Parameter],
    outputs: tuple[Tensor, ...],
    seen: set[int],
) -> LayerRow:
    known = [p for p in own if not is_lazy(p)]
    new = [p for p in known if id(p) not in seen]
    seen.update(map(id, new))
    count = sum(p.numel() for p in new)
    return LayerRow(
        name or "(the model)",
        type(module).__name__,
        tuple(tuple(tensor.shape) for tensor in outputs),
        count,
        sum(p.numel() for p in new if p.requires_grad),
        sum(p.numel() for p in known) - count,
        sum(tensor.nbytes for tensor in outputs),
    )


def _outputs(model: nn.Module, x: Any) -> dict[nn.Module, tuple[Tensor, ...]]:
    """Return what each module gave when it was first called, as tensors without numbers."""
    found: dict[nn.Module, tuple[Tensor, ...]] = {}

    def note(module: nn.Module, _: Any, outputs: Any) -> None:
        if module not in found:
            found[module] = tuple(t.detach().to("meta") for t in tensors_in(outputs))

    place = place_of(model)
    batch = place(_batch(x))
    handles: list[Any] = []
    with kept(generators_in(model)), isolated(place.device), buffers_kept(model):
        try:
            handles += [each.register_forward_hook(note) for each in model.modules()]
            with evaluating(model):
                model(batch)
        except Exception as error:  # the user's own model: anything can be wrong in it
            layer = refusing_layer(model, batch)
            where = f" Its {layer}." if layer.startswith("layer") else f" {layer}." if layer else ""
            raise TaskError(f"The model cannot be run on x.{where} {blame(error)}") from error
        finally:
            for handle in handles:
                handle.remove()
    return found


def _batch(x: Any) -> Any:
    if isinstance(x, tuple) and x and all(as_whole(size) is not None for size in x):
        return torch.zeros(x)
    if hasattr(x, "__array__") and not isinstance(x, Tensor):
        return as_tensor(x, "batch x")
    return mapped(x, torch.clone)


def _amount(size: int) -> str:
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size} bytes"
