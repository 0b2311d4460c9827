"""What an update does to the weights: norms, and weights that did not change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from thalweg.doctor.gauges.gauge import Gauge
from thalweg.doctor.watched import Floats, Parameter, UpdateSample, Watched

MOST_UNITS = 128
"""Units of a matrix that are compared with each other."""
ALIKE = 0.9999
"""The cosine from which on two units are twins (Goodfellow and others, Deep Learning, 8.4)."""
TWINS_EVERY = 8
"""Twins are looked for in one of so many samples."""
SOME = 128
"""Weights of a parameter, about, that are compared with what they were …"""
WINDOW = 16
"""… so many steps before, at least: rounding at random moves them sooner or later."""
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
        self._tensors: list[Tensor] = []
        self._before: list[Tensor] = []
        self._norms: tuple[list[Tensor | None], list[Tensor]] | None = None
        self._twins: list[float] | None = None
        self._samples = 0
        self._reference: tuple[int, list[Tensor]] | None = None

    def attach(self) -> None:
        """Hook the next step of the optimizer."""
        self._tensors, self.watched.parameters = named_parameters(
            self.watched.model, self.watched.optimizer
        )
        self._norms = None
        hook = self.guarded(self._before_step)
        self._handles.append(self.watched.optimizer.register_step_pre_hook(hook))

    def _before_step(self, *_: Any) -> None:
        with torch.no_grad():
            self._before = [p.detach().clone() for p in self._tensors]
            gradients = _gradients(self._tensors)
            self._norms = (gradients, _norms(self._before))
            if self._samples % TWINS_EVERY == 0:
                self._twins = self._count_twins()

    def read(self, step: int) -> bool:
        """Keep the norms by parameter; False where the optimizer did not step."""
        if self._norms is None:
            return False
        gradients, weights = self._norms
        with torch.no_grad():
            if all(g is None for g in gradients):  # a closure has computed them within the step
                gradients = _gradients(self._tensors)
            moved = [
                p.detach() - before for p, before in zip(self._tensors, self._before, strict=True)
            ]
            update, weight = _floats(_norms(moved)), _floats(weights)
            gradient = _floats(
                [
                    w.new_tensor(np.nan) if g is None else g
                    for g, w in zip(gradients, weights, strict=True)
                ]
            )
            sizes = np.array([max(p.size, 1) for p in self.watched.parameters], dtype=np.float64)
            root = np.sqrt(sizes)
            unchanged = self._unchanged(moved, update / root, weight / root)
        twins = np.full(len(sizes), np.nan) if self._twins is None else np.array(self._twins)
        rate = self.watched.optimizer.param_groups[0].get("lr", np.nan)
        self.watched.updates.add(
            UpdateSample(
                *(step, float(rate), gradient / root, update / root, weight / root),
                *(unchanged, twins, self._still(step)),
            )
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

    def _still(self, step: int) -> float:
        """Return the share of some weights with a gradient that are what they were many steps ago."""
        if self._reference is not None and step - self._reference[0] < WINDOW:
            return np.nan
        chosen = [p.detach().flatten()[:: max(p.numel() // SOME, 1)] for p in self._tensors]
        share = np.nan
        if self._reference is not None and len(self._reference[1]) == len(chosen):
            counts = [0, 0]
            for p, now, then in zip(self._tensors, chosen, self._reference[1], strict=True):
                if p.grad is None or p.grad.is_sparse or now.shape != then.shape:
                    continue
                pulled = p.grad.flatten()[:: max(p.numel() // SOME, 1)] != 0
                counts[0] += int(((now == then) & pulled).sum())
                counts[1] += int(pulled.sum())
            share = counts[0] / counts[1] if counts[1] else np.nan
        self._reference = step, [t.clone() for t in chosen]
        return share

    def _unchanged(self, moved: Sequence[Tensor], update: Floats, weight: Floats) -> Floats:
        """Return the shares of weights with a gradient that are bit-equal after the update.

        Only where the update is small beside the precision of the weights; 0 elsewhere.
        """
        shares = np.full(len(moved), np.nan)
        for place, (p, change) in enumerate(zip(self._tensors, moved, strict=True)):
            if p.grad is None or p.grad.is_sparse or not p.is_floating_point():
                continue
            if update[place] > ROUNDED * torch.finfo(p.dtype).eps * weight[place]:
                shares[place] = 0.0
                continue
            pulled = p.grad != 0
            count = int(pulled.sum())
            if count:
                shares[place] = int(((change == 0) & pulled).sum()) / count
        return shares

    def _count_twins(self) -> list[float]:
        found = []
        for p, known in zip(self._tensors, self.watched.parameters, strict=True):
            usable = known.is_matrix and p.grad is not None and not p.grad.is_sparse
            if not usable or p.is_complex():
                found.append(np.nan)
                continue
            found.append(_twin_share(p.detach(), p.grad))  # type: ignore[arg-type]
        return found


def _twin_share(weight: Tensor, gradient: Tensor) -> float:
    """Return the share of units, of those that the gradient moves, that have a twin; NaN for < 2."""
    rows, pulls = (x[:MOST_UNITS].flatten(1).float() for x in (weight, gradient))
    strength = pulls.norm(dim=1)
    moved = strength > 0
    rows, pulls = rows[moved], pulls[moved]
    if len(rows) < 2 or rows.shape[1] < 2:
        return float("nan")
    alike = _cosines(rows) * _cosines(pulls)
    alike.fill_diagonal_(0)
    return float((alike.amax(1) > 0).float().mean())


def _cosines(rows: Tensor) -> Tensor:
    """Return 1 where two rows point the same way and are of the same length, 0 elsewhere."""
    length = rows.norm(dim=1, keepdim=True)
    unit = rows / length.clamp_min(torch.finfo(rows.dtype).tiny)
    same = (length / length.T.clamp_min(torch.finfo(rows.dtype).tiny)).sub(1).abs() < 1e-3
    return ((unit @ unit.T > ALIKE) & same).float()


def _gradients(tensors: Sequence[Tensor]) -> list[Tensor | None]:
    there = [p.grad for p in tensors]
    dense = [g.coalesce().values() if g is not None and g.is_sparse else g for g in there]
    norms = iter(_norms([g for g in dense if g is not None]))
    return [None if g is None else next(norms) for g in dense]


def _norms(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return the 2-norms as float32 or wider: half precision would overflow."""
    wide = [t.float() if t.dtype in (torch.float16, torch.bfloat16) else t for t in tensors]
    if not wide:
        return []
    if any(t.is_complex() for t in wide):
        return [torch.linalg.vector_norm(t) for t in wide]
    return list(torch._foreach_norm(wide))


def _floats(values: Sequence[Tensor]) -> Floats:
    if not values:
        return np.zeros(0)
    home = values[0].device
    return torch.stack([v.to(home, torch.float64) for v in values]).cpu().numpy()
