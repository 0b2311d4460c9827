"""What goes through the layers: sizes of activations and of their gradients, silent and saturated units."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from thalweg.doctor.gauges.gauge import Gauge
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


class LayerGauge(Gauge):
    """Hooks the layers that multiply; it keeps the calls of the last pass of the model in training."""

    name = "activations"

    def __init__(self, watched: Watched, failed: Callable[[str, Exception], None]) -> None:
        super().__init__(watched, failed)
        self._calls: list[tuple[LayerCall, dict[str, Tensor]]] = []
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
        parts: dict[str, Tensor] = {}
        with torch.no_grad():
            parts["output"] = _rms(out.detach())
            if given is not None:
                parts["input"] = _rms(given.detach())
                if given.requires_grad:
                    self._see_units(call, module, given, parts)
        if out.requires_grad:
            out.register_hook(  # type: ignore[no-untyped-call]
                self.guarded(lambda g: parts.__setitem__("gradient", _rms(g)))
            )
        self._calls.append((call, parts))

    def _see_units(
        self, call: LayerCall, module: nn.Module, given: Tensor, parts: dict[str, Tensor]
    ) -> None:
        """Look at the units that come into a layer; what does not depend on parameters is data."""
        x = given.detach()
        by_unit = x.transpose(1, -1) if isinstance(module, CONVOLUTIONS) and x.ndim > 2 else x
        by_unit = by_unit.reshape(-1, by_unit.shape[-1])
        by_unit = by_unit[:: -(-by_unit.shape[0] // MOST_ROWS)] if len(by_unit) else by_unit
        call.units, call.rows = by_unit.shape[1], by_unit.shape[0]
        call.activation = _made_by(given)
        self._silent.append((call.name, call.rows, (by_unit != 0).any(0)))
        if call.activation in SATURATING:
            centre, width = SATURATING[call.activation]
            beyond = ((by_unit.float() - centre) / width).abs().mean(0) > BEYOND
            parts["saturated"] = beyond.float().mean()

    def read(self, step: int) -> bool:
        """Keep the calls of the pass; False where no layer was called."""
        if not self._calls:
            return False
        for call, parts in self._calls:
            for name, value in parts.items():
                setattr(call, name, float(value))
            call.is_finite = bool(np.isfinite(call.output))
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
    a parameter of two or more axes and is no embedding.
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


def _rms(x: Tensor) -> Tensor:
    wide = x if x.dtype in (torch.float32, torch.float64) else x.float()
    size: Tensor = torch.linalg.vector_norm(wide) / max(x.numel(), 1) ** 0.5
    return size


def _flat(output: Any) -> list[Tensor]:
    if isinstance(output, Tensor):
        return [output]
    return [o for o in output if isinstance(o, Tensor)] if isinstance(output, (tuple, list)) else []
