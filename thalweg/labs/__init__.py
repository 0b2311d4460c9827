"""Labs: phenomena of optimization to be seen, each measured and compared with theory.

thalweg.labs.run("lasso") runs one; `thalweg lab` does from a terminal.
"""

from __future__ import annotations

from typing import Any

from thalweg.errors import TaskError, suggest
from thalweg.labs import (
    batch_normalization,
    continuation,
    coordinate_descent,
    easy_models,
    ill_conditioning,
    lasso,
    linear_regression,
    many_layers,
    pca,
    saddle,
    sparse_coding,
)
from thalweg.labs.challenges import (
    cliffs,
    identifiability,
    inexact_gradients,
    limits,
    local_structure,
    long_products,
)
from thalweg.labs.lab import Finding, Lab, LabResult, SliderSweep, Theory
from thalweg.labs.learning import (
    empirical_risk,
    gradient_noise,
    maximum_likelihood,
    shuffling,
    streaming,
    surrogate_loss,
)
from thalweg.labs.page import write_lab_page
from thalweg.labs.slider import Slider
from thalweg.labs.sweep import sweep
from thalweg.labs.watching import Examination, Patient

__all__ = [
    "LABS",
    "Examination",
    "Finding",
    "Lab",
    "LabResult",
    "Patient",
    "Slider",
    "SliderSweep",
    "Theory",
    "find",
    "run",
    "sweep",
    "write_lab_page",
]

LABS: dict[str, Lab[Any, Any]] = {
    lab.name: lab
    for lab in (
        linear_regression.LAB,
        ill_conditioning.LAB,
        saddle.LAB,
        coordinate_descent.LAB,
        lasso.LAB,
        sparse_coding.LAB,
        many_layers.LAB,
        pca.LAB,
        batch_normalization.LAB,
        easy_models.LAB,
        continuation.LAB,
        maximum_likelihood.LAB,
        empirical_risk.LAB,
        surrogate_loss.LAB,
        gradient_noise.LAB,
        shuffling.LAB,
        streaming.LAB,
        identifiability.LAB,
        cliffs.LAB,
        long_products.LAB,
        inexact_gradients.LAB,
        local_structure.LAB,
        limits.LAB,
    )
}
"""Every lab by name."""


def find(name: str) -> Lab[Any, Any]:
    """Return the lab of a name.

    Raises:
        TaskError: if there is none.
    """
    wanted = name.strip().lower().replace("_", "-")
    if wanted not in LABS:
        raise TaskError(
            f"There is no lab {name!r}.{suggest(wanted, LABS)} There are: {', '.join(LABS)}."
        )
    return LABS[wanted]


def run(name: str, *, slider: float | None = None, **settings: Any) -> LabResult:
    """Run a lab, with other settings than the usual ones where given, and return what it found.

    `slider` is where the lab's one slider stands. The doctor watches when `examinations` is asked for.

    Raises:
        TaskError: there is no such lab or setting, or a setting cannot have the value.
        MissingExtraError: a lab compares with a package that is not installed.

    >>> result = run("coordinate-descent", alphas=(1.0,), sweeps=4)
    >>> result.holds, [finding.name for finding in result.findings]
    (True, ['α = 1: x a sweep', 'α = 1: objective a sweep'])
    """
    return find(name).run(settings, slider=slider)
