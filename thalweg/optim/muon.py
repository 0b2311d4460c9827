"""Muon under PyTorch's name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from thalweg.engine import Link, Rule
from thalweg.optim.routing.of_matrices import OfMatrices
from thalweg.optim.routing.of_model import Rest
from thalweg.optim.stepping.checks import Group
from thalweg.optim.stepping.composition import Links, Spelling
from thalweg.optim.twin import TorchTwin
from thalweg.rules import adam, adam_hat, muon, muon_heavy_ball, muon_unbiased, nadam_constant

_TORCHS: Any = getattr(torch.optim, "Muon", torch.optim.Optimizer)
"""PyTorch's class; versions before 2.9 have none."""

_MOST_STEPS = 100

_RULES: Mapping[str, tuple[Link, Rule]] = {
    "torch": (muon(adjust="original"), muon),
    "keras": (muon_heavy_ball(adjust="match_rms_adamw"), muon_heavy_ball),
    "optax": (muon_unbiased(adjust="wide"), muon_unbiased),
}
"""The rule of each dialect: with its own scale, and with that of `adjust_lr_fn`."""

_DEFAULTS: Mapping[str, Mapping[str, float]] = {
    "keras": {"weight_decay": 0.004},
    "optax": {"weight_decay": 0.0, "eps": 1e-8},
}
"""Defaults of a dialect that are not PyTorch's."""


class MuonArguments(_TORCHS):  # type: ignore[misc]
    """The constructor of `torch.optim.Muon`: its signature, defaults and checks, for tensors of any rank."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = (3.4445, -4.7750, 2.0315),
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
    ) -> None:
        _check(lr, weight_decay, momentum, ns_coefficients, ns_steps, adjust_lr_fn)
        defaults = {
            "lr": lr,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "nesterov": nesterov,
            "ns_coefficients": ns_coefficients,
            "eps": eps,
            "ns_steps": ns_steps,
            "adjust_lr_fn": adjust_lr_fn,
        }
        # PyTorch's own constructor refuses tensors of more than two dimensions
        torch.optim.Optimizer.__init__(self, params, defaults)


def _check(
    lr: Any,
    weight_decay: float,
    momentum: float,
    ns_coefficients: Any,
    ns_steps: int,
    adjust_lr_fn: str | None,
) -> None:
    """Raise PyTorch's errors, and those which it raises in a step."""
    if isinstance(lr, Tensor) and lr.numel() != 1:
        raise ValueError("Tensor lr must be 1-element.")
    if not lr >= 0.0:
        raise ValueError(f"Learning rate should be >= 0 but is: {lr}.")
    if not momentum >= 0.0:
        raise ValueError(f"momentum should be >= 0 but is: {momentum}.")
    if not weight_decay >= 0.0:
        raise ValueError(f"weight decay should be >= 0 but is: {weight_decay}.")
    if adjust_lr_fn is not None and adjust_lr_fn not in ("original", "match_rms_adamw", "spectral"):
        raise ValueError(f"Adjust learning rate function {adjust_lr_fn} is not supported.")
    if ns_steps >= _MOST_STEPS:
        raise ValueError("Number of steps must be less than 100 for computational efficiency.")
    if len(ns_coefficients) != 3:
        raise ValueError("Coefficients must be a tuple of exactly 3 values.")


def _coefficient(k: int) -> Any:
    return lambda group: group["ns_coefficients"][k]


class Muon(OfMatrices, TorchTwin, MuonArguments):
    """Muon (Jordan et al. 2024): orthogonalized momentum: all of its singular values become about 1.

        m ← μ·m + (1 − μ)·g
        u = μ·m + (1 − μ)·g  with `nesterov`, otherwise u = m;    u = U·S·Vᵀ
        p ← (1 − lr·λ)·p − lr·s·U·Vᵀ,  by `ns_steps` products in bfloat16

    s of a matrix of r rows and c columns is √max(1, r/c), with `adjust_lr_fn="match_rms_adamw"`
    0.2·√max(r, c), with "spectral" √(r/c). A tensor of more dimensions is a matrix of its first dimension ×
    the rest; a vector is an error, since Muon is for matrices. A param group may have the entries `blocks`,
    `iteration`, `matrices`, `precision` and `space` of the rule `muon`: {"params": qkv, "blocks": 3}, or
    {"params": experts, "matrices": "last"} for stacks of matrices in the last two dimensions.

        dialect="keras":  m ← μ·m + g;   u = μ·m + g  with `nesterov`
                          s = 0.2·√max(r, c);   u/(‖u‖ + ε) is orthogonalized
        dialect="optax":  u = μ·m/(1 − μᵗ⁺¹) + (1 − μ)·g/(1 − μᵗ)  with `nesterov`, otherwise m/(1 − μᵗ)
                          s = √max(1, c/r);   u/(‖u‖ + ε) is orthogonalized

    Their products are in the weight's own precision, and `adjust_lr_fn` chooses among the same scales.

    Given a model, `Muon(model)`, its hidden matrices are stepped so, with "match_rms_adamw" if nothing else
    is said, fused queries, keys and values each alone, the matrices of stacked experts too; and all the rest
    by AdamW with the same learning rate and weight decay: in the dialect "keras" by Keras' AdamW, in "optax"
    by NAdamW. `optimizer.routes()` shows which is which.

    Paper: Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks",
    https://kellerjordan.github.io/posts/muon/; λ and "match_rms_adamw": Liu et al. 2025, arXiv:2502.16982.
    Defaults: PyTorch's: lr = 0.001, λ = 0.1, μ = 0.95, Nesterov, five steps; in the dialect "keras" λ is
    0.004, in "optax" 0, and ε 1e-8.
    Use: for the matrices of hidden layers, with AdamW for embeddings, the last layer, and vectors; with
    "match_rms_adamw" AdamW's learning rate and weight decay can be kept.
    Deviations: in PyTorch's dialect `eps` is accepted and changes nothing: a matrix of any norm but 0 is
    orthogonalized, where PyTorch hardly moves one of a norm below `eps`. Of a bfloat16 weight without
    Nesterov PyTorch divides the momentum itself by its norm; here it stays what it is. PyTorch takes matrices
    alone. The matrices of Keras and Optax have a row for each input, those of `torch.nn` one for each output:
    of a weight that was transposed "original" is Optax' scale. Keras and Optax step all but tensors of two
    dimensions by AdamW, with a weight decay of its own. Optax' preconditionings and its `adaptive` are not
    here.
    """

    refuses_sparse = "Muon does not support sparse gradients"
    spelling: ClassVar[Spelling] = {
        "a": _coefficient(0),
        "b": _coefficient(1),
        "c": _coefficient(2),
        "adjust": lambda group: group["adjust_lr_fn"],
        "blocks": lambda group: group.get("blocks", 1),
    }
    state_names: ClassVar[Mapping[str, str]] = {"m": "momentum_buffer"}

    dialects = ("torch", "keras", "optax")
    own_decay = "decoupled"
    knows_blocks = True
    of_model: ClassVar[Mapping[str, Any]] = {"adjust_lr_fn": "match_rms_adamw"}
    rests: ClassVar[Mapping[str, Rest]] = {
        "keras": Rest(lambda group: adam_hat, {"betas": (0.9, 0.999), "eps": 1e-7}),
        "optax": Rest(
            lambda group: nadam_constant if group["nesterov"] else adam,
            {"betas": (0.9, 0.999), "eps": 1e-8},
        ),
    }

    def __init__(self, params: nn.Module | Iterable[Any], *args: Any, **kwargs: Any) -> None:
        names = list(self.arguments.parameters)[1:]
        given = {*names[: len(args)], *kwargs}
        own = _DEFAULTS.get(kwargs.get("dialect", "torch"), {})
        super().__init__(
            params, *args, **{n: v for n, v in own.items() if n not in given}, **kwargs
        )

    @classmethod
    def twin(cls) -> type[torch.optim.Optimizer]:
        """Return the class with PyTorch's constructor."""
        return MuonArguments

    def links(self, group: Group) -> Links:
        """Return Muon."""
        own, adjusted = _RULES[self.dialect]
        return (own if group["adjust_lr_fn"] is None else adjusted,)

    def _of_hidden(self, given: Mapping[str, Any]) -> Group:
        # Keras and Optax have one scale for all
        return super()._of_hidden(given) if given.get("dialect", "torch") == "torch" else {}
