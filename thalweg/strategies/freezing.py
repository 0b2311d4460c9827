"""Layers that are trained for a part of the run only."""
# ruff: noqa: N801 - strategies are called like functions

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from thalweg.errors import TaskError
from thalweg.numeric import is_real
from thalweg.strategies.layers import built, layer_of
from thalweg.strategies.stages.stage import Stage
from thalweg.strategies.stages.strategy import Strategy
from thalweg.train.callbacks import Callback, Training
from thalweg.train.history import Epoch
from thalweg.train.run import BaseRecipe


@dataclass(frozen=True)
class freezing(Strategy):
    """Train some layers for a part of the epochs only, as {layer: (from, to)} in fractions of the epochs.

    Epoch e of E trains a layer if from ≤ (e − 1)/E < to. {"0": (0, 0.5)} freezes a layer after half of them,
    when lower layers are thought to be done; {"0": (0.5, 1)} thaws one then. A frozen layer has no gradient,
    so that no optimizer moves it, and keeps the optimizer's state. It is counted in the cost like others.

    Raises TaskError for a layer that is not there, or of invalid fractions; and where an epoch would
    train nothing.

    Source: Brock et al. 2017, FreezeOut; Howard and Ruder 2018, section 3.3, for the other direction.
    """

    layers: Mapping[str, tuple[float, float]]

    def __post_init__(self) -> None:
        given: object = self.layers
        if not isinstance(given, Mapping) or not given:
            raise TaskError(
                "freezing takes the layers that are trained in a part of the epochs, such as "
                f'{{"0": (0, 0.5)}}; got {given!r:.80}.'
            )
        for name, times in self.layers.items():
            is_pair = isinstance(times, tuple) and len(times) == 2 and all(map(is_real, times))
            if not (is_pair and 0 <= times[0] < times[1] <= 1):
                raise TaskError(
                    f"Layer {name!r} must be trained from one fraction of the epochs to a later one, such as "
                    f"(0, 0.5); got {times!r}."
                )

    def stages(self, recipe: BaseRecipe) -> Sequence[Stage]:
        """Return the one stage."""
        model = built(recipe.task)
        for name in self.layers:
            layer_of(model, name)
        for epoch in range(recipe.epochs):
            set_frozen(model, self.layers, epoch / recipe.epochs)
            if not any(p.requires_grad for p in model.parameters()):
                raise TaskError(
                    f"Epoch {epoch + 1} of {recipe.epochs} trains nothing: all layers are frozen. Let one "
                    "of them be trained throughout."
                )
        return [Stage("freezing", callbacks=(_Freeze(self.layers),))]


def set_frozen(model: nn.Module, layers: Mapping[str, tuple[float, float]], time: float) -> None:
    """Freeze or thaw each layer as it is to be at this fraction of the run."""
    for name, (first, last) in layers.items():
        is_trained = first <= time < last
        for parameter in layer_of(model, name).parameters():
            parameter.requires_grad_(is_trained)
            if not is_trained:
                parameter.grad = None  # else an optimizer would go on by the last one


class _Freeze(Callback):
    """Freezes and thaws between epochs; all layers are as before at the end."""

    def __init__(self, layers: Mapping[str, tuple[float, float]]) -> None:
        self.layers = layers

    def start(self, training: Training) -> None:
        """Set the layers for the first epoch, or the one to go on with."""
        set_frozen(training.model, self.layers, training.epoch / training.epochs)

    def epoch(self, training: Training, record: Epoch) -> None:
        """Set them for the next epoch."""
        if record.epoch < training.epochs:
            set_frozen(training.model, self.layers, record.epoch / training.epochs)

    def end(self, training: Training) -> None:
        """Thaw all of them."""
        for name in self.layers:
            layer_of(training.model, name).requires_grad_(True)
