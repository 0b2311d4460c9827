"""Examinations that are made once, at the report: on the kept batches, and on the run's start."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from thalweg.curvature import edge_of, hessian, noise_scale, sharpness
from thalweg.doctor.bounded import measure_bound
from thalweg.doctor.checks import (
    LossFunction,
    check_outputs,
    check_pairs,
    compare_modes,
    stale_statistics,
)
from thalweg.doctor.ending import MOST_PARAMETERS, PRODUCTS, is_whole_batch, measure_ending
from thalweg.doctor.forks.origin import Origin
from thalweg.doctor.gauges.layers import LayerGauge
from thalweg.doctor.slopes import check_gradients
from thalweg.doctor.undisturbed import as_found, enter_modes, outputs_of
from thalweg.doctor.watched import BatchNoise, ModeLoss, Start, Watched
from thalweg.errors import TaskError
from thalweg.objective.nested import mapped, tensors_in

PROBE_ROWS = 1024
"""Rows that units are looked at on; 512 are the fewest that call a unit dead."""
MOST_PROBES = 8
PARTS, MOST_PIECES = 8, 48
FEWEST_STEPS = 50
MOST_RECURRENT = 1024
RECURRENT = (nn.RNNBase, nn.RNNCellBase)


def examine(
    watched: Watched,
    loss: LossFunction | None,
    start: Origin | None,
    failed: Callable[[str, Exception], None],
    budget: float = math.inf,
) -> None:
    """Look at the model as it is now: its units, its losses in both modes, its outputs, and, within a budget
    in gradient-equivalents, its curvature.

    Nothing is done without batches, or where the weights are not finite any more; then the place where
    numbers first were not finite is looked for, from the start.
    """
    if not watched.kept or loss is None:
        return
    batches = [batch for _, batch in watched.kept[-MOST_PROBES:]]
    if not _is_finite(watched.model):
        if start is not None:
            _find_nonfinite(watched, start)
        return
    looks: dict[str, Callable[[], None]] = {
        "units": lambda: _probe_units(watched, [batch for _, batch in watched.kept[::-1]]),
        "modes": lambda: _compare_modes(watched, loss, batches),
        "the start": lambda: _look_at_start(watched, start),
        "outputs": lambda: _check_outputs(watched, loss, batches),
        "pairs": lambda: _check_pairs(watched, loss, batches),
        "gradients": lambda: _check_gradients(watched, loss, batches),
        "noise": lambda: _measure_noise(watched, loss),
        "sharpness": lambda: _measure_sharpness(watched, loss, batches),
        "curvature": lambda: measure_ending(watched, loss, start, budget),
        "steps": lambda: _measure_bound(watched, loss, batches),
    }
    for name, look in looks.items():
        try:
            look()
        except Exception as error:  # each is told apart, and the others go on
            failed(f"the examination of {name}", error)


def _is_finite(model: nn.Module) -> bool:
    return all(bool(torch.isfinite(p.detach()).all()) for p in model.parameters())


def _probe_units(watched: Watched, batches: list[Any]) -> None:
    """Count silent units on some batches, with the gauge that does so in training."""
    own = Watched(watched.model, watched.optimizer)
    _gauged(own, watched, batches)
    for name, record in own.units.items():
        before = watched.units.get(name)
        if before is not None and len(before.silent) == len(record.silent):
            quiet = np.where(record.silent >= record.rows, record.silent + before.silent, 0)
            record.silent, record.rows = quiet, record.rows + before.rows
        watched.units[name] = record


def _gauged(
    own: Watched, watched: Watched, batches: list[Any], parameters: dict[str, Tensor] | None = None
) -> None:
    """Put down in `own` what the gauge of layers sees on some batches, by other weights if they are given."""
    failures: list[Exception] = []
    gauge = LayerGauge(own, lambda _, error: failures.append(error))
    rows = 0
    try:
        for inputs, _ in batches:
            gauge.attach()
            with as_found(watched.model), torch.enable_grad():
                enter_modes(watched.modules)
                outputs_of(watched.model, inputs, parameters)
            gauge.read(watched.steps)
            gauge.detach()
            rows += len(next(tensors_in(inputs)))
            if rows >= PROBE_ROWS:
                break
    finally:
        gauge.detach()
    if failures:
        raise failures[0]


def _compare_modes(watched: Watched, loss: LossFunction, batches: list[Any]) -> None:
    watched.modes.append(ModeLoss(watched.steps, *compare_modes(watched, loss, batches)))
    watched.stale = stale_statistics(watched, loss, batches)


def _look_at_start(watched: Watched, start: Origin | None) -> None:
    """Look at units and recurrent matrices as they were before the first step."""
    if start is None:
        return
    own = Watched(watched.model, watched.optimizer)
    parameters = {k: v for k, v in start.parameters.items() if not k.startswith("#")}
    own_names = dict(watched.model.named_parameters())  # buffers take no gradient
    trained = {
        k: v.clone().requires_grad_(v.is_floating_point()) if k in own_names else v
        for k, v in parameters.items()
    }
    _gauged(own, watched, [batch for _, batch in watched.kept], trained)
    radius, name = _radius(watched.model, parameters)
    watched.start = Start(own.units, radius, name)


def _radius(model: nn.Module, parameters: dict[str, Tensor]) -> tuple[float, str]:
    """Return the largest spectral radius of a plain recurrent matrix, and its name.

    Gates decide what an LSTM or a GRU carries on; of them the matrix alone says little.
    """
    found = [(math.nan, "")]
    for name, module in model.named_modules():
        if not isinstance(module, (nn.RNN, nn.RNNCell)):
            continue
        for own in (n for n, _ in module.named_parameters() if n.startswith("weight_hh")):
            whole = f"{name}.{own}" if name else own
            matrix = parameters[whole].double()
            if matrix.shape[0] == matrix.shape[1] <= MOST_RECURRENT:
                found.append((float(torch.linalg.eigvals(matrix).abs().max()), whole))
    return max(found[1:], default=found[0])


def _check_outputs(watched: Watched, loss: LossFunction, batches: list[Any]) -> None:
    watched.check = check_outputs(watched, loss, batches)


def _check_pairs(watched: Watched, loss: LossFunction, batches: list[Any]) -> None:
    watched.pairs = check_pairs(watched, loss, batches[-1])


def _check_gradients(watched: Watched, loss: LossFunction, batches: list[Any]) -> None:
    watched.gradient_errors = check_gradients(watched, loss, batches[-1])


def _measure_noise(watched: Watched, loss: LossFunction) -> None:
    """Measure the gradient noise scale on parts of batches, or on whole ones where they are small."""
    kept = [batch for _, batch in watched.kept]
    rows = len(next(tensors_in(kept[0])))
    part = max(rows // PARTS, 1)
    pieces: list[Any] = []
    for batch in kept:
        if any(len(t) != rows for t in tensors_in(batch)):
            continue
        pieces += [_cut(batch, i, i + part) for i in range(0, rows - part + 1, part)]
        if len(pieces) >= MOST_PIECES:
            break
    found = noise_scale(watched.model, loss, pieces[:MOST_PIECES], most=MOST_PIECES, training=False)
    watched.noise = BatchNoise(found.scale, rows)


def _measure_sharpness(watched: Watched, loss: LossFunction, batches: list[Any]) -> None:
    """Measure the largest curvature where every step is made on the same batch, if the edge is known."""
    size = sum(p.numel() for p in watched.model.parameters())
    if not is_whole_batch(watched) or size > MOST_PARAMETERS or watched.steps < FEWEST_STEPS:
        return
    try:
        edge = edge_of(watched.optimizer, watched.model)
    except TaskError:
        return  # an optimizer whose edge is not known
    matrix = hessian(watched.model, loss, batches[-1], training=False)
    watched.sharpness = sharpness(matrix, edge, tol=1e-2, most=PRODUCTS)
    watched.gradients += matrix.gradients


def _measure_bound(watched: Watched, loss: LossFunction, batches: list[Any]) -> None:
    """See whether steps are bounded where gradients are large in a model that repeats a matrix."""
    if any(isinstance(module, RECURRENT) for module in watched.model.modules()):
        measure_bound(watched, loss, batches[-1])


def _cut(batch: Any, begin: int, end: int) -> Any:
    return mapped(batch, lambda t: t[begin:end])


def _find_nonfinite(watched: Watched, start: Origin) -> None:
    """Find the first module that gives what is not finite, at the start of the run."""
    found = watched.not_finite
    if found is None:
        return
    names = {module: name or "the model" for name, module in watched.model.named_modules()}
    spoilt: list[str] = []

    def see(module: nn.Module, args: Any, output: Any) -> None:
        if not spoilt and any(not bool(torch.isfinite(t).all()) for t in tensors_in(output)):
            spoilt.append(names[module])

    handles = [module.register_forward_hook(see) for module in names]
    parameters = {k: v for k, v in start.parameters.items() if not k.startswith("#")}
    try:
        with as_found(watched.model), torch.no_grad():
            for step, (inputs, _) in watched.kept:
                if step <= found.step and not spoilt:
                    outputs_of(watched.model, inputs, parameters)
    finally:
        for handle in handles:
            handle.remove()
    if spoilt:
        found.where = spoilt[0]
