"""What an update does to the weights: norms, and weights that did not change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import is_
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from thalweg.doctor.gauges.gauge import Gauge
from thalweg.doctor.gauges.numbers import floats, local, norms
from thalweg.doctor.watched import Floats, Parameter, UpdateSample, Watched

MOST_UNITS = 128
"""Units of a matrix that are compared with each other."""
ALIKE = 0.9999
"""The cosine from which on two units are twins (Goodfellow and others, Deep Learning, 8.4)."""
TWINS_EVERY = 8
"""Twins are looked for in one of so many samples."""
SOME = 128
"""About how many weights of a parameter are compared with their values at an earlier step."""
WINDOW = 16
"""The least number of steps between the two: stochastic rounding moves weights sooner or later."""
ROUNDED = 8.0
"""Unchanged weights are counted where the update is below so many units of precision of the weights."""


def named_parameters(
    model: nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[list[Tensor], tuple[Parameter, ...]]:
    """Return the parameters that an optimizer steps, each once, and what is known of them."""
    names = {id(p): name for name, p in model.named_parameters(remove_duplicate=False)}
    owner = {id(p): module for module in model.modules() for p in module.parameters(recurse=False)}
    found: dict[int, Tensor] = {}
    for group in optimizer.param_groups:
        for p in group["params"]:
            found.setdefault(id(p), p)
    tensors = list(found.values())
    known = tuple(
        Parameter(
            names.get(id(p), f"parameter {place} of the optimizer"),
            p.numel(),
            p.ndim >= 2 and not isinstance(owner.get(id(p)), (nn.Embedding, nn.EmbeddingBag)),
            p.dtype,
        )
        for place, p in enumerate(tensors)
    )
    return tensors, known


class UpdateGauge(Gauge):
    """Reads gradients and weights before the optimizer's step, and weights after it."""

    name = "updates"

    def __init__(self, watched: Watched, failed: Callable[[str, Exception], None]) -> None:
        super().__init__(watched, failed)
        self._stepped: list[Tensor] = []
        self._tensors: list[Tensor] = []
        self._roots = self._precision = np.zeros(0)
        self._before: list[Tensor] = []
        self._norms: tuple[list[Tensor | None], list[Tensor]] | None = None
        self._twins: Floats | None = None
        self._samples = 0
        self._reference: tuple[int, Tensor] | None = None

    def attach(self) -> None:
        """Hook the next step of the optimizer."""
        optimizer = self.watched.optimizer
        stepped = [p for group in optimizer.param_groups for p in group["params"]]
        if len(stepped) != len(self._stepped) or not all(map(is_, stepped, self._stepped)):
            self._know(stepped)
        self._norms = None
        hook = self.guarded(self._before_step)
        self._handles.append(optimizer.register_step_pre_hook(hook))

    def _know(self, stepped: list[Tensor]) -> None:
        """Find names and sizes of the parameters, which stay the same in most runs."""
        self._stepped = stepped
        self._tensors, self.watched.parameters = named_parameters(
            self.watched.model, self.watched.optimizer
        )
        self._roots = np.sqrt([max(local(p).numel(), 1) for p in self._tensors])
        self._precision = np.array(
            [torch.finfo(p.dtype).eps if p.is_floating_point() else 0.0 for p in self._tensors]
        )

    def _before_step(self, *_: Any) -> None:
        with torch.no_grad():
            self._before = [local(p).clone() for p in self._tensors]
            gradients = self._gradients()
            self._norms = (_norms_of(gradients), norms(self._before))
            if self._samples % TWINS_EVERY == 0:
                self._twins = self._count_twins(gradients)

    def read(self, step: int) -> bool:
        """Keep the norms by parameter; False where the optimizer did not step."""
        if self._norms is None:
            return False
        with torch.no_grad():
            gradients, (sizes, weights) = self._gradients(), self._norms
            if all(g is None for g in sizes):  # a closure has computed them within the step
                sizes = _norms_of(gradients)
            moved = self._moved()
            found = floats([*weights, *norms(moved), *(g for g in sizes if g is not None)])
            count, roots = len(weights), self._roots
            weight, update = found[:count] / roots, found[count : 2 * count] / roots
            gradient = np.full(count, np.nan)
            gradient[[g is not None for g in sizes]] = found[2 * count :]
            unchanged = self._unchanged(gradients, moved, update, weight)
            still = self._still(step, gradients) if (unchanged > 0).any() else np.nan
        twins = np.full(count, np.nan) if self._twins is None else self._twins
        rate = float(self.watched.optimizer.param_groups[0].get("lr", np.nan))
        self.watched.updates.add(
            UpdateSample(step, rate, gradient / roots, update, weight, unchanged, twins, still)
        )
        self._samples += 1
        self._before, self._norms, self._twins = [], None, None
        return True

    def before(self) -> dict[str, Tensor]:
        """Return the weights before the step by name; none where the optimizer did not step."""
        if not self._before:
            return {}
        own = dict(self.watched.model.named_parameters(remove_duplicate=False))
        pairs = zip(self.watched.parameters, self._before, strict=True)
        return {known.name: tensor for known, tensor in pairs if known.name in own}

    def detach(self) -> None:
        """Remove all hooks, and forget the weights before the step."""
        super().detach()
        self._before, self._norms, self._twins = [], None, None

    def _gradients(self) -> list[Tensor | None]:
        """Return the gradients that are there, in this process."""
        return [None if p.grad is None else local(p.grad) for p in self._tensors]

    def _moved(self) -> list[Tensor]:
        """Return the weights before the step less those after it, in the memory of the former."""
        if self._before:
            torch._foreach_sub_(self._before, [local(p) for p in self._tensors])
        return self._before

    def _unchanged(
        self,
        gradients: Sequence[Tensor | None],
        moved: Sequence[Tensor],
        update: Floats,
        weight: Floats,
    ) -> Floats:
        """Return the shares of weights with a gradient that are bit-equal after the update.

        Only where the update is small compared with the precision of the weights; 0 elsewhere.
        """
        shares = np.zeros(len(moved))
        is_large = update > ROUNDED * self._precision * weight
        for place, (g, change) in enumerate(zip(gradients, moved, strict=True)):
            if g is None or g.is_sparse or not change.is_floating_point():
                shares[place] = np.nan
            elif not is_large[place]:
                pulled = g != 0
                count = int(pulled.sum())
                shares[place] = int(((change == 0) & pulled).sum()) / count if count else np.nan
        return shares

    def _still(self, step: int, gradients: Sequence[Tensor | None]) -> float:
        """Return the share of some weights with a gradient that are what they were many steps ago."""
        before = self._reference
        if not self._tensors or (before is not None and step - before[0] < WINDOW):
            return np.nan
        weights, share = [local(p) for p in self._tensors], np.nan
        now = _some(weights, weights)
        if before is not None and before[1].shape == now.shape:
            pulled = _some(gradients, weights) != 0
            counts = torch.stack([((now == before[1]) & pulled).sum(), pulled.sum()]).tolist()
            share = counts[0] / counts[1] if counts[1] else np.nan
        self._reference = step, now
        return share

    def _count_twins(self, gradients: Sequence[Tensor | None]) -> Floats:
        found = np.full(len(gradients), np.nan)
        for place, (p, g) in enumerate(zip(self._before, gradients, strict=True)):
            is_matrix = self.watched.parameters[place].is_matrix and not p.is_complex()
            if is_matrix and g is not None and not g.is_sparse:
                found[place] = _twin_share(p, g)
        return found


def _twin_share(weight: Tensor, gradient: Tensor) -> float:
    """Return the share of units, of those that the gradient moves, that have a twin; NaN for < 2."""
    rows, pulls = (x[:MOST_UNITS].flatten(1).float() for x in (weight, gradient))
    strength = pulls.norm(dim=1)
    moved = strength > 0
    rows, pulls = rows[moved], pulls[moved]
    if len(rows) < 2 or rows.shape[1] < 2:
        return float("nan")
    alike = _cosines(rows).fill_diagonal_(0)
    if not alike.any():  # as in most runs
        return 0.0
    return float(((alike * _cosines(pulls)).amax(1) > 0).float().mean())


def _cosines(rows: Tensor) -> Tensor:
    """Return 1 where two rows point the same way and are of the same length, 0 elsewhere."""
    length = rows.norm(dim=1, keepdim=True)
    unit = rows / length.clamp_min(torch.finfo(rows.dtype).tiny)
    same = (length / length.T.clamp_min(torch.finfo(rows.dtype).tiny)).sub(1).abs() < 1e-3
    alike: Tensor = ((unit @ unit.T > ALIKE) & same).float()
    return alike


def _norms_of(gradients: Sequence[Tensor | None]) -> list[Tensor | None]:
    """Return the norms of gradients, None where there is none."""
    dense = [g.coalesce().values() if g is not None and g.is_sparse else g for g in gradients]
    found = iter(norms([g for g in dense if g is not None]))
    return [None if g is None else next(found) for g in dense]


def _some(tensors: Sequence[Tensor | None], like: Sequence[Tensor]) -> Tensor:
    """Return some numbers of each tensor, one behind the other; zeros where there is none."""
    strides = [max(p.numel() // SOME, 1) for p in like]
    chosen = [
        p.new_zeros(-(-p.numel() // stride)) if t is None or t.is_sparse else t.flatten()[::stride]
        for t, p, stride in zip(tensors, like, strides, strict=True)
    ]
    return torch.cat([t.to(like[0].device) for t in chosen])
