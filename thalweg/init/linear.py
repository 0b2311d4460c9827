"""How fast a model would learn a batch if its outputs stayed linear in its parameters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from thalweg.curvature import ggn, lanczos
from thalweg.curvature.krylov import NotFiniteError
from thalweg.errors import ThalwegError
from thalweg.objective.losses import Loss
from thalweg.objective.nested import mapped

_PRODUCTS = 16
"""Lanczos' steps: they resolve descents of some hundred steps."""
_FLAT = 1e-7
"""Curvature below this part of the largest is rounding in float32."""
_MOST = 1e6
"""Steps after which a loss that has not fallen counts as one that never does."""
_HALVINGS = 50
"""Of the range of steps: to a billionth of a step."""


@dataclass(frozen=True)
class LinearDescent:
    """Gradient descent on the quadratic model of a loss at its start, at the rate 1/λ₁.

        L(t) = L(0) − Σᵢ cᵢ²·(1 − (1 − λᵢ/λ₁)²ᵗ)/(2λᵢ)

    λᵢ are the eigenvalues of JᵀBJ, ascending, and cᵢ² the squares of the gradient along their vectors. J is
    the Jacobian of the outputs in the parameters, so the model is taken as linear, and B the loss's Hessian
    where the outputs are 0: where they are large, as behind many layers that grow, that of cross-entropy is
    next to nothing, and a step by it would lead anywhere.
    """

    eigenvalues: tuple[float, ...]
    squares: tuple[float, ...]

    def decrease(self, steps: float) -> float:
        """Return by how much the loss has fallen after so many steps.

        >>> one = LinearDescent((1.0, 2.0), (4.0, 0.0))  # curvature 1, gradient 2: at most 2 below
        >>> one.decrease(0), one.decrease(1), one.decrease(1000)
        (0.0, 1.5, 2.0)
        """
        largest = max(self.eigenvalues)
        total = 0.0
        for value, square in zip(self.eigenvalues, self.squares, strict=True):
            share = max(value, _FLAT * largest) / largest
            total += square * _gone(share, 2 * steps) / (2 * share * largest)
        return total

    def steps(self, wanted: float) -> float:
        """Return the steps after which the loss has fallen by so much, a fraction of a step counted;
        infinity where it never does.

        >>> one = LinearDescent((1.0, 2.0), (4.0, 0.0))
        >>> round(one.steps(1.5), 6), one.steps(2.5)
        (1.0, inf)
        """
        if wanted <= 0:
            return 0.0
        if not self.decrease(_MOST) >= wanted:
            return math.inf
        low, high = 0.0, _MOST
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            low, high = (low, middle) if self.decrease(middle) >= wanted else (middle, high)
        return high


def _gone(share: float, times: float) -> float:
    """Return 1 − (1 − share)ᵗ, exactly where the share is small."""
    if share >= 1:
        return 1.0 if times else 0.0
    return -math.expm1(times * math.log1p(-share))


NEVER = LinearDescent((1.0,), (0.0,))
"""No gradient, or one that is not finite: the loss does not fall."""


def linear_descent(
    model: nn.Module, loss: Loss, x: Any, y: Any, products: int = _PRODUCTS
) -> LinearDescent | None:
    """Return the descent of a model's loss on a batch if it stayed linear where it is; None where that cannot
    be computed, as where an operation has no second derivative.

    The parameters hold the gradient of the loss on the batch, from a backward pass. Lanczos' method that
    begins with it gives few λᵢ and cᵢ² with the same moments as all of them. A product costs 4/3 gradients,
    and the basis the memory of so many copies of the parameters.
    """
    try:
        matrix = ggn(model, lambda outputs, targets: loss(_at_zero(outputs), targets), (x, y))
        gradient = _gradient(matrix.layout.parameters)
        square = float(gradient.double().square().sum())
        if not 0 < square < math.inf:
            return NEVER
        values, vectors, _ = lanczos(matrix, gradient, products).ritz()
    except NotFiniteError:
        return NEVER
    except ThalwegError:
        return None
    if not float(values[-1]) > 0:
        return NEVER
    squares = vectors[0].square() * square
    return LinearDescent(tuple(values.tolist()), tuple(squares.tolist()))


def _at_zero(outputs: Any) -> Any:
    """Return zeros instead of outputs, with the outputs' derivatives."""
    return mapped(outputs, lambda t: t - t.detach() if t.is_floating_point() else t)


def _gradient(parameters: Sequence[nn.Parameter]) -> Tensor:
    """Return the gradients that parameters hold as one vector."""
    parts = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    return torch.cat([part.detach().reshape(-1) for part in parts])
