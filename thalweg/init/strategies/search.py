"""Scales, and how many weights are 0, found by looking at what the first step does to the loss on a batch."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from thalweg.errors import TaskError
from thalweg.init.strategies.strategy import Setup, full_name, of_model
from thalweg.kept import by_batch, undisturbed
from thalweg.model.layers import Layer
from thalweg.model.outputs import loss_of, outputs_of
from thalweg.objective.nested import mapped, tensors_in

_LOWEST = 0.01
"""The least factor of gradinit, as its authors have it."""


@of_model("hidden", "output", "recurrent")
def search(
    setup: Setup, trials: int = 30, widest: float = 4.0, sparsity: float = 0.0, lr: float = 0.1
) -> None:
    """Try random factors of the layers, and random shares of weights that are 0, and keep those after which
    one step of gradient descent leaves the lowest loss on the batch.

    A factor is drawn log-uniformly from 1/w to w for each layer. The first trial changes nothing, so
    what is kept is never worse than that. A trial whose loss is not finite is left out.

    Args:
        trials: how many are tried.
        widest: w.
        sparsity: the largest share of each layer's weights that is set to 0.
        lr: of the step.
    """
    if trials < 1 or not widest >= 1 or not 0 <= sparsity < 1 or not lr > 0:
        raise TaskError(
            "init.search: trials ≥ 1, widest ≥ 1, sparsity in [0, 1), lr > 0; got "
            f"{trials!r}, {widest!r}, {sparsity!r}, {lr!r}."
        )
    layers = _movable("search", setup.layers)
    loss = _loss_of(setup, "init.search")
    start = [layer.matrix().clone() for layer in layers]
    generator = setup.generator("search")
    best: tuple[float, list[Tensor]] | None = None
    for trial in range(trials):
        tried = start if trial == 0 else [_tried(w, widest, sparsity, generator) for w in start]
        for layer, matrix in zip(layers, tried, strict=True):
            layer.put(matrix)
        score = _after_step(setup.model, loss, lr)
        if math.isfinite(score) and (best is None or score < best[0]):
            best = score, tried
    if best is None:
        for layer, matrix in zip(layers, start, strict=True):
            layer.put(matrix)
        raise TaskError(
            f"init.search: the loss after a step was not finite in any of {trials} trials. Give a "
            f"smaller lr than {lr:g}, or look at the batch."
        )
    for layer, kept in zip(layers, best[1], strict=True):
        setup.drawing(layer).change(kept)
    setup.remarks.append(f"The best of {trials} trials has the loss {best[0]:.4g} after a step.")


@of_model("hidden", "output", "recurrent")
def gradinit(
    setup: Setup,
    steps: int = 100,
    optimizer: Literal["sgd", "adam"] = "adam",
    lr: float = 0.01,
    bound: float | None = None,
    factor_lr: float = 0.05,
) -> None:
    """Learn a factor for each layer so that one step of an optimizer leaves the lowest loss (GradInit, Zhu et
    al. 2021).

    With θ = α·θ₀ it descends L(θ − lr·A(∇L(θ; S)); S′) in the factors α by Adam, and the norm of the
    gradient instead wherever that is above the bound. A(g) is g of SGD, with the 2-norm, and sign(g) of
    Adam, with the 1-norm. S and S′ are two thirds of the batch each, half of S′ in common with S.
    Factors stay above 0.01. The paper draws S and S′ again in every step, and has factors for biases and
    norms as well; here the parts of the batch stay, and weights alone are scaled.

    Args:
        steps: of the factors.
        optimizer: "sgd" or "adam": whose step it is.
        lr: of that step.
        bound: the largest norm of the gradient; by default that at the beginning.
        factor_lr: the learning rate of the factors.
    """
    if optimizer not in ("sgd", "adam") or steps < 1 or not lr > 0 or not factor_lr > 0:
        raise TaskError(
            "init.gradinit: optimizer must be 'sgd' or 'adam', steps ≥ 1, lr > 0, factor_lr > 0; got "
            f"{optimizer!r}, {steps!r}, {lr!r}, {factor_lr!r}."
        )
    layers = _movable("gradinit", setup.layers, whole=True)
    names = [full_name(layer, layer.parameter) for layer in layers]
    first, second = _halves(setup)
    with torch.enable_grad(), undisturbed(setup.model):
        by_batch(setup.model)
        learned = _Factors(setup, names, optimizer, lr)
        try:
            factors = learned.descend(first, second, steps, bound, factor_lr)
        except NotImplementedError as error:
            raise TaskError(
                "init.gradinit differentiates a gradient, and an operation of this model has no second "
                f"derivative: {error} init.search needs only first ones."
            ) from error
    for layer, factor in zip(layers, factors.tolist(), strict=True):
        setup.drawing(layer).scale(factor)


class _Factors:
    """The factors of the layers, and the loss after a step as a function of them."""

    def __init__(self, setup: Setup, names: list[str], optimizer: str, lr: float) -> None:
        self.model, self.names, self.lr, self.setup = setup.model, names, lr, setup
        self.is_adam = optimizer == "adam"
        own = dict(setup.model.named_parameters())
        self.start = {name: p.detach() for name, p in own.items()}
        self.moved = [name for name, p in own.items() if p.requires_grad]
        self.factors = torch.ones(len(names), dtype=torch.float64, requires_grad=True)

    def descend(
        self, first: Any, second: Any, steps: int, bound: float | None, factor_lr: float
    ) -> Tensor:
        adam = torch.optim.Adam([self.factors], lr=factor_lr)
        for step in range(steps):
            values = self._scaled()
            loss = self._loss(values, first)
            gradients = torch.autograd.grad(
                loss, [values[n] for n in self.moved], create_graph=True, allow_unused=True
            )
            kept = {n: g for n, g in zip(self.moved, gradients, strict=True) if g is not None}
            norm = self._norm(list(kept.values()))
            if bound is None:
                bound = float(norm.detach())
            if float(norm.detach()) > bound * (1 + 1e-6):
                aim = norm
            else:
                moved = {n: values[n] - self.lr * self._direction(g) for n, g in kept.items()}
                aim = self._loss({**values, **moved}, second)
            self._check(aim, step)
            (slope,) = torch.autograd.grad(aim, [self.factors])
            self.factors.grad = slope
            adam.step()
            with torch.no_grad():
                self.factors.clamp_(min=_LOWEST)
        return self.factors.detach()

    def _scaled(self) -> dict[str, Tensor]:
        values = {n: p.clone().requires_grad_() for n, p in self.start.items()}
        for factor, name in zip(self.factors, self.names, strict=True):
            values[name] = self.start[name] * factor.to(self.start[name])
        return values

    def _loss(self, values: dict[str, Tensor], batch: Any) -> Tensor:
        loss = self.setup.loss
        assert loss is not None
        return loss_of(loss, outputs_of(self.model, batch[0], values), batch[1])

    def _norm(self, gradients: Sequence[Tensor]) -> Tensor:
        whole = torch.cat([g.flatten() for g in gradients])
        return whole.abs().sum() if self.is_adam else whole.norm()

    def _direction(self, gradient: Tensor) -> Tensor:
        return gradient.sign() if self.is_adam else gradient

    def _check(self, aim: Tensor, step: int) -> None:
        if not math.isfinite(float(aim.detach())):
            raise TaskError(
                f"init.gradinit: in step {step} of the factors the loss or the gradient is not "
                "finite. Give a smaller lr or factor_lr, or draw the weights again before."
            )


def _movable(who: str, layers: Sequence[Layer], whole: bool = False) -> list[Layer]:
    """Return the layers whose weights can be set; with `whole`, those whose weight is one parameter."""
    own = [layer for layer in layers if layer.trainable and layer.tied is None]
    found = [each for each in own if isinstance(each.weight, nn.Parameter)] if whole else own
    if not found:
        names = ", ".join(layer.name for layer in layers[:12])
        why = "computed by a parametrization" if own else "frozen, or shares that of another layer"
        raise TaskError(
            f"init.{who}: no layer's weight can be scaled: each of {names} is {why}. Unfreeze what is "
            "to be scaled, or leave the strategy out."
        )
    return found


def _tried(start: Tensor, widest: float, sparsity: float, generator: torch.Generator) -> Tensor:
    exponent = 2 * torch.rand((), generator=generator, dtype=torch.float64) - 1
    share = sparsity * torch.rand((), generator=generator, dtype=torch.float64)
    kept = torch.rand(start.shape, generator=generator, dtype=torch.float64) >= share
    return start * float(widest**exponent) * kept.to(start)


def _loss_of(setup: Setup, who: str) -> Callable[[], Tensor]:
    x, loss = setup.batch(who), setup.loss
    if loss is None or setup.y is None:
        raise TaskError(f"{who} needs targets and a loss: y=targets, loss='cross_entropy'.")
    return lambda: loss_of(loss, outputs_of(setup.model, x), setup.y)


def _after_step(model: nn.Module, loss: Callable[[], Tensor], lr: float) -> float:
    """Return the loss after one step of gradient descent; the parameters are as before."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    before = [p.detach().clone() for p in parameters]
    with torch.enable_grad(), undisturbed(model):
        by_batch(model)
        gradients = torch.autograd.grad(loss(), parameters, allow_unused=True)
        with torch.no_grad():
            for p, g in zip(parameters, gradients, strict=True):
                if g is not None:
                    p.sub_(g, alpha=lr)
            after = float(loss())
            for p, old in zip(parameters, before, strict=True):
                p.copy_(old)
    return after


def _halves(setup: Setup) -> tuple[Any, Any]:
    _loss_of(setup, "init.gradinit")
    rows = len(setup.y)
    other = next((t for t in tensors_in(setup.x) if not t.ndim or len(t) != rows), None)
    if other is not None:
        raise TaskError(
            f"init.gradinit takes parts of the batch, row by row: y has {rows} rows, but x a tensor of "
            f"shape {tuple(other.shape)}. Give both with the rows first, as many of them."
        )
    third = max(1, rows // 3)

    def part(rows_of: slice) -> Any:
        return mapped(setup.x, lambda t: t[rows_of]), setup.y[rows_of]

    return part(slice(0, max(1, 2 * third))), part(slice(min(third, rows - 1), rows))
