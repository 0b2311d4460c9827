"""Adam and its kin: twins of `torch.optim`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch

from thalweg.optim.composition import Group, Links, Spelling
from thalweg.optim.twin import TorchTwin
from thalweg.rules import adam, adamax, amsgrad, nadam, radam

_BETAS: Spelling = {
    "beta1": lambda group: group["betas"][0],
    "beta2": lambda group: group["betas"][1],
}
_ADAM_STATES = {"m": "exp_avg", "v": "exp_avg_sq", "v_max": "max_exp_avg_sq"}


class Adam(TorchTwin, torch.optim.Adam):
    """Adam (Kingma and Ba 2015, algorithm 1): momentum over a scale for each coordinate.

        m ← β₁·m + (1 − β₁)·g;   v ← β₂·v + (1 − β₂)·g²
        p ← p − lr · m/(1 − β₁ᵗ) / (√(v/(1 − β₂ᵗ)) + ε)

    The paper's form and PyTorch's are the same. With `amsgrad` the largest v so far takes the place of v
    (Reddi, Kale and Kumar 2018).
    """

    dialects = ("torch", "paper")
    refuses_sparse = "Adam does not support sparse gradients, please consider SparseAdam instead"
    spelling = _BETAS
    state_names = _ADAM_STATES

    def links(self, group: Group) -> Links:
        """Return Adam or AMSGrad."""
        return (amsgrad if group["amsgrad"] else adam,)


class AdamW(Adam, torch.optim.AdamW):
    """AdamW (Loshchilov and Hutter 2019, algorithm 2): Adam with decoupled weight decay.

    p ← (1 − lr·λ)·p − lr · m/(1 − β₁ᵗ) / (√(v/(1 − β₂ᵗ)) + ε)
    """


class Adamax(TorchTwin, torch.optim.Adamax):
    """AdaMax (Kingma and Ba 2015, algorithm 2): Adam with the infinity norm.

    m ← β₁·m + (1 − β₁)·g;   u ← max(β₂·u, |g| + ε);   p ← p − lr/(1 − β₁ᵗ)·m/u
    """

    refuses_sparse = "Adamax does not support sparse gradients"
    spelling = _BETAS
    state_names: ClassVar[Mapping[str, str]] = {"m": "exp_avg", "u": "exp_inf"}

    def links(self, group: Group) -> Links:
        """Return AdaMax."""
        return (adamax,)


class NAdam(TorchTwin, torch.optim.NAdam):
    """NAdam (Dozat 2016): Adam with Nesterov momentum.

        μₜ = β₁·(1 − ½·0.96^(t·momentum_decay))
        p ← p − lr · (μₜ₊₁·m/(1 − Π₁ᵗ⁺¹μ) + (1 − μₜ)·g/(1 − Π₁ᵗμ)) / (√(v/(1 − β₂ᵗ)) + ε)

    The schedule of μ is PyTorch's: Keras uses 0.96ᵗ, Optax a constant.
    """

    refuses_sparse = "NAdam does not support sparse gradients"
    spelling = _BETAS
    state_names = _ADAM_STATES

    def links(self, group: Group) -> Links:
        """Return NAdam."""
        return (nadam,)


class RAdam(TorchTwin, torch.optim.RAdam):
    """RAdam (Liu et al. 2020): Adam that starts as momentum, until its scale can be trusted.

        p ← p − lr·rₜ·m̂·√(1 − β₂ᵗ)/(√v + ε)  where ρₜ > 5,  otherwise p − lr·m̂

    ρₜ and rₜ as in `thalweg.rules.radam`.
    """

    refuses_sparse = "RAdam does not support sparse gradients"
    spelling = _BETAS
    state_names = _ADAM_STATES

    def links(self, group: Group) -> Links:
        """Return RAdam."""
        return (radam,)
