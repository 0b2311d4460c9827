"""Whether gradients are slopes of the loss: difference quotients, each with the error that it may have."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from thalweg.doctor.undisturbed import as_found, loss_of, loss_on
from thalweg.doctor.watched import GradientError, Watched

LossFunction = Callable[[Any, Any], Tensor]
MOST_PARAMETERS = 24
STEP = 1e-2
"""How far weights are moved to measure the slope of the loss, as a share of their norm."""
SHARES = (1.0, 0.4, 0.1)
"""Shares of that distance at which the slopes must agree."""
WRONG = 0.3
"""A slope has the other sign than the gradient if it is at least this share of it, in the other direction."""
NOISE = 1e-6
"""Relative changes of the loss up to this size may be rounding in float32."""
UNITS, DRAWS = 4.0, 3
"""Weights that are off by this many units of their precision change the loss as rounding may: a sum of
products is that of slightly different factors (Higham, 2002, 3.1). The largest change of this many draws
counts."""
CERTAIN = 5.0
"""A change of the loss above this many times the rounding error is not rounding."""
NODES = (-0.906, -0.538, 0.0, 0.538, 0.906)
"""Nodes of Gauss and Legendre on -1 to 1: a gradient that is 0 at one place alone, at a kink or in units that
are saturated there, is not wrong."""
WEIGHTS = (0.237, 0.479, 0.569, 0.479, 0.237)
"""The weights of these nodes."""


@dataclass(frozen=True)
class _Probe:
    """A loss that is moved along one parameter at a time, and what rounding may do to it."""

    watched: Watched
    loss: LossFunction
    batch: Any
    rounding: float

    def at(self, parameters: dict[str, Tensor]) -> float:
        """Return the loss by other parameters."""
        with as_found(self.watched.model):
            self.watched.model.eval()
            return loss_of(self.watched.model, self.loss, self.batch, parameters)

    def along(self, p: Tensor, way: Tensor, reach: float) -> float:
        """Return the mean slope along `way` that gradients say there is, up to so far in both directions.

        The parameter itself is moved, since a hook on it belongs to what is looked at, and put back.
        """
        kept = p.detach().clone()
        model, total = self.watched.model, 0.0
        try:
            for node, weight in zip(NODES, WEIGHTS, strict=True):
                with torch.no_grad():
                    p.copy_(kept + node * reach * way)
                with as_found(model), torch.enable_grad():
                    model.eval()
                    value = loss_on(model, self.loss, self.batch)
                    (found,) = torch.autograd.grad(value, [p], allow_unused=True)
                total += 0.0 if found is None else weight * float((found * way).sum())
        finally:
            with torch.no_grad():
                p.copy_(kept)
        return total / sum(WEIGHTS)


def check_gradients(watched: Watched, loss: LossFunction, batch: Any) -> list[GradientError]:
    """Return the parameters whose gradient is not the slope of the loss: of the other sign, or none at all
    where the loss depends on them. Nothing is said where the loss is not finite, or where it changes by less
    than rounding may change it.
    """
    model = watched.model
    named = [
        (n, p) for n, p in model.named_parameters() if p.requires_grad and p.is_floating_point()
    ]
    with as_found(model), torch.enable_grad():
        model.eval()
        value = loss_on(model, loss, batch)
        given = torch.autograd.grad(value, [p for _, p in named], allow_unused=True)
    level = abs(float(value.detach()))
    if not math.isfinite(level):
        return []
    probe = _Probe(watched, loss, batch, NOISE * level)
    probe = _Probe(watched, loss, batch, max(NOISE * level, _rounding(probe, dict(named))))
    chosen = list(zip(named, given, strict=True))[:MOST_PARAMETERS]
    found = [_gradient_error(probe, name, p, g) for (name, p), g in chosen]
    return [each for each in found if each is not None]


def _rounding(probe: _Probe, named: dict[str, Tensor]) -> float:
    """Return the largest change of the loss by weights that are off by some units of their precision;
    infinite where it is not finite.
    """
    draw = torch.Generator().manual_seed(0)
    here, found = probe.at({}), list[float]()
    for _ in range(DRAWS):
        moved = {}
        for name, p in named.items():
            signs = torch.randint(2, p.shape, generator=draw).to(p) * 2 - 1
            moved[name] = p.detach() * (1 + UNITS * torch.finfo(p.dtype).eps * signs)
        found.append(abs(probe.at(moved) - here))
    return max(x if math.isfinite(x) else math.inf for x in found)


def _gradient_error(
    probe: _Probe, name: str, p: Tensor, gradient: Tensor | None
) -> GradientError | None:
    """Return what is wrong with the gradient of one parameter; None where nothing is, or cannot be told."""
    is_none = gradient is None or not bool(gradient.any())
    draw = torch.Generator().manual_seed(0)
    way = torch.randn(p.shape, generator=draw).to(p) if is_none or gradient is None else gradient
    if not bool(torch.isfinite(way).all()):
        return None
    way = way / way.norm()
    step = STEP * max(float(p.detach().norm()), 1e-3)
    slopes = []
    for share in SHARES:
        ends = [probe.at({name: p.detach() + s * step * way}) for s in (share, -share)]
        slopes.append((ends[0] - ends[1]) / (2 * share * step))
    if not all(map(math.isfinite, slopes)):
        return None
    expected = 0.0 if is_none or gradient is None else float(gradient.norm())
    seen = min(slopes, key=abs)
    if not 0 < max(slopes) <= 2 * min(slopes) and not 0 > min(slopes) >= 2 * max(slopes):
        return None  # a kink, or a step too long
    if not abs(seen) >= CERTAIN * probe.rounding / (step * SHARES[-1]):
        return None
    if not is_none and not seen < -WRONG * expected:
        return None
    around = probe.along(p, way, step * SHARES[-1])
    if is_none and abs(around) > WRONG * abs(seen):
        return None  # there is a gradient beside this place
    if not is_none and not (around > 0 and seen < -WRONG * around):
        return None
    return GradientError(name, expected, seen)
