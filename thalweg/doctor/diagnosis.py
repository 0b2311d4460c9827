"""The doctor as a callback of `fit`: it knows the batches and the cost, so that it may try remedies."""

from __future__ import annotations

import os

from thalweg.doctor.doctor import Doctor
from thalweg.doctor.report import Report
from thalweg.doctor.symptoms.symptom import Symptom
from thalweg.train.callbacks import Callback, Training
from thalweg.train.folder.gauges import write_gauges
from thalweg.train.history import Evaluation


class Diagnosis(Callback):
    """Watches a run of `fit`, and has its `report` when the run is over; the run stays bitwise the same.

    Args:
        budget: the time of watching as a share of that of training.
        forks: gradient-equivalents that forks may cost; 0 for none. They are not counted as training.
        symptoms: what is looked for; None for all that are known.
        folder: where the gauges are written at the end, that of the run; None for nowhere.

    >>> from thalweg import fit, load_task
    >>> diagnosis = Diagnosis(forks=0)
    >>> run = fit(
    ...     load_task("digits"), "adam", lr=0.01, epochs=1, callbacks=[diagnosis], progress=False
    ... )
    >>> diagnosis.report.healthy
    True
    """

    def __init__(
        self,
        *,
        budget: float = 0.05,
        forks: float = 5000.0,
        symptoms: tuple[Symptom, ...] | None = None,
        folder: str | os.PathLike[str] | None = None,
    ) -> None:
        self.budget, self.forks, self.symptoms = budget, forks, symptoms
        self.folder = folder
        self.doctor: Doctor | None = None
        self.report = Report()

    def start(self, training: Training) -> None:
        """Begin to watch."""
        if self.doctor is not None:
            self.doctor.close()
        self.doctor = Doctor(
            training.model,
            training.optimizer,
            budget=self.budget,
            loss=training.task.cost,
            forks=self.forks,
            planned=_planned(training),
            symptoms=self.symptoms,
        )
        self.doctor.clip_norm = getattr(training.recipe, "clip_norm", None)

    def step(self, training: Training, loss: float) -> None:
        """See one step."""
        if self.doctor is not None:
            self.doctor.step(loss, batch=training.batch)

    def evaluation(self, training: Training, evaluation: Evaluation) -> None:
        """See the loss of the validation set."""
        if self.doctor is not None:
            self.doctor.validated(evaluation.scores.loss)

    def end(self, training: Training) -> None:
        """Try remedies for what is suspected, and keep the report."""
        if self.doctor is None:
            return
        if training.stopped == "diverged":
            self.doctor.diverged(training.batch)
        self.doctor.close()
        self.report = self.doctor.report()
        if self.folder is not None:
            write_gauges(self.folder, self.doctor.gauges)


def _planned(training: Training) -> int | None:
    """Return how many steps the run will have, where that is known."""
    rows, size = training.task.data.train.rows, getattr(training.recipe, "batch_size", None)
    if rows is None:
        return None
    return training.epochs * (1 if size is None else -(-rows // int(size)))
