"""Random losses with targets for them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

CLASSES, POSITIONS = 3, 2
MODULES: dict[str, type[nn.Module]] = {
    "cross_entropy": nn.CrossEntropyLoss,
    "mse_loss": nn.MSELoss,
    "l1_loss": nn.L1Loss,
    "binary_cross_entropy_with_logits": nn.BCEWithLogitsLoss,
}


@dataclass(frozen=True)
class Case:
    """A loss of PyTorch with its settings, the way in which it is given, and what targets it gets."""

    name: str
    targets: str
    settings: dict[str, Any]
    form: str

    @property
    def function(self) -> Callable[[Tensor, Tensor], Tensor]:
        return functools.partial(getattr(functional, self.name), **self.settings)

    @property
    def sums(self) -> bool:
        return self.settings.get("reduction") == "sum"

    @property
    def given(self) -> Any:
        """Return the loss as `Cost` gets it."""
        if self.form == "module":
            return MODULES[self.name](**self.settings).double()
        if self.form == "function":
            call = self.function
            return lambda outputs, targets: call(outputs, targets)
        return self.function


@st.composite
def cases(draw: st.DrawFn) -> Case:
    name = draw(st.sampled_from(["cross_entropy", "cross_entropy", *MODULES]))
    targets, settings = "numbers", {}
    if name == "cross_entropy":
        targets = draw(st.sampled_from(["classes", "classes", "positions", "probabilities"]))
        weight = draw(st.sampled_from([None, [1.0, 2.0, 0.25], [0.0, 3.0, 1.0]]))
        if weight:
            settings["weight"] = torch.tensor(weight, dtype=torch.float64)
        # rows of a class without weight are smoothed too: alone in a batch they are refused
        if draw(st.booleans()) and not (weight and 0.0 in weight):
            settings["label_smoothing"] = 0.1
        if targets != "probabilities":
            settings |= draw(st.sampled_from([{}, {"ignore_index": 2}, {"ignore_index": -1}]))
    if name == "binary_cross_entropy_with_logits":
        targets = "shares"
        if draw(st.booleans()):
            settings["pos_weight"] = torch.tensor([3.0, 1.0, 0.5], dtype=torch.float64)
    if draw(st.integers(0, 3)) == 0:
        settings["reduction"] = "sum"
    return Case(name, targets, settings, draw(st.sampled_from(["module", "partial", "function"])))


def targets_of(case: Case, rows: int, ignored: set[int], noise: torch.Generator) -> Tensor:
    """Return targets, of which those of some rows are ignored, where the loss ignores any."""
    if case.targets == "numbers":
        return torch.randn(rows, CLASSES, generator=noise, dtype=torch.float64)
    if case.targets == "shares":
        return torch.rand(rows, CLASSES, generator=noise, dtype=torch.float64)
    if case.targets == "probabilities":
        return torch.randn(rows, CLASSES, generator=noise, dtype=torch.float64).softmax(1)
    shape = (rows, POSITIONS) if case.targets == "positions" else (rows,)
    classes = torch.randint(0, CLASSES, shape, generator=noise)
    if "ignore_index" in case.settings and ignored:
        classes[sorted(ignored)] = case.settings["ignore_index"]
    return classes


def divisor(case: Case, targets: Tensor) -> float:
    """Return what PyTorch divides the mean of these targets by; 1 for a sum."""
    if case.sums:
        return 1.0
    if case.targets in ("classes", "positions"):
        weight = case.settings.get("weight", torch.ones(CLASSES, dtype=torch.float64))
        kept = targets[targets != case.settings.get("ignore_index", -100)]
        return float(weight[kept].sum())
    return float(len(targets))
