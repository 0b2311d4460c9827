"""Optimizers that step matrices alone, and refuse vectors by name; of a model they step the rest by AdamW."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any, ClassVar

from torch import Tensor, nn

from thalweg.engine.member import called
from thalweg.optim.routing.of_model import OfModel, is_rest
from thalweg.optim.stepping.checks import Group
from thalweg.optim.stepping.steppable import param_names


class OfMatrices(OfModel):
    """An optimizer that steps matrices alone; of a model the rest by AdamW."""

    of_matrices: ClassVar[bool] = True
    arguments: ClassVar[inspect.Signature]
    """What the constructor takes."""

    def __init__(self, params: nn.Module | Iterable[Any], *args: Any, **kwargs: Any) -> None:
        names = list(self.arguments.parameters)[1:]
        given = {**dict(zip(names, args, strict=False)), **kwargs}
        super().__init__(self._groups_of(params, given), *args, **kwargs)

    def add_param_group(self, param_group: Group) -> None:
        """Add a group of parameters, as PyTorch does, no vectors but for AdamW, `route="rest"`."""
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        if is_rest(group):
            return
        names = param_names(group)
        before = sum(len(other["params"]) for other in self.param_groups[:-1])
        for k, p in enumerate(group["params"]):
            _must_be_matrix(type(self).__name__, called(before + k, names[k]), p)


def _must_be_matrix(who: str, name: str, p: Tensor) -> None:
    if p.ndim < 2:
        raise ValueError(
            f"{who} only supports parameters of two dimensions or more, whereas {name} has size "
            f"{tuple(p.shape)}: {who} orthogonalizes matrices. Give it the weights of hidden layers, and "
            f"step biases, gains, embeddings and the last layer by AdamW, as {who}(model) does."
        )
    if p.is_complex():
        raise ValueError(f"{who} does not support complex parameters, as {name} is.")
