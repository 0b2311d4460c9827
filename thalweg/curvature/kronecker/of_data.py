"""K-FAC and EKFAC of a model's loss over data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from thalweg.curvature.data import RepeatedBatches, Seen
from thalweg.curvature.kronecker.blocks import KroneckerPair, LayerBlock
from thalweg.curvature.kronecker.factors import (
    BlockSum,
    PairSum,
    Sharing,
    SpectrumSum,
    check_sharing,
)
from thalweg.curvature.kronecker.matrix import KroneckerMatrix
from thalweg.curvature.kronecker.of_layers import BlockPlan, plan_blocks
from thalweg.curvature.kronecker.scores import masses, row_masses, scores
from thalweg.curvature.kronecker.watch import Passes, watched
from thalweg.curvature.layout import VectorLayout, WholeModel
from thalweg.curvature.likelihood import Kind
from thalweg.curvature.modes import RandomNumbers, describe_modes, in_mode
from thalweg.curvature.operators import KINDS
from thalweg.errors import TaskError, suggest
from thalweg.objective.cost import Cost
from thalweg.objective.weighted import count_rows

_WORDS = {
    "exact": "Fisher information over all outputs",
    "sampled": "Fisher information of sampled labels",
    "empirical": "empirical Fisher information",
}


def kfac(
    model: nn.Module,
    loss: Any,
    data: Any,
    *,
    kind: Kind = "exact",
    sharing: Sharing = "expand",
    bias: str = "joint",
    draws: int = 1,
    seed: int = 0,
    training: bool | None = None,
    parameters: Sequence[str] | None = None,
) -> KroneckerMatrix:
    """Return the Kronecker-factored approximation of a model's Fisher information over data.

        F ≈ diag_l(A_l ⊗ B_l),   A = Σᵢ cᵢ·aᵢaᵢᵀ / Σᵢ cᵢ,   B = Σᵢ cᵢ·E gᵢgᵢᵀ

    a are a layer's inputs, with a last one, 1, for its bias, g the gradients of −log p(y | output i) in the
    layer's outputs, cᵢ what term i counts in the loss: 1/N of a mean, with the weights of classes and rows,
    0 where it is ignored. A block equals that of `ggn` where all rows have the same a or the same g: of one
    row, and in deep linear nets with a squared error. Scale and shift of a norm have their exact block. The
    rows of batch norm in training mode depend on each other, which no factor sees.

    Args:
        model: whose layers are Linear, Conv1d, Conv2d, Embedding or norms. Nothing of it is changed.
        loss: cross-entropy, nll, mse, half_mse or bce_with_logits, by name or as a module, or a `Cost`; its
            penalty is not part of the matrix.
        data: one batch (inputs, targets), a list of batches, or a loader; it is read once (`ekfac`: twice).
        kind: the labels over which the expectation is taken: "exact" all outputs, by as many backward
            passes as a row has outputs; "sampled" `draws` labels from the model's own distribution, from
            `seed`; "empirical" the targets, which is another matrix.
        sharing: how positions of a sequence or a picture are taken together. "expand": each is a term of
            its own, for outputs at each position. "reduce": the mean of a, the sum of g, for outputs of
            the mean over positions; then the scale does not depend on a picture's size.
        bias: "joint" takes it as one more input; "apart" gives it a block of its own.
        draws: labels of each term, of "sampled".
        seed: of the labels.
        training: the mode in which the model is computed: True, False, or None for the one that each
            module has.
        parameters: the names of those to take; None for all that require gradients.

    Raises:
        DataError: the data are an iterator, or empty.
        TaskError: a parameter of another layer (grouped or transposed convolution, recurrent layers,
            attention's own), a tied one, or a loss of no distribution.

    Source: Martens and Grosse, Optimizing Neural Networks with Kronecker-factored Approximate Curvature,
    2015; Grosse and Martens, 2016 (convolutions); Eschenhagen and others, 2023 (sharing).

    >>> layer = nn.Linear(2, 1, bias=False)
    >>> x, y = torch.eye(2), torch.zeros(2, 1)
    >>> K = kfac(layer, "mse", (x, y))
    >>> K.dense()
    tensor([[1., 0.],
            [0., 1.]])
    >>> K.inverse(damping=1.0, factored=False).dense()
    tensor([[0.5000, 0.0000],
            [0.0000, 0.5000]])
    """
    made = FactorReader(model, loss, data, kind, sharing, bias, draws, seed, training, parameters)
    return made.kfac()


def ekfac(
    model: nn.Module,
    loss: Any,
    data: Any,
    *,
    kind: Kind = "exact",
    sharing: Sharing = "expand",
    bias: str = "joint",
    draws: int = 1,
    seed: int = 0,
    training: bool | None = None,
    parameters: Sequence[str] | None = None,
) -> KroneckerMatrix:
    """Return `kfac` with its eigenvalues corrected.

        F ≈ Q·diag(Λ)·Qᵀ,   Q = Q_A ⊗ Q_B,   Λ = diag(QᵀFQ)

    Q_A and Q_B are the eigenvectors of A and B, and Λ is the diagonal of the Fisher information in their
    basis, all of a row's positions in it: of all matrices with these eigenvectors the one nearest to F. It
    has F's trace. Arguments and errors are those of `kfac`; the data are read twice.

    Source: George, Laurent, Bouthillier, Ballas and Vincent, Fast Approximate Natural Gradient Descent in a
    Kronecker-factored Eigenbasis, 2018.

    >>> x, y = torch.eye(2), torch.zeros(2, 1)
    >>> ekfac(nn.Linear(2, 1, bias=False), "mse", (x, y)).diag()
    tensor([1., 1.])
    """
    made = FactorReader(model, loss, data, kind, sharing, bias, draws, seed, training, parameters)
    return made.ekfac()


class FactorReader:
    """The reading of the data that makes a matrix."""

    def __init__(
        self,
        model: nn.Module,
        loss: Any,
        data: Any,
        kind: Kind,
        sharing: Sharing,
        bias: str,
        draws: int,
        seed: int,
        training: bool | None,
        parameters: Sequence[str] | None,
    ) -> None:
        if not isinstance(model, nn.Module):
            raise TypeError(f"model must be a torch.nn.Module; got {type(model).__name__}.")
        _check(kind, bias, draws)
        check_sharing(sharing)
        self.model, self.kind, self.sharing = model, kind, sharing
        self.draws, self.seed, self.training = draws, seed, training
        cost = loss if isinstance(loss, Cost) else Cost(loss)
        self.loss = cost.surrogate
        self.layout = VectorLayout(model, parameters)
        self.plans = plan_blocks(model, set(self.layout.names), bias == "joint")
        self.batches, self.random = RepeatedBatches(data), RandomNumbers.of(model, cost, data)
        self.whole = WholeModel(model)
        self.bias = bias
        self.gradients = 0.0

    def kfac(self) -> KroneckerMatrix:
        """Return the matrix with Kronecker factors."""
        return self._matrix(self._read([plan.sums(self.sharing) for plan in self.plans]), "K-FAC")

    def ekfac(self) -> KroneckerMatrix:
        """Return the matrix with corrected eigenvalues, by a second reading."""
        sums = [plan.sums(self.sharing) for plan in self.plans]
        blocks = self._read(sums)
        again: list[BlockSum] = []
        for each, block, plan in zip(sums, blocks, self.plans, strict=True):
            if isinstance(each, PairSum) and isinstance(block, KroneckerPair):
                again.append(SpectrumSum.of(each, block))
            else:
                again.append(plan.sums(self.sharing))
        return self._matrix(self._read(again), "EKFAC")

    def _matrix(self, blocks: list[LayerBlock], method: str) -> KroneckerMatrix:
        shapes = dict(zip(self.layout.names, self.layout.shapes, strict=True))
        every = torch.arange(self.layout.n, device=self.layout.device)
        ends = torch.functional.split(every, self.layout.sizes)
        places = {n: p.reshape(shapes[n]) for n, p in zip(self.layout.names, ends, strict=True)}
        named = [
            (plan.names, plan.joined([places[name] for name in plan.names]), block)
            for plan, block in zip(self.plans, blocks, strict=True)
        ]
        mode = describe_modes(self.model, self.training)
        said = f"{method} of the {_WORDS[self.kind]}, {self.sharing}, bias {self.bias}, {mode}"
        return KroneckerMatrix(self.layout, named, said, self.gradients)

    def _read(self, sums: Sequence[BlockSum]) -> list[LayerBlock]:
        """Read the data once, and return the blocks."""
        generator = torch.Generator().manual_seed(self.seed)  # the same labels in each reading
        seen, whole, is_sum, rows_read, cost = Seen(0, 0, 0.0, 0.0), 0.0, False, 0, 0.0
        with self._inside():
            for inputs, targets in self.batches:
                rows = count_rows(targets, inputs)
                weight, size, passes = self._batch(sums, inputs, targets, rows, generator)
                is_sum = is_sum or weight == "sum"
                share = 1.0 if weight == "sum" else weight
                seen = seen.plus(Seen(1, rows, share, size))
                whole += share
                rows_read, cost = rows_read + rows, cost + rows * (1 + 2 * passes) / 3
            self.batches.check(seen, self.layout.dtype)
        self.gradients += cost / max(rows_read, 1)
        divisor = 1.0 if is_sum else whole
        return [
            each.block(_weight(plan), divisor) for each, plan in zip(sums, self.plans, strict=True)
        ]

    def _batch(
        self,
        sums: Sequence[BlockSum],
        inputs: Any,
        targets: Any,
        rows: int,
        generator: torch.Generator,
    ) -> tuple[Any, float, int]:
        """Take a batch; return what it weighs, Σ |weight × loss|, and the backward passes."""
        layers = list({id(plan.layer.module): plan.layer for plan in self.plans}.values())
        with watched(layers) as passed:
            outputs = self._outputs(inputs)
            targets = self.loss.match(outputs, targets)
            flat = outputs.detach()

            def gradient(at: Tensor) -> Tensor:
                leaf = at.detach().clone().requires_grad_()
                (found,) = torch.autograd.grad(self.loss(leaf, targets), leaf)
                return found

            loss, weight = self.loss.measured(flat, targets, rows)
            if weight == 0:
                return weight, 0.0, 0
            share = 1.0 if weight == "sum" else weight
            mass = row_masses(self.loss.name, flat, masses(self.loss.name, flat, gradient))
            found = scores(self.loss.name, flat, gradient, self.kind, self.draws, generator)
            first = True
            for score in found:
                self._send(outputs, score, passed)
                self._take(sums, passed, mass, share, first)
                first = False
        size = abs(float(loss)) * (float(rows) if weight == "sum" else weight)
        return weight, size, len(found)

    def _outputs(self, inputs: Any) -> Tensor:
        given = {f"model.{name}": each.clone() for name, each in self.model.named_buffers()}
        use: Callable[[nn.Module], Any] = lambda model: model(inputs)  # noqa: E731
        outputs = functional_call(self.whole, given, (use,))
        if not isinstance(outputs, Tensor):
            raise TaskError(
                f"K-FAC wants a model with one tensor of outputs; it gives {type(outputs).__name__}."
            )
        if not outputs.requires_grad:
            raise TaskError("The model's outputs do not depend on its parameters.")
        return outputs

    def _send(self, outputs: Tensor, score: Tensor, passed: list[Passes]) -> None:
        """Send a score backwards through the layers.

        Raises:
            TaskError: where a parameter is used by something else than a call of its layer.
        """
        for each in passed:
            each.forget()
        found = torch.autograd.grad(
            outputs, self.layout.parameters, score.to(outputs), retain_graph=True, allow_unused=True
        )
        reached = {
            name: each is not None for name, each in zip(self.layout.names, found, strict=True)
        }
        called = {
            id(each.layer.module): any(g is not None for g in each.gradients) for each in passed
        }
        for plan in self.plans:
            if not called[id(plan.layer.module)] and any(reached[name] for name in plan.names):
                raise TaskError(
                    f"The parameters {' and '.join(map(repr, plan.names))} are used without a call of the "
                    f"layer {plan.layer.name!r}, so K-FAC does not see its inputs. Call the layer, or "
                    "choose other parameters with parameters=[names]."
                )

    def _take(
        self,
        sums: Sequence[BlockSum],
        passed: list[Passes],
        mass: Tensor,
        share: float,
        first: bool,
    ) -> None:
        by_module = {id(each.layer.module): each for each in passed}
        for each, plan in zip(sums, self.plans, strict=True):
            pair = by_module[id(plan.layer.module)].pairs(len(mass))
            if pair is None:
                continue
            a, g = pair
            if first:
                each.add_inputs(a, mass.to(g), share)
            each.add_gradients(a, g, share)

    def _inside(self) -> ExitStack:
        stack = ExitStack()
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(in_mode(self.model, self.training))
        stack.enter_context(self.random.replayed())
        return stack


def _weight(plan: BlockPlan) -> Tensor:
    module: Any = plan.layer.module
    weight: Tensor = module.weight
    return weight.detach()


def _check(kind: object, bias: object, draws: object) -> None:
    if kind not in KINDS:
        raise TaskError(
            f"kind must be 'exact', 'sampled' or 'empirical'; got {kind!r}.{suggest(str(kind), KINDS)}"
        )
    if bias not in ("joint", "apart"):
        raise TaskError(f"bias must be 'joint' or 'apart'; got {bias!r}.")
    if not isinstance(draws, int) or isinstance(draws, bool) or draws < 1:
        raise TaskError(
            f"draws, the number of labels of each term, must be at least 1; got {draws!r}."
        )
