"""Models of one architecture as one: a tensor for each parameter, its first axis over the models.

Each model stays a module of its own whose parameters are views of those tensors, so that any optimizer
bound to them steps its row. What is not trained and the same in all models is kept once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from thalweg.race.stack.errors import StackError
from thalweg.race.stack.layers import dense


class Models:
    """The models of a stack.

    Args:
        modules: the models, built each under its own seed.
        written: names of parameters and buffers that a forward pass in training writes.

    Raises:
        StackError: the models differ in architecture.
    """

    def __init__(self, modules: Sequence[nn.Module], written: frozenset[str]) -> None:
        self.base = modules[0]
        self.trained: dict[str, Tensor] = {}
        self.gradients: dict[str, Tensor] = {}
        self._varying: dict[str, Tensor] = {}
        self._shared: dict[str, Tensor] = {}
        self._present: list[bool] = []
        self._rows = [tensors_of(module) for module in modules]
        first = self._rows[0]
        for row in self._rows[1:]:
            check_same(first, row)
        for name, tensor in first.items():
            every = [row[name] for row in self._rows]
            if isinstance(tensor, nn.Parameter) and tensor.requires_grad:
                self.trained[name] = torch.stack([p.detach() for p in every]).requires_grad_()
                self.gradients[name] = torch.zeros_like(self.trained[name])
            elif name in written or not all(torch.equal(tensor, other) for other in every[1:]):
                self._varying[name] = torch.stack([p.detach() for p in every])
            else:
                self._shared[name] = tensor.detach()
        if not self.trained:
            raise StackError("The model has no trainable parameters.")
        self._dense = dense(self.base, list(self.trained))
        self._point()

    def __len__(self) -> int:
        return len(self._rows)

    def parameters(self, row: int) -> list[Tensor]:
        """Return the trainable parameters of one model."""
        return [self._rows[row][name] for name in self.trained]

    def __call__(self, inputs: Any, *, shared: bool, rows: slice | None = None) -> Any:
        """Return the outputs of all models; with `shared` they all get the same inputs."""
        trained, varying = self.trained, self._varying
        if rows is not None:
            trained = {name: tensor[rows] for name, tensor in trained.items()}
            varying = {name: tensor[rows] for name, tensor in varying.items()}
        if self._dense is not None and isinstance(inputs, Tensor):
            outputs = self._dense(inputs, trained, shared)
            if outputs is not None:
                return outputs

        def one(trained: dict[str, Tensor], varying: dict[str, Tensor], inputs: Any) -> Any:
            return functional_call(self.base, {**self._shared, **varying, **trained}, (inputs,))

        mapped = torch.vmap(one, (0, 0, None if shared else 0), randomness="different")
        return mapped(trained, varying, inputs)

    def apply(self, function: Callable[[nn.Module], Tensor]) -> Tensor:
        """Return a function of the model for every model."""
        applied = _Applied(self.base, function)

        def one(trained: dict[str, Tensor], varying: dict[str, Tensor]) -> Any:
            own = {**self._shared, **varying, **trained}
            return functional_call(applied, {f"model.{n}": t for n, t in own.items()}, ())

        value: Tensor = torch.vmap(one)(self.trained, self._varying)
        return value

    def backward(self, objectives: Tensor) -> None:
        """Leave the gradient of each model's objective in the parameters of its module."""
        trained = list(self.trained.values())
        # the models do not mix, so the gradient of the sum holds the gradient of each
        found = torch.autograd.grad(objectives.sum(), trained, allow_unused=True)
        present = [gradient is not None for gradient in found]
        if present != self._present:
            self._present = present
            self._point_gradients()
        for own, gradient in zip(self.gradients.values(), found, strict=True):
            if gradient is not None:
                own.copy_(gradient)

    def keep(self, rows: Sequence[int]) -> None:
        """Let go of all models but these."""
        index = torch.tensor(rows, device=next(iter(self.trained.values())).device)
        self._rows = [self._rows[row] for row in rows]
        for tensors in (self.gradients, self._varying):
            for name, tensor in tensors.items():
                tensors[name] = tensor.index_select(0, index)
        for name, tensor in self.trained.items():
            self.trained[name] = tensor.detach().index_select(0, index).requires_grad_()
        self._point()
        self._point_gradients()

    def _point(self) -> None:
        """Make the tensors of each module views of its row."""
        stacked = {name: p.detach() for name, p in (self.trained | self._varying).items()}
        for k, row in enumerate(self._rows):
            for name, tensor in stacked.items():
                row[name].data = tensor[k]
            for name, tensor in self._shared.items():
                row[name].data = tensor

    def _point_gradients(self) -> None:
        for (name, gradients), present in zip(self.gradients.items(), self._present, strict=False):
            for k, row in enumerate(self._rows):
                row[name].grad = gradients[k] if present else None


class _Applied(nn.Module):
    def __init__(self, model: nn.Module, function: Callable[[nn.Module], Tensor]) -> None:
        super().__init__()
        self.model = model
        self._function = function

    def forward(self) -> Tensor:
        return self._function(self.model)


def tensors_of(module: nn.Module) -> dict[str, Tensor]:
    """Return the parameters and buffers of a module by name; one that has several names once."""
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


def check_same(first: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    """Refuse a model whose parameters or buffers are not like those of the first."""
    if list(first) != list(other):
        raise StackError("The models differ in architecture: their parameters have other names.")
    for name, tensor in first.items():
        mine, theirs = _kind(tensor), _kind(other[name])
        if mine != theirs:
            raise StackError(
                f"The models differ in architecture: {name} is {mine} in one and {theirs} in another."
            )


def _kind(tensor: Tensor) -> str:
    frozen = "" if tensor.requires_grad else ", not trained"
    return f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}{frozen}"
