"""Stochastic depth: residual branches that are left out at random in training."""
# ruff: noqa: N801 - strategies are called like functions

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from thalweg.errors import TaskError
from thalweg.numeric import is_real
from thalweg.strategies.layers import built, changed, layer_of
from thalweg.strategies.stages.stage import Models, Stage
from thalweg.strategies.stages.strategy import Strategy
from thalweg.train.run import BaseRecipe


@dataclass(frozen=True)
class stochastic_depth(Strategy):
    """Leave out residual branches in training, each with a probability that grows with its depth.

        h ← h + (b_l / p_l)·f_l(h),    b_l ~ Bernoulli(p_l) for a batch,    p_l = 1 − (l/L)·(1 − survival)

    for the branches l = 1 … L in their order. The division keeps the mean, so that evaluation is with all
    branches as they are; the paper multiplies by p_l in evaluation instead. What a branch that is left out
    would have cost is counted and computed all the same.

    Args:
        branches: the names of the layers f_l, the outputs of which are added to their inputs.
        survival: p_L, of the last branch.

    Raises TaskError for a branch that is not there, or a value that is not a probability.

    Source: Huang et al. 2016, Deep networks with stochastic depth, equations 2 and 4.
    """

    branches: tuple[str, ...]
    survival: float = 0.5

    def __post_init__(self) -> None:
        if not (is_real(self.survival) and 0 < self.survival <= 1):
            raise TaskError(
                f"survival must be a probability, 0 < survival ≤ 1; got {self.survival!r}."
            )
        given: object = self.branches
        if not isinstance(given, tuple) or not given:
            raise TaskError(
                f"branches must be the names of one or more layers, in a tuple; got {self.branches!r}."
            )

    def stages(self, recipe: BaseRecipe) -> Sequence[Stage]:
        """Return the one stage."""
        model = built(recipe.task)
        for name in self.branches:
            layer_of(model, name)
        hooks: list[Any] = []

        def hook(model: nn.Module) -> None:
            count = len(self.branches)
            for place, name in enumerate(self.branches, 1):
                survival = 1 - place / count * (1 - self.survival)
                hooks.append(layer_of(model, name).register_forward_hook(_dropped(survival)))

        def make(recipe: BaseRecipe, models: Models) -> BaseRecipe:
            return recipe.replace(model=changed(recipe.task, hook))

        def finish(model: nn.Module) -> nn.Module:
            for each in hooks:
                each.remove()
            return model

        return [Stage("stochastic depth", make, finish=finish)]


def _dropped(survival: float) -> Callable[[nn.Module, Any, Tensor], Tensor]:
    def drop(module: nn.Module, inputs: Any, outputs: Tensor) -> Tensor:
        if not module.training or survival == 1:
            return outputs
        is_kept = torch.rand(()) < survival
        return outputs / survival if is_kept else outputs * 0

    return drop
