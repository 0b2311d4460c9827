"""The curvature of the batches of one step: sums over what the layers saw."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from thalweg.curvature.kronecker.blocks import LayerBlock
from thalweg.curvature.kronecker.factors import Sharing
from thalweg.curvature.kronecker.of_layers import BlockPlan
from thalweg.curvature.kronecker.scores import (
    CLASSES,
    masses,
    row_masses,
    sampled_score,
)
from thalweg.curvature.kronecker.watch import Passes, weights_of_places
from thalweg.curvature.likelihood import KNOWN
from thalweg.errors import TaskError
from thalweg.objective.losses import Loss
from thalweg.objective.weight import Weight

_HALF = (torch.float16, torch.bfloat16)


class StepCurvature:
    """Sums of the layers' factors over the batches that were seen since the last step."""

    def __init__(self, plans: Sequence[BlockPlan], sharing: Sharing) -> None:
        self.plans = plans
        self.sums = [plan.sums(sharing) for plan in plans]
        self.is_seen = [False] * len(plans)
        self.whole = 0.0
        self.is_undefined = False
        """Whether a batch was left out, since what passed was not finite."""

    def add(
        self, passes: Sequence[Passes], terms: Terms | None, rows: int | None, is_scaled: bool
    ) -> bool:
        """Take a batch; return whether a gradient came.

        `is_scaled` says that the gradients have √c in them already, as those of sampled scores; else they
        are the loss's own, with c. Without `terms` the loss is the mean of `rows`, or of those that a layer
        sees.
        """
        came = False
        for place, (each, seen) in enumerate(zip(self.sums, passes, strict=True)):
            if not seen.inputs:
                continue
            count = len(terms.counts) if terms is not None else rows or len(seen.inputs[0])
            pair = seen.pairs(count)
            if pair is None:
                continue
            a, g = (_widened(each) for each in pair)
            if not bool(torch.isfinite(g).all() & torch.isfinite(a).all()):
                self.is_undefined = True  # such a batch may be left out by a wrapper, before a step
                continue
            counts = g.new_full((count,), 1.0 / count) if terms is None else terms.counts.to(g)
            if not is_scaled:
                g = _scaled(g, counts)
            share = 1.0 if terms is None else terms.share
            each.add_inputs(a, counts, share)
            each.add_gradients(a, g, share)
            came = self.is_seen[place] = True
        if came:
            self.whole += 1.0 if terms is None or terms.is_sum else terms.share
            if terms is not None and terms.is_sum:
                self.whole = 1.0
        return came

    def block(self, place: int) -> LayerBlock | None:
        """Return the block of a layer; None where nothing passed through it."""
        if not self.is_seen[place]:
            return None
        module: Any = self.plans[place].layer.module
        return self.sums[place].block(module.weight.detach(), self.whole)


class Terms:
    """What the terms of a batch's loss count.

    `counts` is c of each place, (rows, *positions); `share` what the batch weighs in the loss of several.
    """

    def __init__(self, loss: Loss, outputs: Tensor, targets: Any, *, is_sampled: bool) -> None:
        if is_sampled and loss.name not in KNOWN:
            raise TaskError(
                f"KFAC draws labels from the model's distribution, and the loss {loss.name} is not known to "
                f"be the negative logarithm of one. These are: {', '.join(KNOWN)}, by name or as modules. "
                'For any other take fisher="empirical", which reads the loss\'s own gradients.'
            )
        flat = self.flat = _widened(outputs.detach())
        self.loss, self.targets = loss, loss.match(flat, targets)
        targets = self.targets
        weight: Weight = len(flat)
        if not loss.weighs_by_rows(targets):
            with torch.no_grad():
                weight = loss.measured(self.flat, targets, len(flat))[1]
        self.is_sum = weight == "sum"
        self.share = 1.0 if weight == "sum" else float(weight)
        self.mass: Tensor | None = None
        if is_sampled or loss.name in KNOWN:
            self.mass = masses(loss.name, self.flat, self._gradient)
            self.counts = row_masses(loss.name, self.flat, self.mass)
            if not is_sampled and loss.name not in CLASSES:
                # a row's elements are terms that count alike, those of a Gaussian by its variance
                size = max(1, self.mass[0].numel())
                self.counts = self.counts * (0.5 if loss.name == "mse_loss" else 1.0) / size
        else:
            self.counts = self.flat.new_full((len(flat),), 1.0 if self.is_sum else 1.0 / len(flat))

    def sampled(self, generator: torch.Generator) -> Tensor:
        """Return √c·s of labels drawn from the model's own distribution."""
        assert self.mass is not None
        return sampled_score(self.loss.name, self.flat, self.mass, generator)

    def _gradient(self, at: Tensor) -> Tensor:
        with torch.enable_grad():
            leaf = at.detach().clone().requires_grad_()
            (found,) = torch.autograd.grad(self.loss(leaf, self.targets), leaf)
        return found


def _widened(x: Tensor) -> Tensor:
    """Return half-precision numbers in float32: factors have no inverse in less."""
    return x.float() if x.dtype in _HALF else x


def _scaled(g: Tensor, counts: Tensor) -> Tensor:
    """Return gradients c·s as √c·s; where nothing counts there is none.

    Of a row whose places count differently, at a layer that has other places, the largest c is taken.
    """
    by_row = counts.reshape(len(counts), -1)
    if by_row.shape[1] == g.shape[1]:
        c = weights_of_places(counts, g.shape[1])
    else:
        c = by_row.amax(1, keepdim=True)
    root = c.sqrt()[..., None]
    return torch.where(root > 0, g / torch.where(root > 0, root, 1.0), 0.0)
