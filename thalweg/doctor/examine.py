"""Examinations that are made once, at the report: on the kept batches, and on the run's start."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from thalweg.curvature import noise_scale
from thalweg.doctor.checks import LossFunction, check_gradients, check_outputs, compare_modes
from thalweg.doctor.gauges.layers import LayerGauge
from thalweg.doctor.origin import Origin
from thalweg.doctor.undisturbed import enter_modes, outputs_of, undisturbed
from thalweg.doctor.watched import BatchNoise, ModeLoss, Watched
from thalweg.objective.nested import mapped, tensors_in

PROBE_ROWS = 1024
"""Rows that units are looked at on; 512 are the fewest that call a unit dead."""
MOST_PROBES = 8
PARTS, MOST_PIECES = 8, 48


def examine(
    watched: Watched,
    loss: LossFunction | None,
    start: Origin | None,
    failed: Callable[[str, Exception], None],
) -> None:
    """Look at the model as it is now: its units, its losses in both modes, its outputs.

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
    for name, look in (
        ("units", lambda: _probe_units(watched, batches)),
        ("modes", lambda: _compare_modes(watched, loss, batches)),
        ("outputs", lambda: _check_outputs(watched, loss, batches)),
        ("gradients", lambda: _check_gradients(watched, loss, batches)),
        ("noise", lambda: _measure_noise(watched, loss)),
    ):
        try:
            look()
        except Exception as error:  # each is told apart, and the others go on
            failed(f"the examination of {name}", error)


def _is_finite(model: nn.Module) -> bool:
    return all(bool(torch.isfinite(p.detach()).all()) for p in model.parameters())


def _probe_units(watched: Watched, batches: list[Any]) -> None:
    """Count silent units on some batches, with the gauge that does so in training."""
    own = Watched(watched.model, watched.optimizer)
    failures: list[Exception] = []
    gauge = LayerGauge(own, lambda _, error: failures.append(error))
    rows = 0
    try:
        for inputs, _ in batches:
            gauge.attach()
            with undisturbed(watched.model), torch.enable_grad():
                enter_modes(watched.modules)
                outputs_of(watched.model, inputs)
            gauge.read(watched.steps)
            gauge.detach()
            rows += len(next(tensors_in(inputs)))
            if rows >= PROBE_ROWS:
                break
    finally:
        gauge.detach()
    for name, record in own.units.items():
        before = watched.units.get(name)
        if before is not None and len(before.silent) == len(record.silent):
            quiet = np.where(record.silent >= record.rows, record.silent + before.silent, 0)
            record.silent, record.rows = quiet, record.rows + before.rows
        watched.units[name] = record
    if failures:
        raise failures[0]


def _compare_modes(watched: Watched, loss: LossFunction, batches: list[Any]) -> None:
    watched.modes.append(ModeLoss(watched.steps, *compare_modes(watched, loss, batches)))


def _check_outputs(watched: Watched, loss: LossFunction, batches: list[Any]) -> None:
    watched.check = check_outputs(watched, loss, batches)


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
        pieces += [
            mapped(batch, lambda t, i=i: t[i : i + part]) for i in range(0, rows - part + 1, part)
        ]
        if len(pieces) >= MOST_PIECES:
            break
    found = noise_scale(watched.model, loss, pieces[:MOST_PIECES], most=MOST_PIECES, training=False)
    watched.noise = BatchNoise(found.scale, rows)


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
        with undisturbed(watched.model), torch.no_grad():
            for step, (inputs, _) in watched.kept:
                if step <= found.step and not spoilt:
                    outputs_of(watched.model, inputs, parameters)
    finally:
        for handle in handles:
            handle.remove()
    if spoilt:
        found.where = spoilt[0]
