"""Remedies that lead away from where a run stands: along a direction, to another start, by momentum."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from thalweg.doctor.forks.arm import Arm
from thalweg.doctor.gauges.numbers import norm_of_all
from thalweg.doctor.undisturbed import loss_on
from thalweg.doctor.verdict import Remedy

REACHES = tuple(10.0**k for k in (-3, -2.5, -2, -1.5, -1, -0.5, 0))
"""How far a fork may go along a direction, as shares of the norm of the weights, or of 1 if that is more."""
STARTS = 8
"""Other starts of which the best is taken."""
FRICTION = 0.9


def leaving(direction: Mapping[str, Tensor], under: float) -> Remedy:
    """Go along a direction of negative curvature, to where the loss of a batch is lowest, and train on from
    there; the loss must come under that of the run's end.
    """

    def change(arm: Arm) -> None:
        parameters = dict(arm.model.named_parameters())
        here = {name: parameters[name].detach().clone() for name in direction}
        size = max(1.0, norm_of_all(here.values()))
        found: list[tuple[float, float]] = []
        for reach in (sign * share * size for share in REACHES for sign in (1, -1)):
            _move(parameters, here, direction, reach)
            found.append((_loss(arm), reach))
        _move(parameters, here, direction, min(found)[1])

    words = (
        "leave along the direction of negative curvature, add noise to the weights, or draw other initial "
        "weights"
    )
    return Remedy("leave", words, {"init": "he"}, change, from_end=True, under=under)


def elsewhere(way: float, under: float) -> Remedy:
    """Begin at another start: the best of some that lie as far from the old one as the run went, or half as
    far, in random directions and against them; the loss must come under that of the run's end.
    """

    def change(arm: Arm) -> None:
        parameters = {n: p for n, p in arm.model.named_parameters() if p.requires_grad}
        here = {name: p.detach().clone() for name, p in parameters.items()}
        draw = torch.Generator().manual_seed(arm.seed)
        found: list[tuple[float, int, dict[str, Tensor], float]] = []
        for _ in range(STARTS // 4):
            noise = {n: torch.randn(p.shape, generator=draw).to(p) for n, p in here.items()}
            size = norm_of_all(noise.values())
            for reach in (way, way / 2, -way / 2, -way):
                far = reach / max(size, 1e-300)
                _move(parameters, here, noise, far)
                found.append((_loss(arm), len(found), noise, far))
        _, _, noise, far = min(found, key=lambda each: each[:2])
        _move(parameters, here, noise, far)

    words = "another start: the best of several, as far away as the run went"
    return Remedy("elsewhere", words, {"init": "he"}, change, from_start=True, under=under)


def with_momentum() -> Remedy:
    """Step by gradient descent with momentum instead of plain gradient descent, at the same rate."""

    def change(arm: Arm) -> None:
        groups = [{"params": g["params"], "lr": float(g["lr"])} for g in arm.groups]
        arm.optimizer = torch.optim.SGD(groups, lr=0.0, momentum=FRICTION)

    words = (
        f"momentum of {FRICTION:g}, standardized inputs, or an optimizer that scales each direction"
    )
    return Remedy("momentum", words, {"momentum": FRICTION}, change, for_speed=True)


def _move(
    parameters: Mapping[str, Tensor],
    here: Mapping[str, Tensor],
    direction: Mapping[str, Tensor],
    reach: float,
) -> None:
    with torch.no_grad():
        for name, p in here.items():
            parameters[name].copy_(p + reach * direction[name].to(p))


def _loss(arm: Arm) -> float:
    """Return the loss of the first batch; infinite where it is not finite."""
    with torch.no_grad():
        found = float(loss_on(arm.model, arm.loss, arm.batches[0]))
    return found if math.isfinite(found) else math.inf
