"""What the doctor says of a lab's own training, and whether that is what the lab means to show."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from thalweg.doctor.doctor import Doctor
from thalweg.doctor.report import Report
from thalweg.objective.losses import as_loss

_ALWAYS = 1e9
"""A budget of time that no look exceeds: the steps that are looked at must not depend on the clock."""
_FORKS = 1000.0
"""Gradient-equivalents of forks: enough for one remedy, within a second for models as small as most here."""

Agreement = Literal["as meant", "seen, and refuted by forks", "not seen", "other faults"]


@dataclass(frozen=True)
class Patient:
    """A training of a lab, by one optimizer on one batch a step, before it has begun.

    Args:
        run: which run of the lab it is.
        model: what is trained; `model(inputs)` are its outputs.
        optimizer: what trains it.
        loss: the name of a loss, or a function of outputs and targets.
        batches: (inputs, targets) of each step.
        meant: the symptoms of which one is what the lab shows; none where the run is meant to be healthy.
        forks: gradient-equivalents of forks; 0 for a model that takes too long.
    """

    run: str
    model: nn.Module
    optimizer: torch.optim.Optimizer
    loss: Any
    batches: Sequence[tuple[Tensor, Tensor]]
    meant: tuple[str, ...] = ()
    forks: float = _FORKS


@dataclass(frozen=True)
class Examination:
    """What the doctor says of one run."""

    run: str
    meant: tuple[str, ...]
    report: Report = field(repr=False)
    weights: Tensor = field(repr=False)
    """The parameters at the end, one after the other, to be compared with the lab's own."""

    @property
    def agreement(self) -> Agreement:
        """How the report compares with what the lab means to show."""
        if not self.meant:
            return "as meant" if self.report.healthy else "other faults"
        if any(verdict.symptom in self.meant for verdict in self.report.faults):
            return "as meant"
        if any(symptom in self.report for symptom in self.meant):
            return "seen, and refuted by forks"
        return "not seen"

    def summary(self) -> str:
        """Return what was meant and how the doctor agrees, in a line."""
        steps = f"{self.report.steps} step{'s' * (self.report.steps != 1)}"
        meant = " or ".join(self.meant) if self.meant else "a healthy run"
        return f"{self.run}, {steps}; meant: {meant}; the doctor: {self.agreement}"

    def lines(self) -> list[str]:
        """Return the verdicts, faults first, or that there is none."""
        found = [str(verdict) for verdict in self.report.verdicts]
        return ["No fault was found.", *found] if self.report.healthy else found

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values, without the seconds that watching took."""
        report = self.report.to_dict()
        return {
            "run": self.run,
            "meant": list(self.meant),
            "agreement": self.agreement,
            **{name: report[name] for name in ("healthy", "steps", "verdicts", "unwatched")},
        }


def examine(patient: Patient) -> Examination:
    """Train to the end, or until the loss is not finite, and return what the doctor says."""
    model, loss_of = patient.model, as_loss(patient.loss)
    doctor = Doctor(
        model,
        patient.optimizer,
        loss=patient.loss,
        budget=_ALWAYS,
        forks=patient.forks,
        planned=len(patient.batches),
    )
    with doctor:
        for inputs, targets in patient.batches:
            patient.optimizer.zero_grad()
            loss = loss_of(model(inputs), targets)
            if not bool(torch.isfinite(loss)):
                doctor.diverged((inputs, targets))
                break
            loss.backward()  # type: ignore[no-untyped-call]
            patient.optimizer.step()
            doctor.step(loss, batch=(inputs, targets))
    weights = torch.cat([each.detach().flatten() for each in model.parameters()])
    return Examination(patient.run, patient.meant, doctor.report(), weights)


class OfPoint(nn.Module):
    """A function of a point as a model: its parameter is the point, and each row of its output the value."""

    def __init__(self, fun: Callable[[Tensor], Tensor], start: Tensor) -> None:
        super().__init__()
        self.point, self._fun = nn.Parameter(start.clone()), fun

    def forward(self, rows: Tensor) -> Tensor:
        """Return the value for each row."""
        return self._fun(self.point).reshape(1, 1).expand(len(rows), 1)


NOTHING = (torch.zeros(1, 1, dtype=torch.float64), torch.zeros(1, 1, dtype=torch.float64))
"""The batch of a model that has no data."""


def value(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the mean of the outputs: the loss of a model whose output is what is minimized."""
    return outputs.mean()


def linear(start: Tensor) -> nn.Linear:
    """Return a linear model of one output without a bias, its weights as given."""
    model = nn.Linear(start.numel(), 1, bias=False, dtype=start.dtype)
    with torch.no_grad():
        model.weight.copy_(start.reshape(1, -1))
    return model
