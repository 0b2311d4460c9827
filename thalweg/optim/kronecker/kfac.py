"""K-FAC as an optimizer of a model's layers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from thalweg.curvature.kronecker.of_layers import BlockPlan, sorted_layers
from thalweg.errors import EngineError, TaskError
from thalweg.numeric import is_schedule
from thalweg.objective.losses import Loss, as_loss
from thalweg.optim.kronecker.descent import clipping, move
from thalweg.optim.kronecker.directions import Directions
from thalweg.optim.kronecker.gathered import StepCurvature, Terms
from thalweg.optim.kronecker.groups import (
    KFACSettings,
    check_entries,
    groups_of,
    names_in,
    rest_of,
)
from thalweg.optim.kronecker.layer_state import State, invert, learn
from thalweg.optim.kronecker.watching import LayerWatch
from thalweg.optim.kronecker.watching_optimizer import WatchingOptimizer
from thalweg.optim.stepping.checks import check_no_texts

_BACKWARD = 2
"""A backward pass in forward passes."""


class KFAC(WatchingOptimizer):
    """K-FAC (Martens and Grosse 2015): natural gradients by Kronecker factors of each layer.

        A = E[a·aᵀ],  B = E[g·gᵀ]   a a layer's inputs and 1, g the gradients of −log p in its outputs
        U = (B + √λ/π·I)⁻¹ · G · (A + π√λ·I)⁻¹,   π² = (tr A/dim A)/(tr B/dim B)
        m ← μ·m + ν·U,   p ← (1 − lr·λ_w)·p − lr·m

    Paper: Martens and Grosse 2015, "Optimizing Neural Networks with Kronecker-factored Approximate
    Curvature", ICML 2015, arXiv:1503.05671.
    Defaults: factors and inverses again in each 10th step, averages by 0.95, momentum 0.9.
    Use: for layers of up to some thousand inputs and outputs, where a step costs little compared with the
    batch's
    gradient: deep and badly conditioned nets.
    Deviations: no automatic λ, momentum or learning rate, as in Ba, Grosse and Martens (2017), whose ν =
    min(1, √(kl_clip / Σ lr²·U·G)) is there. Averages are corrected for their beginning.
    Cost: two squares of the number of inputs and of outputs for each layer, twice; in each `refresh`th step
    these products and inverses, and with fisher="sampled" one more backward pass.

    Args:
        model: the model, of whose layers it has a block each: Linear, Conv1d and Conv2d of one group,
            Embedding, LayerNorm, RMSNorm, GroupNorm, BatchNorm.
        lr: the learning rate, or a schedule, a function of the number of steps taken.
        damping: λ, added to the curvature.
        refresh: in every so many steps, the first among them, factors and inverses are computed again.
        averaging: what an average of factors keeps of itself, from 0 to below 1.
        momentum: μ.
        weight_decay: λ_w, apart from the gradient, as AdamW's.
        fisher: "sampled": g of labels drawn from the model's own distribution, which `observe` draws and
            sends backwards; an estimate of the Fisher information. "empirical": g of the training loss
            itself, which costs no pass; another matrix (Kunstner and others 2019).
        kl_clip: bounds Σ lr²·U·G, about twice the Kullback-Leibler divergence of a step; None for no bound.
        factored: False adds λ exactly, in the factors' eigenbasis, which costs more.
        sharing: how positions of a sequence or picture are taken together: "expand" or "reduce".
        rest: builds the optimizer of parameters that K-FAC has no block for, a function (parameters) ->
            optimizer such as functools.partial(optim.AdamW, lr=1e-3), whose rates follow lr / its first
            value. None refuses them.
        params: those of the model to train, as tensors, named tensors, or groups with an lr, momentum,
            weight_decay or damping of their own; None for all that require gradients.
        label_seed: chooses the labels, together with the number of the step.

    `fit` and races call `observe`. In a loop of your own, between forward and backward pass:

        outputs = model(x)
        optimizer.observe(outputs, y, "cross_entropy")  # does nothing in steps that are not a refresh
        functional.cross_entropy(outputs, y).backward()
        optimizer.step()

    With fisher="empirical" it may be left out for a loss that is the mean of a batch's rows; then gradients
    must not be scaled (GradScaler). Layers are watched by hooks until the optimizer is gone, or `detach()`.

    Raises:
        TaskError: parameters without a block, or tied ones, where there is no `rest`.
        ValueError: an argument that is out of range.

    >>> _ = torch.manual_seed(0)
    >>> model = nn.Linear(2, 1)
    >>> optimizer = KFAC(model, lr=0.5, damping=1e-3, momentum=0.0, refresh=1, kl_clip=None)
    >>> x = torch.tensor([[1.0, 0.0], [0.0, 10.0], [1.0, 5.0]])
    >>> y = x @ torch.tensor([[2.0], [3.0]])
    >>> for _ in range(20):
    ...     optimizer.zero_grad()
    ...     outputs = model(x)
    ...     _ = optimizer.observe(outputs, y, "mse")
    ...     nn.functional.mse_loss(outputs, y).backward()
    ...     optimizer.step()
    >>> bool((model.weight - torch.tensor([[2.0, 3.0]])).abs().max() < 0.1)
    True
    """

    needs_model: ClassVar[bool] = True
    """It is built from a model, not from parameters alone."""
    _terms: Terms | None
    _directions: tuple[tuple[int, ...], Directions] | None

    def __init__(
        self,
        model: nn.Module,
        lr: float | Tensor | Callable[[int], float] = 0.1,
        damping: float = 0.01,
        refresh: int = 10,
        averaging: float = 0.95,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        *,
        fisher: str = "sampled",
        kl_clip: float | None = 1e-3,
        factored: bool = True,
        sharing: str = "expand",
        rest: Callable[..., torch.optim.Optimizer] | None = None,
        params: Iterable[Any] | None = None,
        label_seed: int = 0,
    ) -> None:
        if not isinstance(model, nn.Module):
            raise TypeError(
                "KFAC reads a model's layers: give it the model, KFAC(model, lr=…), and those of its "
                f"parameters to train as params=…; got {type(model).__name__}."
            )
        self.settings = KFACSettings(
            refresh, averaging, fisher, kl_clip, factored, sharing, label_seed
        )
        self.model = model
        given: Any = lr
        self._schedule = given if is_schedule(given) else None
        first = given if self._schedule is None else self._schedule(0)
        defaults = {"lr": first, "damping": damping, "momentum": momentum}
        defaults["weight_decay"] = weight_decay
        check_entries(defaults)
        groups, left = groups_of(model, params)
        self.rest = rest_of(left, rest)
        torch.optim.Optimizer.__init__(self, groups, defaults)
        self._add_rest()

    # -- what it sees of the model --------------------------------------------------------------------

    @property
    def is_due(self) -> bool:
        """Whether the next step computes factors and inverses again."""
        return self._count % self.settings.refresh == 0

    @torch.no_grad()
    def observe(self, outputs: Any, targets: Any, loss: Any) -> int:
        """Be told a forward pass's outputs and what its loss will be, before its backward pass.

        Returns what it computed, in forward passes.

        `loss` is a name, a module or a `Loss`: it says what each term counts (weights of classes, ignored
        targets, mean or sum). With fisher="sampled", labels are drawn and sent backwards through the layers
        here. Where the next step is not a refresh, and where the outputs have no graph, nothing is done.

        Raises TaskError, with fisher="sampled", for a loss of no distribution, or outputs that are not one
        tensor.
        """
        if not self._watch.is_on:
            return 0
        is_sampled = self.settings.fisher == "sampled"
        if not isinstance(outputs, Tensor):
            if not is_sampled:
                return 0
            raise TaskError(
                f"KFAC wants a model with one tensor of outputs; it gives {type(outputs).__name__}."
            )
        if not outputs.requires_grad:
            return 0
        if is_sampled and not bool(torch.isfinite(outputs).all()):
            self._curvature.is_undefined = True  # no labels can be drawn
            self._watch.forget()
            return 0
        # what follows is not part of the model, whose types a context may choose
        with torch.autocast(outputs.device.type, enabled=False):
            return self._told(outputs, targets, as_loss(loss))

    def _told(self, outputs: Tensor, targets: Any, loss: Loss) -> int:
        is_sampled = self.settings.fisher == "sampled"
        terms = Terms(loss, outputs, targets, is_sampled=is_sampled)
        if not terms.share:
            self._watch.forget()
            return 0
        if not is_sampled:
            self._terms = terms
            return 0
        seed = _mixed(self.settings.label_seed, self._count, self._draws)
        score = terms.sampled(torch.Generator().manual_seed(seed))
        self._draws += 1
        with torch.enable_grad():
            torch.autograd.grad(
                outputs, self._ends(), score.to(outputs), retain_graph=True, allow_unused=True
            )
        self._curvature.add(self._watch.passes, terms, None, is_scaled=True)
        self._watch.forget()
        return _BACKWARD

    def detach(self) -> None:
        """Take the hooks off the model; no step can be taken after it."""
        self._watch.remove()

    def _attach(self) -> None:
        """Begin to watch the model's layers."""
        named = names_in(self.model, self._own_groups())
        known, unknown = sorted_layers(self.model, named)
        assert not unknown
        self._plans = [BlockPlan(*each) for each in known]
        parameters = dict(self.model.named_parameters())
        self._members = [[parameters[name] for name in plan.names] for plan in self._plans]
        self._directions = None
        layers = [plan.layer for plan in self._plans]
        self._watch = LayerWatch(self.model, layers, self._fold)
        self._begin_gathering()

    def _begin_gathering(self) -> None:
        self._terms, self._draws = None, 0
        self._watch.watch(self.is_due)
        if self.is_due:
            self._curvature = StepCurvature(self._plans, self.settings.sharing)

    def _fold(self) -> None:
        """Take what the training loss's backward pass has sent, before another forward pass."""
        if self.settings.fisher == "empirical":
            rows, device = self._watch.rows, self._members[0][0].device.type
            with torch.autocast(device, enabled=False):
                self._curvature.add(self._watch.passes, self._terms, rows, is_scaled=False)
            self._terms = None

    def _ends(self) -> list[Tensor]:
        """Return a parameter of each layer, the smallest: a gradient sent to all passes every layer."""
        trained = [[p for p in members if p.requires_grad] for members in self._members]
        return [min(members, key=Tensor.numel) for members in trained if members]

    # -- the step -------------------------------------------------------------------------------------

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take a step by the gradients that are there; return what the closure returns.

        Raises:
            EngineError: where a step is to compute the curvature again and a layer that has a gradient was
                not seen.
        """
        check_no_texts(self._own_groups(), ("lr", "damping", "momentum", "weight_decay"))
        value = None
        if closure is not None:
            with torch.enable_grad():
                value = closure()
        self._follow_schedule()
        if self.is_due:
            self._refresh()
        self._descend()
        if self.rest is not None:
            self._step_rest()
        self._count += 1
        self._begin_gathering()
        return value

    def _refresh(self) -> None:
        """Average the step's factors into the layers' states, and invert these."""
        self._fold()
        learnt, dampings = [], []
        damping_of = {p: float(g["damping"]) for g in self._own_groups() for p in g["params"]}
        averaging = self.settings.averaging
        for place, members in enumerate(self._members):
            block = self._curvature.block(place)
            if block is None:
                if any(p.grad is not None for p in members):
                    raise EngineError(self._unseen(place))
                continue
            state = self.state[members[0]]
            learn(state, block, averaging)
            learnt.append(state)
            dampings.append(damping_of[members[0]])
        invert(learnt, averaging, dampings, self.settings.factored)
        self._directions = None

    def _descend(self) -> None:
        live = [
            k for k, members in enumerate(self._members) if any(p.grad is not None for p in members)
        ]
        if not live:
            return
        key = tuple(live)
        if self._directions is None or self._directions[0] != key:
            plans = [self._plans[place] for place in live]
            self._directions = key, Directions(plans, [self._state_of(place) for place in live])
        gradients = [
            [torch.zeros_like(p) if p.grad is None else p.grad for p in self._members[place]]
            for place in live
        ]
        found, total, whole = self._directions[1].of(gradients)
        moved: dict[Tensor, Tensor] = {
            p: u
            for place, parts in zip(live, found, strict=True)
            for p, u in zip(self._members[place], parts, strict=True)
            if p.grad is not None
        }
        factor = self._clipping(moved, total)
        if factor is not None:
            for each in whole:
                each.mul_(factor.to(each.device))
        for group in self._own_groups():
            params = [p for p in group["params"] if p in moved]
            if params:
                move(params, [moved[p] for p in params], group, self.state)

    def _clipping(self, moved: Mapping[Tensor, Tensor], total: Tensor) -> Tensor | None:
        """Return ν, None without a bound; `total` is Σ U·G."""
        bound = self.settings.kl_clip
        if bound is None:
            return None
        rates = {float(group["lr"]) for group in self._own_groups()}
        if len(rates) == 1:
            return clipping(rates.pop() ** 2 * total, bound)
        parts = [
            float(group["lr"]) ** 2 * (moved[p] * p.grad).sum(dtype=torch.float64).to(total.device)
            for group in self._own_groups()
            for p in group["params"]
            if p in moved and p.grad is not None
        ]
        return clipping(torch.stack(parts).sum(), bound)

    def _state_of(self, place: int) -> State:
        """Return a layer's state; raise EngineError where it has no curvature yet."""
        state: State = self.state[self._members[place][0]]
        if "refreshes" not in state:
            raise EngineError(
                f"The layer {self._plans[place].layer.name!r} has a gradient for the first time between two "
                f"refreshes, and no curvature yet. Freeze and thaw layers every {self.settings.refresh} "
                "steps, or take refresh=1."
            )
        return state

    def _unseen(self, place: int) -> str:
        layer = self._plans[place].layer.name
        if self._curvature.is_undefined:
            return (
                f"What passed through the layer {layer!r} was not finite, inputs or gradients: KFAC has no "
                "curvature for this step. Lower the learning rate or raise damping; meta.NonFinite leaves "
                "out batches whose gradients are not finite."
            )
        if self.settings.fisher == "sampled" and not self._draws:
            return (
                "KFAC was not told the outputs of this step, which computes the curvature again. Between "
                'forward and backward pass call optimizer.observe(outputs, targets, "cross_entropy"), or '
                'take fisher="empirical", which needs no call for the mean of a batch\'s rows.'
            )
        return (
            f"The layer {layer!r} has a gradient, and KFAC did not see what passed through it: its "
            "parameters are used without calling it, or the optimizer's detach() has taken the hooks off "
            "the model, or the forward pass was before the optimizer was made or loaded."
        )


def _mixed(*numbers: int) -> int:
    """Return one seed of several numbers, another one for each of their values."""
    odd = (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
    return sum(a * b for a, b in zip(numbers, odd, strict=True)) % 2**63
