"""What goes through the layers: sizes of activations and of their gradients, silent and saturated units."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from thalweg.doctor.gauges.gauge import Gauge
from thalweg.doctor.gauges.numbers import floats
from thalweg.doctor.watched import LayerCall, LayerSample, UnitRecord, Watched

MOST_CALLS = 512
"""Calls of layers that are kept of one pass; a recurrent loop may make very many."""
MOST_ROWS = 1024
"""Rows, or places of images and texts, that units are looked at on, evenly from all of a batch."""
BEYOND = 0.85
"""From where on a unit counts as saturated (Rakitianskaia and Engelbrecht, 2015)."""
SATURATING = {"TanhBackward0": (0.0, 1.0), "SigmoidBackward0": (0.5, 0.5)}
"""Centre and half width of what an activation gives, by the node that it leaves in the graph."""
CONVOLUTIONS = (
    *(nn.Conv1d, nn.Conv2d, nn.Conv3d),
    *(nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
)
MULTIPLYING = (
    *(nn.Linear, nn.Bilinear, *CONVOLUTIONS),
    *(nn.RNNBase, nn.RNNCellBase, nn.MultiheadAttention),
)


class _Part(NamedTuple):
    """A number of a call that is on its way: a value to be divided."""

    value: Tensor
    divisor: float

    @classmethod
    def rms(cls, x: Tensor) -> _Part:
        """Return the root mean square of a tensor, as float32 or wider."""
        wide = x.detach() if x.dtype in (torch.float32, torch.float64) else x.detach().float()
        return cls(torch.linalg.vector_norm(wide), max(x.numel(), 1) ** 0.5)


class LayerGauge(Gauge):
    """Hooks the layers that multiply; it keeps the calls of the last pass of the model in training."""

    name = "activations"

    def __init__(self, watched: Watched, failed: Callable[[str, Exception], None]) -> None:
        super().__init__(watched, failed)
        self._calls: list[tuple[LayerCall, dict[str, _Part]]] = []
        self._silent: list[tuple[str, int, Tensor]] = []
        self.names = {
            module: name or type(module).__name__
            for name, module in watched.model.named_modules()
            if has_matrix(module)
        }

    def attach(self) -> None:
        """Hook the next forward passes."""
        self._forget()
        begin = self.guarded(lambda *_: self._forget())
        self._handles.append(self.watched.model.register_forward_pre_hook(begin))
        hook = self.guarded(self._see)
        self._handles += [module.register_forward_hook(hook) for module in self.names]

    def _forget(self) -> None:
        if torch.is_grad_enabled():
            self._calls, self._silent = [], []

    def _see(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if not torch.is_grad_enabled() or len(self._calls) >= MOST_CALLS:
            return
        out = next((o for o in _flat(output) if o.is_floating_point()), None)
        given = next((a for a in args if isinstance(a, Tensor) and a.is_floating_point()), None)
        if out is None:
            return
        call = LayerCall(self.names[module], type(module).__name__, True)
        parts = {"output": _Part.rms(out)}
        if given is not None:
            parts["input"] = _Part.rms(given)
            if given.requires_grad:
                self._see_units(call, module, given, parts)
        if out.requires_grad:
            out.register_hook(  # type: ignore[no-untyped-call]
                self.guarded(lambda g: parts.__setitem__("gradient", _Part.rms(g)))
            )
        self._calls.append((call, parts))

    def _see_units(
        self, call: LayerCall, module: nn.Module, given: Tensor, parts: dict[str, _Part]
    ) -> None:
        """Look at the units that come into a layer; what does not depend on parameters is data."""
        x, axes = _some_rows(given.detach(), isinstance(module, CONVOLUTIONS))
        call.units = x.shape[1]
        call.rows = x.numel() // max(call.units, 1)
        call.activation = _made_by(given)
        # a sum of sizes is 0 where all are: a reduction of booleans along these axes takes ten times as long
        self._silent.append((call.name, call.rows, x.abs().sum(axes) != 0))
        if call.activation in SATURATING:
            centre, width = SATURATING[call.activation]
            beyond = (x.float() - centre).abs().mean(axes) > BEYOND * width
            parts["saturated"] = _Part(beyond.float().mean(), 1.0)

    def read(self, step: int) -> bool:
        """Keep the calls of the pass; False where no layer was called."""
        if not self._calls:
            return False
        found = [(call, name, part) for call, parts in self._calls for name, part in parts.items()]
        values = floats([part.value for _, _, part in found]).tolist()
        for (call, name, part), value in zip(found, values, strict=True):
            setattr(call, name, value / part.divisor)
        for call, _ in self._calls:
            call.is_finite = math.isfinite(call.output)
        self.watched.layers.add(LayerSample(step, tuple(call for call, _ in self._calls)))
        for name, rows, active in self._silent:
            self._count(name, rows, active.cpu().numpy())
        self._forget()
        return True

    def _count(self, name: str, rows: int, active: np.ndarray[Any, Any]) -> None:
        record = self.watched.units.get(name)
        if record is None or len(record.silent) != len(active):
            record = UnitRecord(name, 0, np.zeros(len(active), dtype=np.int64))
            self.watched.units[name] = record
        record.rows += rows
        record.silent = np.where(active, 0, record.silent + rows)

    def detach(self) -> None:
        """Remove all hooks, and forget the pass."""
        super().detach()
        self._calls, self._silent = [], []


def has_matrix(module: nn.Module) -> bool:
    """Return whether a module multiplies by weights of its own: PyTorch's layers, and any other that has
    a parameter of two or more axes and is not an embedding.
    """
    if isinstance(module, (nn.Embedding, nn.EmbeddingBag)):
        return False
    own = list(module.parameters(recurse=False))
    return isinstance(module, MULTIPLYING) or any(p.ndim >= 2 for p in own)


def _made_by(x: Tensor) -> str:
    """Return the node of the graph that made a tensor, views left out."""
    node = x.grad_fn
    for _ in range(4):
        if node is None or not node.name().startswith(
            ("View", "Reshape", "UnsafeView", "Transpose")
        ):
            break
        node = node.next_functions[0][0] if node.next_functions else None
    return "" if node is None else node.name()


def _some_rows(x: Tensor, is_by_channel: bool) -> tuple[Tensor, tuple[int, ...]]:
    """Return some rows of a batch, evenly from all, units on axis 1, and the axes that are not units."""
    if not is_by_channel or x.ndim < 3:
        x = x.reshape(-1, x.shape[-1])
        return x[:: -(-len(x) // MOST_ROWS) or 1], (0,)
    width = x.shape[-1]
    x = x[:: -(-len(x) // MOST_ROWS) or 1].flatten(2)
    stride = -(-x.shape[2] // max(MOST_ROWS // max(len(x), 1), 1)) or 1
    while math.gcd(stride, width) > 1:  # places of all columns, not of an edge alone
        stride += 1
    return x[..., ::stride], (0, 2)


def _flat(output: Any) -> list[Tensor]:
    if isinstance(output, Tensor):
        return [output]
    return [o for o in output if isinstance(o, Tensor)] if isinstance(output, (tuple, list)) else []
