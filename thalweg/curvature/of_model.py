"""The curvature of a model's loss over data: Hessian, generalized Gauss-Newton matrix, Fisher
information.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from thalweg.curvature.data import RepeatedBatches, Seen
from thalweg.curvature.layout import VectorLayout, WholeModel, layer_of, real_numbers
from thalweg.curvature.likelihood import Kind, fisher_block
from thalweg.curvature.modes import (
    RandomNumbers,
    describe_modes,
    in_mode,
    kept_graph_key,
    refuse_once_differentiable,
    twice_differentiable,
)
from thalweg.curvature.operator import Operator, places_of
from thalweg.errors import TaskError
from thalweg.objective.cost import Cost
from thalweg.objective.nested import mapped
from thalweg.objective.weight import Weight
from thalweg.objective.weighted import count_rows

Product = Callable[[Sequence[Tensor]], Sequence[Tensor]]
"""Parts of a vector -> parts of the product with a batch's matrix."""


class ModelOperator(Operator):
    """A matrix of second derivatives of a model's loss over data.

    The loss of the set is Σ_b W_b·L_b / Σ_b W_b over batches b of weight W_b (`Loss.measured`), so that it
    does not depend on how the data are cut into batches; of losses that are sums it is the sum. The model
    is read at each product, in the mode that `mode` says; its `.grad`, modes, buffers and the random
    generators stay as they are. Of one batch that is held in memory the graph is kept from product to
    product, which takes the memory of a gradient with its graph until `release()`.
    """

    build_cost = 1.0
    """Gradient-equivalents of what comes before the products with a batch."""
    product_cost = 2.0
    """Those of a product: of a matrix product of the forward pass a gradient takes 3, this 6."""

    def __init__(
        self,
        model: nn.Module,
        loss: Any,
        data: Any,
        *,
        training: bool | None = None,
        parameters: Sequence[str] | None = None,
    ) -> None:
        if not isinstance(model, nn.Module):
            raise TypeError(f"model must be a torch.nn.Module; got {type(model).__name__}.")
        self.layout = VectorLayout(model, parameters)
        super().__init__(self.layout.n, self.layout.dtype, self.layout.device)
        self.model, self.cost = model, loss if isinstance(loss, Cost) else Cost(loss)
        self.training = training
        self.data = data
        self._batches = RepeatedBatches(data)
        self._random = RandomNumbers.of(model, self.cost, data)
        self._whole = WholeModel(model)
        self._gradients = 0.0
        self._at: tuple[Any, Tensor] | None = None
        self._kept: tuple[Weight, Seen, Product] | None = None

    @property
    def gradients(self) -> float:
        """What was computed so far, in gradients of the loss over all the data."""
        return self._gradients

    @property
    def layers(self) -> Mapping[str, Tensor]:
        """The places in the vector of each layer, the module that holds the parameters, by its path."""
        return self.layout.layers

    @property
    def mode(self) -> str:
        """In which mode the model is computed, and how batch norm and dropout therefore are."""
        return describe_modes(self.model, self.training)

    def __repr__(self) -> str:
        n = self.shape[0]
        return f"{type(self).__name__}({n} × {n}, {self.cost.surrogate.name}, {self.mode})"

    def release(self) -> None:
        """Give back the memory of a graph that was kept."""
        self._kept = None

    def block(self, *names: str) -> Operator:
        """Return the part of the matrix that belongs to the layers `names`, as an operator of these
        parameters alone.

        Raises:
            TaskError: for a name that is not one of `layers`.
        """
        places_of(self.layers, names)
        chosen = [name for name in self.layout.names if layer_of(name) in names]
        part = self._again(chosen)
        part._random = self._random
        return part

    def _again(self, parameters: Sequence[str]) -> ModelOperator:
        """Return the same matrix of other parameters."""
        return type(self)(
            self.model,
            self.cost,
            self.data,
            training=self.training,
            parameters=parameters,
            **self._settings(),
        )

    def _settings(self) -> dict[str, Any]:
        """Return what the matrix takes in addition to the arguments that all take."""
        return {}

    @abstractmethod
    def _begin(
        self, at: list[Tensor], outputs: Any, targets: Any, rows: int
    ) -> tuple[Tensor, Weight, Product]:
        """Return a batch's loss, what it weighs, and its products, from outputs made of the leaves `at`."""

    def _times(self, vectors: Tensor) -> Tensor:
        self._look()
        columns = self.layout.split(vectors)
        total = vectors.new_zeros(len(columns), len(vectors))  # a row each: written in one go
        seen, weights = Seen(0, 0, 0.0, 0.0), 0.0
        is_sum = False
        with self._inside():
            for weight, found, product in self._products_of_batches():
                seen = seen.plus(found)
                if weight == 0:
                    continue
                is_sum = is_sum or weight == "sum"
                share = 1.0 if weight == "sum" else weight
                weights += share
                for place, column in enumerate(columns):
                    total[place].add_(self.layout.flat(product(column)), alpha=share)
            self._batches.check(seen, self.dtype)
            if not is_sum:
                total /= weights
            self._gradients += self.product_cost * len(columns)
            return self._with_penalty(total, columns).mT

    def _products_of_batches(self) -> Iterator[tuple[Weight, Seen, Product]]:
        """Yield what each batch weighs, what was seen of it, and its products."""
        if self._kept is not None:
            yield self._kept
            return
        at = self._leaves()
        for inputs, targets in self._batches:
            rows = count_rows(targets, inputs)
            outputs, matched = self._outputs(at, inputs, targets)
            loss, weight, product = self._begin(at, outputs, matched, rows)
            share = float(rows) if weight == "sum" else weight
            size = abs(float(loss.detach())) * share if share else 0.0
            seen = Seen(1, rows, share, size)
            if self._batches.single is not None:
                self._kept = (weight, seen, product)
            yield weight, seen, product
        self._gradients += self.build_cost

    def batch_gradients(self, most: int | None = None) -> list[tuple[int, Tensor]]:
        """Return, of each batch that counts, at most so many, its number of rows and the gradient of its
        loss.

        Of a loss that is a sum it is that of the sum divided by the rows. The penalty is not part of it.
        """
        at = self._leaves()
        found: list[tuple[int, Tensor]] = []
        read = total = 0
        with self._inside():
            for inputs, targets in self._batches:
                rows = count_rows(targets, inputs)
                total += rows
                if most is not None and len(found) >= most:
                    continue
                read += rows
                loss, weight = self._measured(*self._outputs(at, inputs, targets), rows)
                if weight and loss.requires_grad:
                    g = torch.autograd.grad(loss, at, materialize_grads=True)
                    mean = self.layout.flat(g)
                    found.append((rows, mean / rows if weight == "sum" else mean))
        self._gradients += read / max(total, 1)
        return found

    def _look(self) -> None:
        """Forget what was kept if the model or the batch has changed since."""
        now = self.layout.flat(self.layout.parameters)
        now = torch.cat([now, *(real_numbers(each).to(now) for each in self.model.buffers())])
        key = kept_graph_key(self.model, self._batches.tensors)
        # values, not versions: kernels that write through addresses leave no trace in those
        if self._at is None or self._at[0] != key or not torch.equal(now, self._at[1]):
            self._at = (key, now)
            self._kept = None
            self._batches.forget()

    def _inside(self) -> ExitStack:
        stack = ExitStack()
        stack.enter_context(in_mode(self.model, self.training))
        stack.enter_context(self._random.replayed())
        stack.enter_context(twice_differentiable(self.model))
        return stack

    def _leaves(self) -> list[Tensor]:
        """Return copies of the parameters, of which derivatives are taken: a kept graph outlives a step."""
        return [p.detach().clone().requires_grad_() for p in self.layout.parameters]

    def _outputs(self, at: list[Tensor], inputs: Any, targets: Any) -> tuple[Any, Any]:
        """Return the outputs of a batch at leaves `at`, and its targets as the loss takes them."""
        outputs = self._call(at, partial(_called, inputs=inputs))
        return outputs, self.cost.surrogate.match(outputs, targets)

    def _call(self, at: list[Tensor], use: Callable[[nn.Module], Any]) -> Any:
        """Return what `use` makes of the model with parameters `at` and copies of its buffers."""
        given = {f"model.{name}": each for name, each in zip(self.layout.names, at, strict=True)}
        given |= {f"model.{name}": each.clone() for name, each in self.model.named_buffers()}
        return functional_call(self._whole, given, (use,))

    def _measured(self, outputs: Any, targets: Any, rows: int) -> tuple[Tensor, Weight]:
        """Return the loss of a batch and what it weighs."""
        loss, weight = self.cost.surrogate.measured(outputs, targets, rows)
        if not isinstance(loss, Tensor) or loss.numel() != 1:
            got = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
            raise TaskError(f"The loss of a batch must be one number; got {got}.")
        return loss.reshape(()), weight

    def _with_penalty(self, total: Tensor, columns: list[list[Tensor]]) -> Tensor:
        penalty = self.cost.penalty
        if penalty is None or not self._has_penalty():
            return total
        at = self._leaves()
        product = second_derivative(self._call(at, penalty), at)
        return total + torch.stack([self.layout.flat(product(column)) for column in columns])

    def _has_penalty(self) -> bool:
        """Return whether the penalty belongs to this matrix."""
        return True


def second_derivative(value: Tensor, at: Sequence[Tensor]) -> Product:
    """Return the products with the Hessian of a scalar with respect to leaves, by double backward."""
    if not value.requires_grad:
        return lambda vector: [torch.zeros_like(part) for part in vector]
    refuse_once_differentiable(value)
    first = torch.autograd.grad(value, at, create_graph=True, materialize_grads=True)
    curved = [place for place, each in enumerate(first) if each.requires_grad]

    def product(vector: Sequence[Tensor]) -> Sequence[Tensor]:
        if not curved:
            return [torch.zeros_like(part) for part in vector]
        return torch.autograd.grad(
            [first[place] for place in curved],
            at,
            [vector[place] for place in curved],
            retain_graph=True,
            materialize_grads=True,
        )

    return product


def _called(model: nn.Module, inputs: Any) -> Any:
    return model(inputs)


class HessianMatrix(ModelOperator):
    """∇²J of J = L + λΩ, the loss over the data and the penalty of a `Cost`; see `hessian`."""

    def _begin(
        self, at: list[Tensor], outputs: Any, targets: Any, rows: int
    ) -> tuple[Tensor, Weight, Product]:
        loss, weight = self._measured(outputs, targets, rows)
        return loss, weight, second_derivative(loss, at)


class GaussNewtonMatrix(ModelOperator):
    """JᵀBJ, J the Jacobian of the outputs; B is the loss's Hessian in the outputs; see `ggn`."""

    product_cost = 4 / 3

    def _begin(
        self, at: list[Tensor], outputs: Any, targets: Any, rows: int
    ) -> tuple[Tensor, Weight, Product]:
        tensors: list[Tensor] = []
        leaves: list[Tensor] = []

        def leaf(tensor: Tensor) -> Tensor:
            if not tensor.requires_grad:
                return tensor
            tensors.append(tensor)
            leaves.append(tensor.detach().requires_grad_())
            return leaves[-1]

        above = mapped(outputs, leaf)
        loss, weight = self._measured(above, targets, rows)
        if not leaves:
            raise TaskError("The model's outputs do not depend on its parameters.")
        inner = self._block(loss, leaves, targets)
        forward, back = jacobian(tensors, at)
        return loss, weight, lambda vector: back(inner(forward(vector)))

    def _block(self, loss: Tensor, leaves: list[Tensor], targets: Any) -> Product:
        """Return the products with B."""
        return second_derivative(loss, leaves)


class FisherMatrix(GaussNewtonMatrix):
    """JᵀBJ, B = Σᵢ cᵢ·E sᵢsᵢᵀ from scores sᵢ in the outputs; see `fisher`."""

    def __init__(
        self,
        model: nn.Module,
        loss: Any,
        data: Any,
        *,
        kind: Kind = "exact",
        draws: int = 1,
        seed: int = 0,
        training: bool | None = None,
        parameters: Sequence[str] | None = None,
    ) -> None:
        super().__init__(model, loss, data, training=training, parameters=parameters)
        self.kind, self.draws, self.seed = kind, draws, seed
        self._generator = torch.Generator()

    def _settings(self) -> dict[str, Any]:
        return {"kind": self.kind, "draws": self.draws, "seed": self.seed}

    def _times(self, vectors: Tensor) -> Tensor:
        self._generator.manual_seed(self.seed)  # the same labels in each product
        return super()._times(vectors)

    def _block(self, loss: Tensor, leaves: list[Tensor], targets: Any) -> Product:
        if len(leaves) != 1:
            raise TaskError(
                "The Fisher information wants a model with one tensor of outputs; use ggn(…)."
            )

        def gradient(outputs: Tensor) -> Tensor:
            at = outputs.detach().clone().requires_grad_()
            (found,) = torch.autograd.grad(self.cost.surrogate(at, targets), at)
            return found

        times = fisher_block(
            self.cost.surrogate.name,
            leaves[0].detach(),
            gradient,
            self.kind,
            self.draws,
            self._generator,
        )
        return lambda vector: [times(vector[0])]

    def _has_penalty(self) -> bool:
        return False


def jacobian(outputs: Sequence[Tensor], at: Sequence[Tensor]) -> tuple[Product, Product]:
    """Return the products with J and Jᵀ of outputs with respect to leaves.

    J·v is the derivative of Jᵀ·u, which is linear in u: it needs backward passes alone, which every layer
    has. Raises EngineError for a function marked once_differentiable, whose part would silently be 0.
    """
    for each in outputs:
        refuse_once_differentiable(each)
    dummies = [torch.zeros_like(each, requires_grad=True) for each in outputs]
    backs = torch.autograd.grad(outputs, at, dummies, create_graph=True, materialize_grads=True)
    live = [place for place, each in enumerate(backs) if each.requires_grad]

    def forward(vector: Sequence[Tensor]) -> Sequence[Tensor]:
        return torch.autograd.grad(
            [backs[place] for place in live],
            dummies,
            [vector[place] for place in live],
            retain_graph=True,
            materialize_grads=True,
        )

    def back(vector: Sequence[Tensor]) -> Sequence[Tensor]:
        return torch.autograd.grad(outputs, at, vector, retain_graph=True, materialize_grads=True)

    return forward, back
