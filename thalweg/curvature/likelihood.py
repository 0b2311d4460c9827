"""The Fisher information in the outputs: of which distribution a loss is the negative logarithm.

    cross_entropy, nll_loss              classes        −log p(y)
    binary_cross_entropy_with_logits     Bernoulli, each element
    mse_loss, half_mse                   Gaussian of variance ½, and 1, each element

What each term counts (weights of classes and rows, ignored targets, what the mean divides by) is not
computed a second time: it is read off the loss's gradient at outputs where that is nothing else. So Σᵢ
cᵢ·sᵢsᵢᵀ has the weights of the loss itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from thalweg.errors import TaskError

Kind = Literal["exact", "sampled", "empirical"]
Gradient = Callable[[Tensor], Tensor]
"""Outputs -> the gradient of the batch's loss there."""
Times = Callable[[Tensor], Tensor]
"""u -> B·u, both of the outputs' shape."""

_FAR = 1e4
"""A logit at which a probability is 1 or 0 exactly, in half precision too."""
KNOWN = ("binary_cross_entropy_with_logits", "cross_entropy", "half_mse", "mse_loss", "nll_loss")


def fisher_block(
    loss: str,
    outputs: Tensor,
    gradient: Gradient,
    kind: Kind,
    draws: int,
    generator: torch.Generator,
) -> Times:
    """Return the product with B = Σᵢ cᵢ·E sᵢsᵢᵀ, sᵢ the gradient of −log p(y | output i).

    "exact" takes the expectation over the model's own p, "sampled" the mean of `draws` labels from it,
    "empirical" the targets. A term i is a row of a Bernoulli or Gaussian loss, and of classes a row or, in
    longer outputs, a position.

    Raises:
        TaskError: for a loss of another kind.
    """
    if loss in ("cross_entropy", "nll_loss"):
        return _classes(loss, outputs, gradient, kind, draws, generator)
    if loss == "binary_cross_entropy_with_logits":
        return _bernoulli(outputs, gradient, kind, draws, generator)
    if loss in ("mse_loss", "half_mse"):
        return _gaussian(
            0.5 if loss == "mse_loss" else 1.0, outputs, gradient, kind, draws, generator
        )
    raise TaskError(
        f"The Fisher information is that of a distribution, and the loss {loss} is not known to be the "
        f"negative logarithm of one. These are: {', '.join(KNOWN)}, by name or as modules. For any loss "
        "there is ggn(…), which equals the Fisher information of these."
    )


def _classes(
    loss: str,
    outputs: Tensor,
    gradient: Gradient,
    kind: Kind,
    draws: int,
    generator: torch.Generator,
) -> Times:
    axis = 1 if outputs.ndim > 1 else 0
    is_log = loss == "nll_loss"
    counted = _counted_classes(gradient, outputs, axis, is_log).movedim(axis, -1)
    mass = counted.sum(-1, keepdim=True)
    _check(mass)
    flat = outputs.movedim(axis, -1)
    p = flat.exp() if is_log else flat.softmax(-1)
    if kind == "exact":
        weights = mass * p
    elif kind == "empirical":
        weights = counted
    else:
        table = p.reshape(-1, p.shape[-1])
        drawn = torch.multinomial(table.float().cpu(), draws, replacement=True, generator=generator)
        times = functional.one_hot(drawn, table.shape[1]).sum(1).to(p).reshape(p.shape)
        weights = mass * times / draws

    def product(u: Tensor) -> Tensor:
        v = u.movedim(axis, -1)
        if is_log:  # the gradient of −log p(y) is −1 at y
            return (weights * v).movedim(-1, axis)
        t = weights * ((p * v).sum(-1, keepdim=True) - v)
        return (p * t.sum(-1, keepdim=True) - t).movedim(-1, axis)

    return product


def _counted_classes(gradient: Gradient, outputs: Tensor, axis: int, is_log: bool) -> Tensor:
    """Return q with loss = −Σ q·log p: what each class counts in each place.

    Where the softmax is 1 at class k, the gradient at every other class c is −q of c; two such k tell all
    of q.
    """
    if is_log:
        return -gradient(outputs)
    found = -_at_one(gradient, outputs, axis, 0)
    found.select(axis, 0).copy_(-_at_one(gradient, outputs, axis, 1).select(axis, 0))
    return found


def _at_one(gradient: Gradient, outputs: Tensor, axis: int, k: int) -> Tensor:
    if outputs.shape[axis] < 2:
        raise TaskError("A loss of classes wants two outputs or more.")
    far = torch.zeros_like(outputs)
    far.select(axis, k).fill_(_FAR)
    return gradient(far)


def _bernoulli(
    outputs: Tensor, gradient: Gradient, kind: Kind, draws: int, generator: torch.Generator
) -> Times:
    ones = -gradient(torch.full_like(outputs, -_FAR))  # what −log σ counts, and −log(1 − σ)
    zeros = gradient(torch.full_like(outputs, _FAR))
    mass, p = ones + zeros, outputs.sigmoid()
    _check(mass)
    if kind == "exact":
        return lambda u: mass * p * (1 - p) * u
    if kind == "empirical":
        target = torch.where(mass > 0, ones / torch.where(mass > 0, mass, 1.0), p)
        return _of_rows((mass.sqrt() * (p - target))[None])
    drawn = torch.rand((draws, *p.shape), generator=generator).to(p) < p
    return _of_rows(mass.sqrt() * (p - drawn.to(p)))


def _gaussian(
    variance: float,
    outputs: Tensor,
    gradient: Gradient,
    kind: Kind,
    draws: int,
    generator: torch.Generator,
) -> Times:
    # the gradient is h·(o − y), so h is its growth from 0 to 1
    at_zero = gradient(torch.zeros_like(outputs))
    h = gradient(torch.ones_like(outputs)) - at_zero
    _check(h)
    if kind == "exact":
        return lambda u: h * u
    if kind == "empirical":
        safe = torch.where(h > 0, h, 1.0)
        off = torch.where(h > 0, outputs + at_zero / safe, 0.0)
        return _of_rows((h.sqrt() * off / variance**0.5)[None])
    noise = torch.randn((draws, *outputs.shape), generator=generator).to(outputs)
    return _of_rows(h.sqrt() * noise)


def _of_rows(scores: Tensor) -> Times:
    """Return the product with the mean over the first axis of Σ over rows of s·sᵀ."""

    def product(u: Tensor) -> Tensor:
        dims = tuple(range(2, scores.ndim))
        along = (scores * u).sum(dims, keepdim=True) if dims else scores * u
        return (scores * along).mean(0)

    return product


def _check(mass: Tensor) -> None:
    if bool((mass < 0).any()):
        raise TaskError(
            "A weight of the loss is negative: it is not a negative logarithm of a distribution, and has no "
            "Fisher information."
        )
