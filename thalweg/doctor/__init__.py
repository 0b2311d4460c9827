"""The doctor: it watches a training, says what is wrong, and proves it by trying the remedy.

    doctor = Doctor(model, optimizer, loss="cross_entropy")
    …                                       # in the loop, after optimizer.step():
    doctor.step(loss, batch=(x, y))
    print(doctor.report())

A symptom has a cheap trigger; forks of the run, with and without its remedy on the same batches, make a
fault of it or refute it.
"""

from thalweg.doctor.before.recipe import check
from thalweg.doctor.consulting.consultation import Consultation, Treatment, consult
from thalweg.doctor.diagnosis import Diagnosis
from thalweg.doctor.doctor import Doctor
from thalweg.doctor.recorder import RecordGauges
from thalweg.doctor.report import Report, WatchingCost
from thalweg.doctor.symptoms.symptom import Symptom
from thalweg.doctor.verdict import Effect, Remedy, Statistic, Verdict

__all__ = [
    "Consultation",
    "Diagnosis",
    "Doctor",
    "Effect",
    "RecordGauges",
    "Remedy",
    "Report",
    "Statistic",
    "Symptom",
    "Treatment",
    "Verdict",
    "WatchingCost",
    "check",
    "consult",
]
