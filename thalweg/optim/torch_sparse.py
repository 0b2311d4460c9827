"""Adam on the rows that have a gradient: the twin of `torch.optim.SparseAdam`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import nn

from thalweg.engine.backend import Backend
from thalweg.engine.eager.gathered import GatheredRows
from thalweg.optim.stepping.checks import Group
from thalweg.optim.stepping.composition import Links, Spelling
from thalweg.optim.twin import TorchTwin
from thalweg.rules import adam_hat

_ROWS = (GatheredRows(),)
_EXAMPLE = """
>>> import torch
>>> from thalweg import optim
>>> model = torch.nn.Embedding(1000, 4, sparse=True)
>>> optimizer = optim.{name}(model, lr=0.1)
>>> model(torch.tensor([3, 5])).sum().backward()
>>> optimizer.step()
"""


class SparseAdam(TorchTwin, torch.optim.SparseAdam):
    """Adam (Kingma and Ba 2015) on the rows that a sparse gradient has; the others stay as they are.

        m ← β₁·m + (1 − β₁)·g;   v ← β₂·v + (1 − β₂)·g²                in these rows
        p ← p − lr·√(1 − β₂ᵗ)/(1 − β₁ᵗ) · m/(√v + ε)                   in these rows

    Paper: Kingma and Ba 2015, "Adam: A Method for Stochastic Optimization", end of section 2,
    arXiv:1412.6980; the restriction to rows is PyTorch's.
    Defaults: PyTorch's, which are Adam's.
    Use: for large embeddings with `sparse=True`, where a batch meets few of the rows: a step costs what they
    cost. Averages of a row that is rarely met are old, and t counts all steps, so it is not Adam; of dense
    gradients take Adam.
    Deviations: none from PyTorch. Compared with Adam, ε is added before the bias correction (ε̂ in the
    paper), and rows without a gradient neither move nor forget. Gradients of a row that come twice are added
    up first.
    """

    example = _EXAMPLE
    spelling: ClassVar[Spelling] = {
        "beta1": lambda group: group["betas"][0],
        "beta2": lambda group: group["betas"][1],
    }
    state_names: ClassVar[Mapping[str, str]] = {"m": "exp_avg", "v": "exp_avg_sq"}

    def __init__(self, params: nn.Module | Iterable[Any], *args: Any, **kwargs: Any) -> None:
        engine = kwargs.get("engine", "auto")
        if engine not in ("auto", "eager"):
            raise ValueError(
                "SparseAdam gathers rows by PyTorch's calls, so engine must be 'auto' or 'eager', got "
                f"{engine!r}."
            )
        super().__init__(params, *args, **kwargs)

    def links(self, group: Group) -> Links:
        """Return Adam with ε before the bias correction."""
        return (adam_hat,)

    def _backends(self) -> Sequence[Backend]:
        return _ROWS

    def _make_plan(self) -> Any:
        for group in self.param_groups:
            if any(p.grad is not None and not p.grad.is_sparse for p in group["params"]):
                raise RuntimeError(
                    "SparseAdam does not support dense gradients, please consider Adam instead."
                )
        return super()._make_plan()
