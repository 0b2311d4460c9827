"""Records gauges of a run at a fixed cadence, for movies and graphs: norms of gradient, update and weight."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import torch

from thalweg.doctor.gauges.updates import UpdateGauge
from thalweg.doctor.recorded import BY_PARAMETER, gauges_of
from thalweg.doctor.watched import Watched
from thalweg.errors import CheckpointError, LogWarning, sentence
from thalweg.train.callbacks import Callback, Training
from thalweg.train.folder.gauges import Gauges, read_gauges, write_gauges
from thalweg.whole import whole_number

_BY_SAMPLE = ("steps", "lr", "step_loss", *BY_PARAMETER)


class RecordGauges(Callback):
    """Writes `gauges.safetensors` into the folder of a run: root mean squares by parameter and step.

    The run stays bitwise the same. Of more than 256 samples every second is dropped, and of those to
    come only every second kept.

    Args:
        folder: that of the run.
        every: the first step and each `every`-th are looked at.

    Raises:
        TaskError: `every` is not an integer ≥ 1.

    >>> import tempfile
    >>> from thalweg import fit, load_task
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     record = RecordGauges(folder, every=5)
    ...     run = fit(load_task("digits"), "adam", epochs=1, callbacks=[record], progress=False)
    ...     read_gauges(folder).arrays["steps"].tolist()
    [1, 5, 10]
    """

    def __init__(self, folder: str | os.PathLike[str], every: int = 10) -> None:
        self.folder, self.every = Path(folder), whole_number("every", every)
        self._watched: Watched | None = None
        self._gauge: UpdateGauge | None = None
        self._before: Gauges | None = None
        self._losses: dict[int, float] = {}

    def start(self, training: Training) -> None:
        """Begin; a run that is resumed goes on with the samples up to there."""
        self._watched = Watched(training.model, training.optimizer)
        self._gauge = UpdateGauge(self._watched, self._failed)
        self._before, self._losses = None, {}
        if training.step:
            try:
                self._before = _until(read_gauges(self.folder), training.step)
            except CheckpointError:
                self._before = None  # killed before they were written: they begin here
        self._prepare(training.step + 1)

    def step(self, training: Training, loss: float) -> None:
        """Read the gauge after a step that is looked at."""
        if self._watched is None or self._gauge is None:
            return
        self._watched.losses.add(loss)
        if training.optimizer is not self._watched.optimizer:
            self._follow(training)
        if self._is_due(training.step):
            try:
                if self._gauge.read(training.step):
                    self._losses[training.step] = loss
            except Exception as error:  # training goes on, whatever it is
                self._failed("gauges", error)
            if self._gauge is not None:
                self._gauge.detach()
        self._prepare(training.step + 1)

    def end(self, training: Training) -> None:
        """Write the file."""
        if self._gauge is not None:
            self._gauge.detach()
        if self._watched is None:
            return
        found = gauges_of(self._watched)
        losses = [self._losses[int(step)] for step in found.arrays["steps"].tolist()]
        arrays = {**found.arrays, "step_loss": torch.tensor(losses, dtype=torch.float64)}
        before = self._before
        if before is not None and tuple(before.parameters) == tuple(found.parameters):
            for name in _BY_SAMPLE:
                arrays[name] = torch.cat([before.arrays[name], arrays[name]])
        write_gauges(self.folder, Gauges(arrays, found.parameters, found.layers))

    def _follow(self, training: Training) -> None:
        """Watch the model and the optimizer of the next stage of a strategy."""
        if self._watched is not None and self._gauge is not None:
            self._gauge.detach()
            self._watched.model, self._watched.optimizer = training.model, training.optimizer

    def _is_due(self, step: int) -> bool:
        return step == 1 or step % self.every == 0

    def _prepare(self, step: int) -> None:
        if self._gauge is not None and self._is_due(step):
            self._gauge.attach()

    def _failed(self, name: str, error: Exception) -> None:
        """Leave the gauge out from now on: the run must not end by it."""
        if self._gauge is not None:
            self._gauge.detach()
            self._gauge = None
        warnings.warn(
            f"Gauges are not recorded any more: {type(error).__name__}: {sentence(error)} Training goes on.",
            LogWarning,
            stacklevel=2,
        )


def _until(gauges: Gauges, step: int) -> Gauges | None:
    """Return the samples up to a step; None where the file has no losses by sample."""
    if not set(_BY_SAMPLE) <= set(gauges.arrays):
        return None
    count = int((gauges.arrays["steps"] <= step).sum())
    arrays = {name: gauges.arrays[name][:count] for name in _BY_SAMPLE}
    return Gauges(arrays, gauges.parameters, gauges.layers)
