"""Checks of a model on kept batches: outputs against targets, one mode against the other."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from thalweg.doctor.undisturbed import as_found, enter_modes, loss_of, outputs_of, seed_all
from thalweg.doctor.watched import (
    OutputCheck,
    PairCheck,
    StaleStatistics,
    Watched,
)
from thalweg.objective.nested import mapped, tensors_in

SHUFFLES = 8
STALE = 0.5
"""Share of the running statistics that is still from initialization."""
PAIRED_ROWS = 8
"""Rows whose single losses are compared with the loss of all of them."""
SAME = 1e-5
"""Losses whose relative difference is below this are equal but for rounding."""
SEEN = 1e-2
"""An exchange of targets has no effect if it changes the loss by less than this share of what others do."""
OUTSIDE = 1e-2
"""Losses whose relative difference is above this are different."""

LossFunction = Callable[[Any, Any], Tensor]


def check_outputs(watched: Watched, loss: LossFunction, batches: list[Any]) -> OutputCheck | None:
    """Look at outputs in evaluation mode: what they depend on, and what they say of the targets."""
    model = watched.model
    inputs, targets = batches[-1]
    rows = len(next(tensors_in(inputs)))
    with as_found(model), torch.no_grad():
        model.eval()
        out = next(tensors_in(outputs_of(model, inputs)))
        if not bool(torch.isfinite(out).all()):
            return None  # they say nothing; the loss tells
        seed_all(1)
        again = next(tensors_in(outputs_of(model, inputs)))
        is_random = not torch.equal(out, again)
        if out.ndim == 0 or len(out) != rows or rows < 4:
            return None
        # The first half stays where it is, since noise may depend on the place of a row; the others become
        # copies of the first row, which a softmax or a mean over the batch sees, too.
        half = rows // 2
        others = torch.cat([torch.arange(half), torch.zeros(rows - half, dtype=torch.long)])
        moved = next(tensors_in(outputs_of(model, _rows(inputs, others.to(out.device), rows))))
        mixes = moved.shape == out.shape and not torch.allclose(
            moved[:half].double(),
            out[:half].double(),
            rtol=1e-2,
            atol=1e-3 * float(out.abs().max()),
        )
        spread = float(out.double().reshape(rows, -1).std(0).mean())
        own, shuffled = _informed(model, loss, batches)
    y = next(tensors_in(targets))
    return OutputCheck(
        spread=spread,
        size=float(out.double().abs().mean()),
        is_random=is_random,
        mixes_rows=mixes and not is_random,
        made_by=_made_by(model, inputs),
        loss=own,
        shuffled=shuffled,
        targets=(float(y.double().min()), float(y.double().max())),
        range=(float(out.double().min()), float(out.double().max())),
    )


def _informed(model: nn.Module, loss: LossFunction, batches: list[Any]) -> tuple[float, float]:
    """Return the mean loss of outputs, and that of outputs of other rows; NaN where that says nothing."""
    own, others = [], []
    for place, (inputs, targets) in enumerate(batches):
        y = next(tensors_in(targets))
        rows = len(next(tensors_in(inputs)))
        if y.ndim == 0 or len(y) != rows or bool((y == y[:1]).all()):
            continue
        outputs = outputs_of(model, inputs)
        if any(t.ndim == 0 or len(t) != rows for t in tensors_in(outputs)):
            continue
        own.append(float(loss(outputs, targets)))
        draw = torch.Generator().manual_seed(place)
        for _ in range(SHUFFLES):
            order = torch.randperm(rows, generator=draw).to(y.device)
            others.append(float(loss(_rows(outputs, order, rows), targets)))
    if not own:
        return math.nan, math.nan
    return sum(own) / len(own), sum(others) / len(others)


def check_pairs(watched: Watched, loss: LossFunction, batch: Any) -> PairCheck | None:
    """Look at what the loss does with rows, on outputs with noise: those of a constant model are all alike.

    None where outputs or targets are not one tensor of as many rows, or the targets do not matter.
    """
    model = watched.model
    inputs, targets = batch
    if not isinstance(targets, Tensor):
        return None
    with as_found(model), torch.no_grad():
        model.eval()
        out = outputs_of(model, inputs)
        rows = PAIRED_ROWS
        if not isinstance(out, Tensor) or not out.is_floating_point():
            return None
        if min(out.ndim, targets.ndim) < 1 or min(len(out), len(targets)) < rows:
            return None
        out, y = out[:rows], targets[:rows]
        is_share = float(out.min()) >= 0 and float(out.max()) <= 1
        # as far apart as they are large: else a loss does not show which row has which target
        out = out + torch.randn_like(out) * out.square().mean().sqrt().clamp_min(1e-2)
        if is_share:  # probabilities, beyond which some losses are not defined
            out = out.clamp(0, 1)
        whole = float(loss(out, y))
        turned = [float(loss(out, y.roll(by, 0))) for by in (1, 2, 3)]
        replaced = float(loss(out, y[:1].expand_as(y).clone()))
        if not all(map(math.isfinite, (whole, replaced, *turned))):
            return None
        near = SAME * max(abs(whole), 1e-12)
        matters = abs(replaced - whole) > near
        # an exchange of targets could be seen that does a hundredth of what other targets do
        is_seen = abs(replaced - whole) > near / SEEN
        is_unpaired = is_seen and all(abs(each - whole) <= near for each in turned)
        return PairCheck(is_unpaired, _is_mixed(loss, out, y, whole), matters)


def _is_mixed(loss: LossFunction, out: Tensor, y: Tensor, whole: float) -> bool:
    """Return whether the loss of rows with classes is neither their sum nor between the least and the
    greatest of the rows, where every mean is, weighted or not.
    """
    is_class = out.ndim == 2 and y.ndim == 1 and not y.is_floating_point() and not y.is_complex()
    if not is_class or not 0 <= int(y.min()) <= int(y.max()) < out.shape[1]:
        return False
    single = [float(loss(out[i : i + 1], y[i : i + 1])) for i in range(len(out))]
    margin = OUTSIDE * max(abs(whole), *map(abs, single))
    if not all(map(math.isfinite, single)) or abs(sum(single) - whole) <= margin:
        return False
    return not min(single) - margin <= whole <= max(single) + margin


def compare_modes(watched: Watched, loss: LossFunction, batches: list[Any]) -> tuple[float, float]:
    """Return the mean loss of batches in training mode and in evaluation mode."""
    model = watched.model
    with as_found(model):
        enter_modes(watched.modules)
        training = sum(loss_of(model, loss, batch) for batch in batches) / len(batches)
        model.eval()
        evaluation = sum(loss_of(model, loss, batch) for batch in batches) / len(batches)
    return training, evaluation


def stale_statistics(
    watched: Watched, loss: LossFunction, batches: list[Any]
) -> StaleStatistics | None:
    """Return the normalization whose running statistics are most of all still those of the start, with the
    losses in evaluation mode by them and by the statistics of the batches; None where none is.
    """
    model, kept = watched.model, dict[str, float]()
    names = {module: name for name, module in model.named_modules()}
    for module, is_training in watched.modules:
        count = getattr(module, "num_batches_tracked", None)
        momentum = getattr(module, "momentum", None)
        if is_training and isinstance(count, Tensor) and isinstance(momentum, float):
            kept[names.get(module, "")] = (1 - momentum) ** int(count)
    name = max(kept, key=lambda each: kept[each], default="")
    if not kept or kept[name] < STALE:
        return None
    with as_found(model):
        model.eval()
        own = sum(loss_of(model, loss, batch) for batch in batches) / len(batches)
        for each in kept:
            model.get_submodule(each).train()
        fresh = sum(loss_of(model, loss, batch) for batch in batches) / len(batches)
    return StaleStatistics(name, kept[name], own, fresh)


def _made_by(model: nn.Module, inputs: Any) -> str:
    """Return the operation that gives the outputs."""
    with as_found(model), torch.enable_grad():
        model.eval()
        out = next(tensors_in(model(mapped(inputs, torch.clone))))
    return "" if out.grad_fn is None else out.grad_fn.name()


def _rows(value: Any, order: Tensor, rows: int) -> Any:
    return mapped(value, lambda t: t[order.to(t.device)] if t.ndim and len(t) == rows else t)
