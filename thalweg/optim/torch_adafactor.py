"""Adafactor: the twin of `torch.optim.Adafactor`."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from thalweg.engine import Link
from thalweg.optim.stepping.checks import Group
from thalweg.optim.stepping.composition import Composition, Links, Spelling
from thalweg.optim.twin import TorchTwin
from thalweg.rules import adafactor, adafactor_vector, average_steps

_SWITCHES: Mapping[str, Mapping[str, bool]] = {
    "torch": {},
    "paper": {"eps_inside": True},
    "optax": {"eps_inside": True, "constant": True},
}
_SMALLEST = 1e-30
"""ε₁ in the paper, and in Optax."""


@functools.cache
def _link(dialect: str, is_matrix: bool, precision: str) -> Link:
    made = adafactor if is_matrix else adafactor_vector
    return made(precision=precision, **_SWITCHES[dialect])


class Adafactor(TorchTwin, torch.optim.Adafactor):
    """Adafactor (Shazeer and Stern 2018): Adam's scale from a number for each row and each column.

        r ← β̂₂·r + (1 − β̂₂)·mean of g² over each row;   c the same over each column;   β̂₂ = 1 − t^τ
        v = r·c / max(mean(r), ε₁);   u = g / max(√v, ε₁);   u ← u / max(1, RMS(u)/d)
        p ← p − max(ε₂, RMS(p)) · min(lr, 1/√t) · u

        dialect="paper":  ε₁ is added to g² alone;  ε₁ = 1e-30
        dialect="optax":  ε₁ as in the paper, and lr instead of min(lr, 1/√t)

    Vectors keep a full v. With `beta1` the steps are averaged: m ← β₁·m + (1 − β₁)·step, p ← p − m.

    Paper: Shazeer and Stern 2018, "Adafactor: Adaptive Learning Rates with Sublinear Memory Cost",
    algorithms 4 to 6, arXiv:1804.04235.
    Defaults: PyTorch's: lr = 0.01, τ = −0.8, ε₂ = 1e-3, d = 1, no momentum, as the paper's; ε₁ is the
    precision of the parameter's dtype.
    Use: where Adam's memory is too much: m + n numbers of state for a matrix of m·n; `beta1` adds m·n.
    Deviations: lr bounds a rate that is relative to the size of the parameter. ε₁ = None is taken for each
    parameter; PyTorch takes that of the first parameter's dtype for all of a group. More than two dimensions
    are a batch of matrices in the last two, as in PyTorch; Optax takes the two largest, and factors none
    below 128. Its weight decay is not times lr: `decay="independent"`.
    """

    dialects = ("torch", "paper", "optax")
    own_decay = "decoupled"
    extra: ClassVar[Mapping[str, float]] = {"beta1": 0.0}
    refuses_sparse = "Adafactor does not support sparse gradients"
    spelling: ClassVar[Spelling] = {
        "eps1": lambda group: _SMALLEST if group["eps"][0] is None else group["eps"][0],
        "eps2": lambda group: group["eps"][1],
    }
    state_names: ClassVar[Mapping[str, str]] = {
        "r": "row_var",
        "c": "col_var",
        "v": "variance",
        "m": "exp_avg",
    }

    def links(self, group: Group) -> Links:
        """Return Adafactor of a float32 matrix; each parameter has a form of its own."""
        return self._links(group, True, "float32")

    def form(self, group: Group, p: Tensor) -> Composition:
        """Return the chain of a parameter: of a matrix or a vector, and of its dtype."""
        if p.is_complex():
            raise RuntimeError("Adafactor does not support complex parameters.")
        return self._composed(
            group, self._links(group, p.ndim > 1, str(p.dtype).removeprefix("torch."))
        )

    def _links(self, group: Group, is_matrix: bool, dtype: str) -> Links:
        asks = group["eps"][0] is None and self.dialect == "torch"
        step = _link(self.dialect, is_matrix, dtype if asks else "")
        return (step, average_steps) if group["beta1"] else (step,)
