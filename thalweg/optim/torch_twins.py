"""The optimizers of `torch.optim`, each as a chain of rules.

Each class is a subclass of PyTorch's class of the same name and shares its constructor: its arguments,
defaults, checks and param groups are PyTorch's own. What it adds are two keyword-only arguments:

    dialect  "torch": PyTorch's equations; "paper": the paper's, where they differ
    engine   "auto", "eager" or "fused" (see `thalweg.Optimizer`)

Arguments that PyTorch has only to choose among its own implementations are accepted: `foreach`, `fused`
and `capturable` choose nothing here, `differentiable=True` runs eagerly and lets autograd see the step.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

import torch
from torch import nn

from thalweg.engine import Chain, Link, Rule, chain
from thalweg.engine.plan import Engine
from thalweg.optim.optimizer import Stepper, check_engine, named
from thalweg.optim.standing import Group
from thalweg.rules import (
    accumulate,
    accumulate_inside,
    adadelta,
    adagrad,
    adam,
    adamax,
    amsgrad,
    asgd,
    decay,
    descend,
    heavy_ball,
    l2,
    momentum,
    nadam,
    negate,
    radam,
    rmsprop,
    rmsprop_centered,
    rprop,
)

Links = tuple[Link | Rule, ...]


_ARGUMENTS = """

Args:
    params: a module, or what `torch.optim.{name}` takes: tensors, named tensors, or groups.
    dialect: {dialects}: whose equation to step by, where they differ.
    engine: "auto" fuses what it can, "eager" runs PyTorch calls, "fused" fails where it cannot fuse.

All other arguments, their defaults and their checks are those of `torch.optim.{name}`; `foreach`, `fused`
and `capturable` choose nothing here, `differentiable` runs eagerly and lets autograd see the step.

>>> import torch
>>> from thalweg import optim
>>> model = torch.nn.Linear(2, 1)
>>> optimizer = optim.{name}(model, lr=0.1)
>>> model(torch.ones(2)).sum().backward()
>>> optimizer.step()
"""


class TorchTwin(Stepper):
    """A class of `torch.optim` whose step is a chain of rules."""

    dialects: ClassVar[tuple[str, ...]] = ("torch",)
    refuses_sparse: ClassVar[str | None] = None
    dialect: str

    def __init__(
        self,
        params: nn.Module | Iterable[Any],
        *args: Any,
        dialect: str = "torch",
        engine: Engine = "auto",
        **kwargs: Any,
    ) -> None:
        check_engine(engine)
        if dialect not in self.dialects:
            raise ValueError(
                f"{type(self).__name__} has no dialect {dialect!r}; it has: {', '.join(self.dialects)}"
            )
        self.dialect, self.engine = dialect, engine
        super().__init__(named(params), *args, **kwargs)
        # PyTorch's fused kernels divide by GradScaler's scale themselves; here GradScaler does it, as usual
        self._step_supports_amp_scaling = False

    def __init_subclass__(cls) -> None:
        """Show PyTorch's signature with the arguments that are added here."""
        super().__init_subclass__()
        parameters = list(inspect.signature(cls.__init__).parameters.values())
        added = [p for p in parameters if p.name in ("dialect", "engine")]
        twin = next(base for base in cls.__mro__ if base.__module__.startswith("torch.optim."))
        theirs = list(inspect.signature(twin).parameters.values())
        cls.__signature__ = inspect.Signature([*theirs, *added])  # type: ignore[attr-defined]
        cls.__doc__ = inspect.cleandoc(cls.__doc__ or "") + _ARGUMENTS.format(
            name=cls.__name__, dialects=" or ".join(map(repr, cls.dialects))
        )

    def links(self, group: Group) -> Links:
        """Return the rules that stand between the gradient, with its L2 penalty, and the step."""
        raise NotImplementedError

    def group_chain(self, group: Group) -> Chain:
        """Return the chain of a group: maximize, weight decay, the rules."""
        return _compose(
            bool(group["maximize"]),
            bool(group["weight_decay"]),
            bool(group.get("decoupled_weight_decay")),
            self.links(group),
        )

    def _make_plan(self) -> Any:
        for group in self.param_groups:
            problem = self._sparse_problem(group)
            if problem and any(p.grad is not None and p.grad.is_sparse for p in group["params"]):
                raise RuntimeError(problem)
        return super()._make_plan()

    def _sparse_problem(self, group: Group) -> str | None:
        """Return PyTorch's message on a sparse gradient, where PyTorch refuses it."""
        return self.refuses_sparse


@functools.cache
def _compose(maximize: bool, penalised: bool, decoupled: bool, links: Links) -> Chain:
    before: Links = (negate,) if maximize else ()
    after: Links = ()
    if penalised and decoupled:
        after = (_DECAY,)
    elif penalised:
        before += (_L2,)
    return chain(*before, *links, *after)


# these are given at each step from the param group; the number here is never used
_DECAY, _L2 = decay(0.0), l2(0.0)
_NESTEROV = momentum(nesterov=True)
_HEAVY_BALL_NESTEROV = heavy_ball(nesterov=True)
_RMSPROP_INSIDE = rmsprop(eps_inside=True)
_CENTERED_INSIDE = rmsprop_centered(eps_inside=True)

_BETAS: Mapping[str, Callable[[Group], Any]] = {
    "beta1": lambda group: group["betas"][0],
    "beta2": lambda group: group["betas"][1],
}
_ADAM_STATES = {"m": "exp_avg", "v": "exp_avg_sq", "v_max": "max_exp_avg_sq"}


class SGD(TorchTwin, torch.optim.SGD):
    """Gradient descent, stochastic on minibatches, with momentum (Polyak 1964; Nesterov 1983).

        dialect="torch":  b ← μ·b + (1 − dampening)·g;  p ← p − lr·b   (Nesterov: p ← p − lr·(g + μ·b))
        dialect="paper":  v ← μ·v − lr·g;               p ← p + v      (Nesterov: p ← p + μ·v − lr·g)

    At a constant learning rate and without dampening both are the same. The paper's velocity keeps the
    learning rates that it was gathered with. With `nesterov` the parameter is the look-ahead point, where
    the gradient is taken.
    """

    dialects = ("torch", "paper")
    state_names: ClassVar[Mapping[str, str]] = {"b": "momentum_buffer", "v": "momentum_buffer"}

    def links(self, group: Group) -> Links:
        """Return plain descent, or momentum of one of two dialects."""
        if not group["momentum"]:
            return (descend,)
        if self.dialect == "paper":
            return (_HEAVY_BALL_NESTEROV if group["nesterov"] else heavy_ball,)
        return (_NESTEROV if group["nesterov"] else momentum,)


class Adagrad(TorchTwin, torch.optim.Adagrad):
    """AdaGrad (Duchi, Hazan and Singer 2011): each coordinate's step shrinks with its own history.

        r ← r + g²;  p ← p − lr / (1 + (t − 1)·lr_decay) · g / (√r + ε)

    The paper's form and PyTorch's are the same.
    """

    dialects = ("torch", "paper")
    state_names: ClassVar[Mapping[str, str]] = {"r": "sum"}

    def links(self, group: Group) -> Links:
        """Return AdaGrad."""
        return (adagrad,)

    def _sparse_problem(self, group: Group) -> str | None:
        if group["weight_decay"]:
            return "weight_decay option is not compatible with sparse gradients"
        return None


class RMSprop(TorchTwin, torch.optim.RMSprop):
    """RMSProp (Hinton 2012): AdaGrad with a moving average.

        r ← α·r + (1 − α)·g²
        dialect="torch":  u = g / (√r + ε);  with momentum b ← μ·b + u;  p ← p − lr·b
        dialect="paper":  u = g / √(r + ε);  with momentum v ← μ·v − lr·u;  p ← p + v

    With `centered` r is replaced by the variance r − m², m ← α·m + (1 − α)·g (Graves 2013).
    """

    dialects = ("torch", "paper")
    refuses_sparse = "RMSprop does not support sparse gradients"
    spelling: ClassVar[Mapping[str, Callable[[Group], Any]]] = {"rho": lambda group: group["alpha"]}
    state_names: ClassVar[Mapping[str, str]] = {
        "r": "square_avg",
        "m": "grad_avg",
        "b": "momentum_buffer",
        "v": "momentum_buffer",
    }

    def links(self, group: Group) -> Links:
        """Return RMSProp, centered or not, with momentum or not."""
        paper = self.dialect == "paper"
        if group["centered"]:
            scale: Link | Rule = _CENTERED_INSIDE if paper else rmsprop_centered
        else:
            scale = _RMSPROP_INSIDE if paper else rmsprop
        if not group["momentum"]:
            return (scale,)
        return (scale, accumulate_inside if paper else accumulate)


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


class Adadelta(TorchTwin, torch.optim.Adadelta):
    """AdaDelta (Zeiler 2012, algorithm 1): steps in the units of the parameter.

        r ← ρ·r + (1 − ρ)·g²;   Δ = √(s + ε)/√(r + ε)·g;   s ← ρ·s + (1 − ρ)·Δ²;   p ← p − lr·Δ

    The paper has no learning rate: lr=1. Its form and PyTorch's are the same.
    """

    dialects = ("torch", "paper")
    refuses_sparse = "Adadelta does not support sparse gradients"
    state_names: ClassVar[Mapping[str, str]] = {"r": "square_avg", "s": "acc_delta"}

    def links(self, group: Group) -> Links:
        """Return AdaDelta."""
        return (adadelta,)


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


class ASGD(TorchTwin, torch.optim.ASGD):
    """Averaged SGD (Polyak and Juditsky 1992); the average is `state[p]["ax"]`.

    p ← (1 − λ·ηₜ)·p − ηₜ·g;   ax ← ax + μₜ·(p − ax);   ηₜ₊₁ = lr/(1 + λ·lr·t)^α
    """

    refuses_sparse = "ASGD does not support sparse gradients"

    def links(self, group: Group) -> Links:
        """Return averaged SGD."""
        return (asgd,)


class Rprop(TorchTwin, torch.optim.Rprop):
    """Rprop (Riedmiller and Braun 1993): a step size for each coordinate, from signs alone.

    For full batches. The step sizes start at lr, which has no further part.
    """

    refuses_sparse = "Rprop does not support sparse gradients"
    spelling: ClassVar[Mapping[str, Callable[[Group], Any]]] = {
        "eta_minus": lambda group: group["etas"][0],
        "eta_plus": lambda group: group["etas"][1],
        "smallest": lambda group: group["step_sizes"][0],
        "largest": lambda group: group["step_sizes"][1],
    }
    state_names: ClassVar[Mapping[str, str]] = {"previous": "prev"}

    def links(self, group: Group) -> Links:
        """Return Rprop."""
        return (rprop,)

    def group_chain(self, group: Group) -> Chain:
        """Return the chain of a group; Rprop has no weight decay."""
        return _compose(bool(group["maximize"]), False, False, self.links(group))
