"""The optimizers and rules that have cards."""

from __future__ import annotations

from collections.abc import Mapping

from thalweg import rules
from thalweg.engine import Rule
from thalweg.optim import (
    family,
    muon,
    torch_adafactor,
    torch_adam,
    torch_basic,
    torch_sparse,
)
from thalweg.optim.factory import Named
from thalweg.optim.kronecker.kfac import KFAC
from thalweg.optim.solvers import descents, lbfgs, levenberg
from thalweg.optim.solvers.base import SolverOptimizer
from thalweg.optim.stepping.stepper import Stepper
from thalweg.optim.twin import TorchTwin

OPTIMIZERS: Mapping[str, type[Stepper]] = {
    name: made
    for module in (family, muon, torch_adafactor, torch_adam, torch_basic, torch_sparse)
    for name, made in sorted(vars(module).items())
    if isinstance(made, type) and issubclass(made, (Named, TorchTwin)) and made is not TorchTwin
}
"""Every optimizer with a name that steps by a chain of rules."""

SOLVERS: Mapping[str, type[SolverOptimizer]] = {
    name: made
    for module in (descents, lbfgs, levenberg)
    for name, made in sorted(vars(module).items())
    if isinstance(made, type)
    and issubclass(made, SolverOptimizer)
    and made.__module__ == module.__name__
    and made is not descents.DescentOptimizer
}
"""Every optimizer over a solver."""

OF_MODELS: Mapping[str, type[KFAC]] = {"KFAC": KFAC}
"""Every optimizer that reads a model's layers."""

RULES: Mapping[str, Rule] = {name: getattr(rules, name) for name in rules.__all__}
"""Every rule."""
