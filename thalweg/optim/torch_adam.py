"""Adam and variants: twins of `torch.optim`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch

from thalweg.engine import Link, Rule
from thalweg.optim.stepping.checks import Group
from thalweg.optim.stepping.composition import Links, Spelling
from thalweg.optim.twin import TorchTwin
from thalweg.rules import (
    adam,
    adam_hat,
    adamax,
    amsgrad,
    amsgrad_hat,
    amsgrad_paper,
    amsgrad_unbiased,
    nadam,
    nadam_constant,
    radam,
)

_ADAM = {"torch": adam, "paper": adam, "keras": adam_hat, "optax": adam}
_AMSGRAD = {
    "torch": amsgrad,
    "paper": amsgrad_paper,
    "keras": amsgrad_hat,
    "optax": amsgrad_unbiased,
}
_ADAMAX_OUTSIDE = adamax(eps_outside=True)
_NADAM: dict[str, Link | Rule] = {
    "torch": nadam,
    "paper": nadam,
    "keras": nadam(momentum_decay=1.0),
    "optax": nadam_constant(ahead=True),
}

_BETAS: Spelling = {
    "beta1": lambda group: group["betas"][0],
    "beta2": lambda group: group["betas"][1],
}
_ADAM_STATES = {"m": "exp_avg", "v": "exp_avg_sq", "v_max": "max_exp_avg_sq"}


class Adam(TorchTwin, torch.optim.Adam):
    """Adam (Kingma and Ba 2015, algorithm 1): momentum over a scale for each coordinate.

        m ← β₁·m + (1 − β₁)·g;   v ← β₂·v + (1 − β₂)·g²
        p ← p − lr · m/(1 − β₁ᵗ) / (√(v/(1 − β₂ᵗ)) + ε)

    With `amsgrad` the largest v so far takes the place of v (Reddi, Kale and Kumar 2018).

        dialect="keras":           ε̂: p ← p − lr·√(1 − β₂ᵗ)/(1 − β₁ᵗ)·m/(√v + ε)
        amsgrad, dialect="torch":  the largest v, then its bias correction
                         "keras":  the same with ε̂
                         "optax":  the largest of the bias-corrected v
                         "paper":  the largest v, and no bias corrections

    Paper: Kingma and Ba 2015, "Adam: A Method for Stochastic Optimization", algorithm 1, arXiv:1412.6980.
    Defaults: the paper's: lr = 0.001, β₁ = 0.9, β₂ = 0.999, ε = 1e-8.
    Use: as the first choice where little is known; with weight decay take AdamW.
    Deviations: none. `weight_decay` is an L2 penalty, which the scale divides. Keras places ε before the bias
    correction (ε̂, the dialect "keras") and has 1e-7. `amsgrad` keeps Adam's bias corrections, which Reddi,
    Kale and Kumar 2018, arXiv:1904.09237, do not have (the dialect "paper"); Optax takes the largest of
    bias-corrected scales (the dialect "optax").
    """

    dialects = ("torch", "paper", "keras", "optax")
    refuses_sparse = "Adam does not support sparse gradients, please consider SparseAdam instead"
    spelling = _BETAS
    state_names = _ADAM_STATES

    def links(self, group: Group) -> Links:
        """Return Adam or AMSGrad."""
        return ((_AMSGRAD if group["amsgrad"] else _ADAM)[self.dialect],)


class AdamW(Adam, torch.optim.AdamW):
    """AdamW (Loshchilov and Hutter 2019, algorithm 2): Adam with decoupled weight decay.

        m ← β₁·m + (1 − β₁)·g;   v ← β₂·v + (1 − β₂)·g²
        p ← (1 − lr·λ)·p − lr · m/(1 − β₁ᵗ) / (√(v/(1 − β₂ᵗ)) + ε)

    Paper: Loshchilov and Hutter 2019, "Decoupled Weight Decay Regularization", algorithm 2, arXiv:1711.05101.
    Defaults: PyTorch's: λ = 0.01, the others Adam's.
    Use: as the first choice for transformers; λ is usually between 0.01 and 0.1.
    Deviations: the decay is lr·λ, as in PyTorch; the paper multiplies λ by the schedule alone, not by the
    learning rate: `decay="independent"`. The dialects are Adam's.
    """


class Adamax(TorchTwin, torch.optim.Adamax):
    """AdaMax (Kingma and Ba 2015, algorithm 2): Adam with the infinity norm.

        m ← β₁·m + (1 − β₁)·g;   u ← max(β₂·u, |g| + ε);   p ← p − lr/(1 − β₁ᵗ)·m/u

        dialect="keras":  u ← max(β₂·u, |g|);   p ← p − lr/(1 − β₁ᵗ)·m/(u + ε)

    Paper: Kingma and Ba 2015, "Adam: A Method for Stochastic Optimization", algorithm 2, arXiv:1412.6980.
    Defaults: the paper's: lr = 0.002, β₁ = 0.9, β₂ = 0.999; ε = 1e-8 is PyTorch's.
    Use: instead of Adam where single gradients are very large or rare, as in embeddings.
    Deviations: PyTorch adds ε to |g|, Keras to u; the paper has no ε.
    """

    dialects = ("torch", "keras")
    refuses_sparse = "Adamax does not support sparse gradients"
    spelling = _BETAS
    state_names: ClassVar[Mapping[str, str]] = {"m": "exp_avg", "u": "exp_inf"}

    def links(self, group: Group) -> Links:
        """Return AdaMax."""
        return (_ADAMAX_OUTSIDE if self.dialect == "keras" else adamax,)


class NAdam(TorchTwin, torch.optim.NAdam):
    """NAdam (Dozat 2016): Adam with Nesterov momentum.

        μₜ = β₁·(1 − ½·0.96^(t·momentum_decay))
        m ← β₁·m + (1 − β₁)·g;   v ← β₂·v + (1 − β₂)·g²
        p ← p − lr · (μₜ₊₁·m/(1 − Π₁ᵗ⁺¹μ) + (1 − μₜ)·g/(1 − Π₁ᵗμ)) / (√(v/(1 − β₂ᵗ)) + ε)

        dialect="torch", "paper":  μₜ as above
        dialect="keras":           μₜ = β₁·(1 − ½·0.96ᵗ)
        dialect="optax":           μₜ = β₁

    Paper: Dozat 2016, "Incorporating Nesterov Momentum into Adam", ICLR 2016 workshop, algorithm 2.
    Defaults: PyTorch's: lr = 0.002, β₁ = 0.9, β₂ = 0.999, momentum_decay = 0.004.
    Use: instead of Adam; the look-ahead helps where Nesterov's momentum helps SGD.
    Deviations: libraries differ in the schedule of μ, and each is a dialect: PyTorch 0.96^(0.004·t), Keras
    0.96ᵗ, Optax a constant.
    """

    dialects = ("torch", "paper", "keras", "optax")
    refuses_sparse = "NAdam does not support sparse gradients"
    spelling = _BETAS
    state_names = _ADAM_STATES

    def links(self, group: Group) -> Links:
        """Return NAdam."""
        return (_NADAM[self.dialect],)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a copy or a checkpoint."""
        # PyTorch's own asks every state for its product of momenta, which a constant momentum has not
        without = [
            kept
            for kept in state["state"].values()
            if isinstance(kept, dict) and "step" in kept and "mu_product" not in kept
        ]
        for kept in without:
            kept["mu_product"] = torch.ones((), device="cpu")
        super().__setstate__(state)
        for kept in without:
            del kept["mu_product"]


class RAdam(TorchTwin, torch.optim.RAdam):
    """RAdam (Liu et al. 2020): Adam that starts as momentum, until its scale can be trusted.

        m ← β₁·m + (1 − β₁)·g;   v ← β₂·v + (1 − β₂)·g²;   m̂ = m/(1 − β₁ᵗ)
        ρ∞ = 2/(1 − β₂) − 1,   ρₜ = ρ∞ − 2t·β₂ᵗ/(1 − β₂ᵗ)
        rₜ = √((ρₜ − 4)(ρₜ − 2)ρ∞ / ((ρ∞ − 4)(ρ∞ − 2)ρₜ))
        p ← p − lr·rₜ·m̂·√(1 − β₂ᵗ)/(√v + ε)  where ρₜ > 5,  otherwise p − lr·m̂

    Paper: Liu et al. 2020, "On the Variance of the Adaptive Learning Rate and Beyond", algorithm 2,
    arXiv:1908.03265.
    Defaults: PyTorch's, which are Adam's.
    Use: instead of Adam with a warm-up of the learning rate; a warm-up does about the same.
    Deviations: the scale is used from ρₜ > 5, as in PyTorch; the paper has ρₜ > 4.
    """

    refuses_sparse = "RAdam does not support sparse gradients"
    spelling = _BETAS
    state_names = _ADAM_STATES

    def links(self, group: Group) -> Links:
        """Return RAdam."""
        return (radam,)
