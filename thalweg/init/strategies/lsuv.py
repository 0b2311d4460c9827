"""LSUV: scales that give each layer's outputs the variance 1 on a batch."""

from __future__ import annotations

import math
from typing import Any

from torch import nn

from thalweg.errors import TaskError
from thalweg.init.strategies.strategy import Setup, of_model
from thalweg.kept import by_batch, undisturbed, watched
from thalweg.model.layers import Layer, attention_of
from thalweg.model.outputs import first_tensor, outputs_of


@of_model("hidden", "output")
def lsuv(setup: Setup, tol: float = 0.01, iterations: int = 10, std: float = 1.0) -> None:
    """Divide each layer's weights and bias by the standard deviation of its outputs on a batch, so that it is
    1 there (Mishkin and Matas 2016).

    The outputs are those before the activation, over all rows and units. The layers are scaled in the order
    in which the batch reaches them, all in one pass; the next passes check that each is within the
    tolerance. The weights begin where they are: draw them before, `init.orthogonal() | init.lsuv()`.
    The model runs without dropout, and batch normalization by the batch; modes and buffers stay.

    Args:
        tol: how far from `std` a standard deviation may be.
        iterations: passes at most.
        std: the standard deviation that is wanted.
    """
    for name, value in (("tol", tol), ("std", std)):
        if not 0 < value < math.inf:
            raise TaskError(f"init.lsuv: {name} must be a number > 0; got {value!r}.")
    x = setup.batch("init.lsuv")
    scaling = _Scaling(setup, tol, std)
    with undisturbed(setup.model), watched(list(scaling.layers), scaling.see):
        by_batch(setup.model)
        for _ in range(iterations):
            scaling.begin()
            outputs_of(setup.model, x)
            if not scaling.beyond:
                break
        else:
            layer, found = next(iter(scaling.beyond.items()))
            raise TaskError(
                f"init.lsuv: after {iterations} passes the outputs of {layer} have the standard "
                f"deviation {found:.4g}, and {std:g} ± {tol:g} was asked for. Give more iterations or "
                "a larger tol."
            )
    missed = [layer.name for layer in scaling.layers.values() if layer.name not in scaling.seen]
    if missed:
        setup.remarks.append(f"The batch does not reach {', '.join(missed)}.")


class _Scaling:
    """The layers that are scaled, and what the present pass has found."""

    def __init__(self, setup: Setup, tol: float, std: float) -> None:
        self.setup, self.tol, self.std = setup, tol, std
        self.layers: dict[nn.Module, Layer] = {}
        self.seen: set[str] = set()
        self.beyond: dict[str, float] = {}
        modules = dict(setup.model.named_modules())
        for layer in setup.layers:
            if isinstance(layer.module, nn.MultiheadAttention) or not layer.trainable:
                continue  # what its inner projections give is not seen; the outputs' is scaled
            owner = attention_of(layer, modules)
            self.layers[layer.module if owner is None else modules[owner]] = layer

    def begin(self) -> None:
        self.seen, self.beyond = set(), {}

    def see(self, module: nn.Module, _: Any, outputs: Any) -> Any:
        layer = self.layers[module]
        values = first_tensor(outputs)
        if layer.name in self.seen or values is None:
            return None
        self.seen.add(layer.name)
        found = float(values.detach().double().std(correction=0))
        if len(values) > 1 and bool((values == values[:1]).all()):
            found = 0.0  # the units differ by their biases alone
        if not 1e-30 < found < math.inf:
            raise TaskError(
                f"init.lsuv: the layer {layer.name!r} gives {_said(found)} on the batch, so no scale "
                "makes its variance 1. Draw its weights again before, or look at what reaches it."
            )
        if abs(found - self.std) <= self.tol:
            return None
        self.beyond[layer.name] = found
        factor = self.std / found
        drawing = self.setup.drawing(layer)
        drawing.scale(factor)
        if layer.bias is not None:  # or a shifted output would not be scaled as a whole
            drawing.put_bias(getattr(layer.module, layer.bias).detach() * factor)
        if isinstance(outputs, tuple):
            return (values * factor, *outputs[1:])
        return values * factor if values is outputs else None


def _said(found: float) -> str:
    return "the same for every row" if found == found and found < 1 else "numbers not finite"
