"""Layers of one model in another: deep from shallow, and transfer with frozen, then thawed layers."""
# ruff: noqa: N801 - strategies are called like functions

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from torch import nn

from thalweg.errors import TaskError
from thalweg.strategies.layers import Layers, built, changed, copy_layers, freeze
from thalweg.strategies.rates import with_rates
from thalweg.strategies.stages.shares import check_share
from thalweg.strategies.stages.stage import Models, Stage
from thalweg.strategies.stages.strategy import Strategy
from thalweg.train.run import BaseRecipe


@dataclass(frozen=True)
class copied_layers(Strategy):
    """Train a shallow model first, and begin the deep one with copies of its layers.

    The other layers of the deep model are drawn as usual, and all are trained. It can help where a deep
    model as it is drawn does not learn at all, as without normalization and skip connections.

    Args:
        shallow: builds the shallow model, or is one.
        layers: which layers are copied, as `copy_layers` takes them.
        share: of the budget, for the shallow model.

    Raises:
        TaskError: for a layer that is not there or has another shape, before anything is trained.

    Source: Simonyan and Zisserman 2015, section 3.1: the first four and the last three layers.
    """

    shallow: Callable[[], nn.Module] | nn.Module
    layers: Layers = None
    share: float = 0.3

    def __post_init__(self) -> None:
        check_share("share", self.share)

    def stages(self, recipe: BaseRecipe) -> Sequence[Stage]:
        """Return the training of the shallow model, then that of the deep one."""
        shallow = recipe.task.replace(model=self.shallow, target=None)
        copy_layers(built(shallow), built(recipe.task), self.layers)  # says now what does not fit

        def first(recipe: BaseRecipe, models: Models) -> BaseRecipe:
            return recipe.replace(model=self.shallow, target=None)

        def deep(recipe: BaseRecipe, models: Models) -> BaseRecipe:
            def copied(model: nn.Module) -> None:
                copy_layers(models[-1], model, self.layers)

            return recipe.replace(model=changed(recipe.task, copied))

        return [
            Stage("shallow", first, self.share, is_judged=False),
            Stage("deep", deep, 1 - self.share),
        ]


@dataclass(frozen=True)
class transfer(Strategy):
    """Begin with layers of a trained model: frozen while the others learn, then thawed, all together.

    The new layers have large gradients while they are untrained, which would spoil the copied ones.
    Frozen layers are counted in the cost like others, though their backward pass is saved. The running
    statistics of frozen batch normalization go on.

    Args:
        source: the trained model; it is not changed.
        layers: which of its layers are copied, as `copy_layers` takes them.
        share: of the budget, for the stage in which the copied layers are frozen; 0 for none.
        rates: factors of the learning rate of layers in the second stage, such as {"0": 0.1}; a layer's own
            name comes before that of what it is part of.

    Raises:
        TaskError: for a layer that is not there or has another shape, before anything is trained.

    Source: Yosinski et al. 2014, How transferable are features in deep neural networks?; Howard and Ruder
    2018 for rates by layer.
    """

    source: nn.Module
    layers: Layers = None
    share: float = 0.3
    rates: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.share != 0:
            check_share("share", self.share)
        if not isinstance(self.source, nn.Module):
            raise TaskError(
                f"The source of a transfer must be a trained model, an nn.Module; got {self.source!r:.80}."
            )

    def stages(self, recipe: BaseRecipe) -> Sequence[Stage]:
        """Return the training of the new layers, then that of all."""
        model = built(recipe.task)
        names = copy_layers(self.source, model, self.layers)  # says now what does not fit
        with_rates(recipe, self.rates)
        if self.share:
            freeze(model, names)

        def copied(model: nn.Module) -> None:
            copy_layers(self.source, model, self.layers)

        def frozen(model: nn.Module) -> None:
            copied(model)
            freeze(model, names)

        def new(recipe: BaseRecipe, models: Models) -> BaseRecipe:
            return recipe.replace(model=changed(recipe.task, frozen))

        def all_layers(recipe: BaseRecipe, models: Models) -> BaseRecipe:
            if not models:
                return with_rates(recipe.replace(model=changed(recipe.task, copied)), self.rates)
            return with_rates(recipe.replace(model=thawed(models[-1], names)), self.rates)

        thaw = Stage("thawed", all_layers, 1 - self.share)
        return [Stage("frozen", new, self.share), thaw] if self.share else [thaw]


def thawed(model: nn.Module, layers: Iterable[str]) -> nn.Module:
    """Return a copy of a model in which these layers are trained again."""
    own = copy.deepcopy(model)
    own.zero_grad(set_to_none=True)
    freeze(own, layers, frozen=False)
    return own
