"""The matrices of a model's curvature by name: `hessian`, `ggn`, `fisher`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from thalweg.curvature.likelihood import Kind
from thalweg.curvature.of_model import FisherMatrix, GaussNewtonMatrix, HessianMatrix
from thalweg.errors import TaskError, suggest
from thalweg.whole import whole_number

KINDS = ("exact", "sampled", "empirical")


def hessian(
    model: nn.Module,
    loss: Any,
    data: Any,
    *,
    training: bool | None = None,
    parameters: Sequence[str] | None = None,
) -> HessianMatrix:
    """Return the Hessian ∇²J of a model's objective over data, as an operator.

        J(θ) = Σ_b W_b·L_b(θ) / Σ_b W_b + λΩ(θ)

    W_b is what the mean of batch b was divided by (elements, targets that are not ignored, weights of
    classes and rows), so the matrix does not depend on how the data are cut into batches; of a loss that
    is a sum, J has the sum. A product is a derivative of the gradient times v (Pearlmutter, 1994), at the
    cost of 2 gradients and 1 for the graph: that of several vectors, `H @ V`, is made once, and that of a
    single batch is kept from product to product, in the memory of a gradient with its graph.

    Args:
        model: with the parameters where the matrix is wanted; those that require gradients. Nothing of it
            is changed.
        loss: a `Cost`, or what it takes as its loss: a name, a module, a function (outputs, targets).
        data: one batch (inputs, targets), a list of batches, or a loader, which is read at each product.
        training: the mode in which the model is computed: True, False, or None for the one that each
            module has.
        parameters: the names of those to take; None for all that require gradients.

    Raises:
        DataError: the data can be read only once, are empty, or changed between two products.
        EngineError: an operation in the model has no second derivative; it is named.
        TaskError: the parameters are none, or of several types.

    >>> import torch
    >>> model = nn.Linear(1, 1, bias=False)
    >>> x, y = torch.tensor([[1.0], [2.0]]), torch.zeros(2, 1)
    >>> hessian(model, "mse", (x, y)).dense()  # 2·mean of x²
    tensor([[5.]])
    """
    return HessianMatrix(model, loss, data, training=training, parameters=parameters)


def ggn(
    model: nn.Module,
    loss: Any,
    data: Any,
    *,
    training: bool | None = None,
    parameters: Sequence[str] | None = None,
) -> GaussNewtonMatrix:
    """Return the generalized Gauss-Newton matrix JᵀBJ (+ λ∇²Ω) over data, as an operator.

    J is the Jacobian of the outputs with respect to the parameters, B the Hessian of the loss in the
    outputs. It is positive semidefinite where the loss is convex in the outputs, and the Hessian of a
    model that is linear in its parameters. Any loss will do. A product costs 4/3 gradients. Arguments,
    weights of batches and errors are those of `hessian`.

    Source: Schraudolph, Fast Curvature Matrix-Vector Products, 2002.

    >>> import torch
    >>> model = nn.Linear(2, 1, bias=False)
    >>> x, y = torch.eye(2), torch.zeros(2, 1)
    >>> ggn(model, "mse", (x, y)).dense()
    tensor([[1., 0.],
            [0., 1.]])
    """
    return GaussNewtonMatrix(model, loss, data, training=training, parameters=parameters)


def fisher(
    model: nn.Module,
    loss: Any,
    data: Any,
    *,
    kind: Kind = "exact",
    draws: int = 1,
    seed: int = 0,
    training: bool | None = None,
    parameters: Sequence[str] | None = None,
) -> FisherMatrix:
    """Return the Fisher information of a model over data, as an operator.

        F = Σᵢ cᵢ·Jᵢᵀ·E[sᵢsᵢᵀ]·Jᵢ,  sᵢ = ∂(−log p(y | output i))/∂(output i)

    cᵢ is what term i counts in the loss: 1/N of a mean, with the weights of classes and rows, 0 where it
    is ignored. `kind` says over which labels y the expectation is taken:

    - "exact": over the model's own distribution. F is then the generalized Gauss-Newton matrix of these
      losses.
    - "sampled": over `draws` labels of each term from it, drawn from `seed`, the same in each product. Its
      expectation is the exact one; matrices of several seeds show how far one is from it.
    - "empirical": over the targets. This is another matrix, not an estimate of the first (Kunstner and
      others, 2019).

    A term is a row of `mse`, `half_mse` and `bce_with_logits`; of `cross_entropy` and `nll` a row or, in
    sequences and pictures, a position. A penalty is not part of it. Other arguments and errors are those
    of `hessian`.

    Raises:
        TaskError: for a loss that is not known to be the negative logarithm of a distribution.

    >>> import torch
    >>> model = nn.Linear(1, 2)
    >>> x, y = torch.ones(1, 1), torch.tensor([0])
    >>> F, G = fisher(model, "cross_entropy", (x, y)), ggn(model, "cross_entropy", (x, y))
    >>> bool((F.dense() - G.dense()).abs().max() < 1e-6)
    True
    """
    if kind not in KINDS:
        raise TaskError(
            f"kind must be 'exact', 'sampled' or 'empirical'; got {kind!r}.{suggest(str(kind), KINDS)}"
        )
    return FisherMatrix(
        model,
        loss,
        data,
        kind=kind,
        draws=whole_number("draws", draws),
        seed=seed,
        training=training,
        parameters=parameters,
    )
