"""The edge of stability: the sharpness at which an optimizer's steps on a quadratic begin to grow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from thalweg.curvature.operator import Operator
from thalweg.curvature.spectrum import extremes
from thalweg.curvature.trace import Estimate
from thalweg.errors import TaskError


@dataclass(frozen=True)
class Edge:
    """Where an optimizer is stable on a quadratic: lr·λ ≤ `threshold` for all eigenvalues λ of P⁻¹H.

    `scale` is the diagonal of P^-½ as a vector in the order of the parameters, None where P = I.
    """

    name: str
    lr: float
    threshold: float
    scale: Tensor | None = None

    @property
    def largest(self) -> float:
        """The largest λ at which it is stable: threshold / lr."""
        return self.threshold / self.lr if self.lr else float("inf")


def gradient_descent_edge(beta: float = 0.0, *, nesterov: bool = False) -> float:
    """Return the threshold of lr·λ of gradient descent.

        2,  with momentum 2 + 2β,  with Nesterov's (2 + 2β)/(1 + 2β)

    Source: Cohen and others, Gradient Descent on Neural Networks Typically Occurs at the Edge of
    Stability, 2021.

    >>> gradient_descent_edge(), gradient_descent_edge(0.5)
    (2.0, 3.0)
    >>> round(gradient_descent_edge(0.9, nesterov=True), 3)
    1.357
    """
    return (2 + 2 * beta) / (1 + 2 * beta) if nesterov else 2 + 2 * beta


def adam_edge(beta1: float) -> float:
    """Return the threshold of lr·λ(P⁻¹H) of Adam, P = diag(√v̂ + ε): (2 + 2β₁)/(1 − β₁).

    Source: Cohen and others, Adaptive Gradient Methods at the Edge of Stability, 2022.

    >>> round(adam_edge(0.9), 6)
    38.0
    """
    return (2 + 2 * beta1) / (1 - beta1)


def edge_of(optimizer: torch.optim.Optimizer, model: nn.Module | None = None) -> Edge:
    """Return where an optimizer is stable, from its groups, and of Adam from its state.

    Known are SGD with and without momentum and Nesterov's, Adam and AdamW, without AMSGrad; RMSprop
    without momentum and centring is Adam with β₁ = 0 and no bias correction. Parameters are taken in the
    order of the groups; weight decay is not taken into account.

    Raises:
        TaskError: for others, for groups with different settings, and for an adaptive optimizer that has
            not stepped: its preconditioner is not known then.

    >>> edge = edge_of(torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1, momentum=0.5))
    >>> edge.threshold, round(edge.largest, 6)
    (3.0, 30.0)
    """
    group = _single(optimizer)
    name, lr = type(optimizer).__name__, float(group["lr"])
    if isinstance(optimizer, torch.optim.SGD):
        beta, damping = float(group["momentum"]), float(group.get("dampening", 0.0))
        if damping and beta:
            raise TaskError(f"The edge of {name} with dampening is not known; set dampening=0.")
        return Edge(name, lr, gradient_descent_edge(beta, nesterov=bool(group["nesterov"])))
    if isinstance(optimizer, torch.optim.Adam) and not group["amsgrad"]:
        beta1, beta2 = map(float, group["betas"])
        return Edge(name, lr, adam_edge(beta1), _scale(optimizer, model, "exp_avg_sq", beta2))
    is_plain = not group.get("centered") and not group.get("momentum")
    if isinstance(optimizer, torch.optim.RMSprop) and is_plain:
        return Edge(name, lr, 2.0, _scale(optimizer, model, "square_avg", 0.0))
    raise TaskError(
        f"The edge of stability of {name} with these settings is not known. It is of SGD (momentum, "
        "Nesterov), Adam, AdamW and RMSprop without momentum."
    )


_SETTINGS = ["lr", "momentum", "dampening", "nesterov", "betas", "eps", "amsgrad", "centered"]
"""Those on which an edge, or whether it is known, depends."""


def _single(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    first = optimizer.param_groups[0]
    for group in optimizer.param_groups[1:]:
        for name in _SETTINGS:
            if group.get(name) != first.get(name):
                raise TaskError(
                    f"The optimizer's groups differ in {name} ({first.get(name)} and {group.get(name)}); "
                    "one edge is that of one setting."
                )
    return first


def _scale(
    optimizer: torch.optim.Optimizer, model: nn.Module | None, key: str, beta2: float
) -> Tensor:
    """Return P^-½ with P = √v̂ + ε, v̂ corrected for its bias where beta2 > 0."""
    eps = optimizer.param_groups[0]["eps"]
    known = [p for group in optimizer.param_groups for p in group["params"]]
    parts = []
    for p in known if model is None else model.parameters():
        if not p.requires_grad:
            continue
        state = optimizer.state.get(p, {})
        if key not in state:
            raise TaskError(
                f"{type(optimizer).__name__} has not stepped a parameter of shape {tuple(p.shape)}: its "
                "preconditioner is not known. Train for some steps first."
            )
        v = state[key].detach().double()
        if beta2:
            v = v / (1 - beta2 ** float(state["step"]))
        parts.append((v.sqrt() + eps).rsqrt().reshape(-1))
    return torch.cat(parts)


@dataclass(frozen=True)
class Sharpness:
    """The largest eigenvalue of P⁻¹H and the one at which an optimizer's steps begin to grow."""

    value: Estimate
    edge: Edge

    @property
    def ratio(self) -> float:
        """λ_max as a share of the largest stable one: above 1 steps on the quadratic grow."""
        return self.value.value / self.edge.largest

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain numbers."""
        return {
            **self.value.to_dict(),
            "optimizer": self.edge.name,
            "lr": self.edge.lr,
            "threshold": self.edge.threshold,
            "is_scaled": self.edge.scale is not None,
            "stable_up_to": self.edge.largest,
            "ratio": self.ratio,
        }


def sharpness(
    a: Operator, edge: Edge, *, tol: float = 1e-3, most: int = 200, seed: int = 0
) -> Sharpness:
    """Return the largest eigenvalue of P⁻¹A, A a Hessian and P the preconditioner of `edge`, beside the
    edge.

    >>> from thalweg.curvature import Matrix
    >>> found = sharpness(Matrix(torch.diag(torch.tensor([1.0, 5.0]))), Edge("SGD", 0.1, 2.0))
    >>> round(found.ratio, 4)
    0.25
    """
    scaled = a if edge.scale is None else a.scaled(edge.scale.to(a.device))
    return Sharpness(extremes(scaled, tol=tol, most=most, seed=seed).top, edge)
