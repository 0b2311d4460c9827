"""Optimizers that step matrices alone, and refuse vectors by name."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from thalweg.engine.member import called
from thalweg.optim.stepping.checks import Group
from thalweg.optim.stepping.steppable import param_names
from thalweg.optim.stepping.stepper import Stepper


class OfMatrices(Stepper):
    """An optimizer that steps matrices alone."""

    of_matrices: ClassVar[bool] = True

    def add_param_group(self, param_group: Group) -> None:
        """Add a group of parameters, as PyTorch does, none of them a vector."""
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        names = param_names(group)
        before = sum(len(other["params"]) for other in self.param_groups[:-1])
        for k, p in enumerate(group["params"]):
            _must_be_matrix(type(self).__name__, called(before + k, names[k]), p)


def _must_be_matrix(who: str, name: str, p: Tensor) -> None:
    if p.ndim < 2:
        raise ValueError(
            f"{who} only supports parameters of two dimensions or more, whereas {name} has size "
            f"{tuple(p.shape)}: {who} orthogonalises matrices. Give it the weights of hidden layers, and "
            "step biases, gains, embeddings and the last layer by AdamW"
        )
    if p.is_complex():
        raise ValueError(f"{who} does not support complex parameters, as {name} is")
