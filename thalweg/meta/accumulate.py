"""Gradient accumulation that equals the large batch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor

from thalweg.errors import suggest
from thalweg.meta.gradients import widened
from thalweg.meta.wrapper import Wrapper, all_params, evaluate_closure, saved_params
from thalweg.numeric import as_whole
from thalweg.optim.stepping.shell import of_itself
from thalweg.optim.stepping.untraced import untraced

Reduction = Literal["mean", "sum"]


class Accumulate(Wrapper):
    """Steps once in k calls, by the gradient of the k micro-batches together.

        reduction="mean":   g = Σᵢ nᵢ·gᵢ / Σᵢ nᵢ        for losses that are means over their nᵢ samples
        reduction="sum":    g = Σᵢ gᵢ                   for losses that are sums

    The usual loop stays as it is; the optimizer inside sees one step in k, with its decay, its clipping and
    its step count:

        for x, y in batches:
            optimizer.zero_grad()
            loss_fn(model(x), y).backward()
            optimizer.step()                      # or step(weight=len(x)) where sizes differ
        optimizer.flush()                         # a ragged end: the mean over those that came

    Without weights all micro-batches count alike. With them ragged micro-batches give the gradient of the
    large batch too. A parameter that a micro-batch does not reach counts with gradient 0 there; one that none
    reaches has no gradient, and is not stepped.

    Each call takes the gradients into an accumulator and, where it does not step, leaves `p.grad` None. So it
    does not matter who zeroes gradients, or whether anybody does; a loss scaler unscales each gradient once;
    and a micro-batch left out by a scaler or by `NonFinite` around this wrapper leaves no trace. In a call
    that steps, `p.grad` is as the backward pass left it before and after: the gradient of the last
    micro-batch. Clip inside: `thalweg.Optimizer(model, chain(clip_by_global_norm(1.0), adam()))` clips the
    large batch's gradient, `torch.nn.utils.clip_grad_norm_` each micro-batch's.

    Cost: one more tensor a parameter, from the first micro-batch to the step: of the parameter's dtype, but
    float32 for half precision, whose sums would lose what is added last. With `every=1` nothing is copied.

    Args:
        optimizer: any optimizer that can be stepped without a closure.
        every: k ≥ 1, the micro-batches of a step.
        reduction: "mean" or "sum", as the loss reduces its batch.

    Attributes: `stepped`, whether the last call was a step, for schedulers; `steps`, how many there were;
    `pending`, how many micro-batches wait for the next one. The state dict holds the accumulator, so a run
    resumed between two steps, on the same machine, makes bitwise the steps of an uninterrupted run.

    Raises:
        TypeError: `optimizer` is not an optimizer, or one that needs a closure.
        ValueError: `every` is not an integer of at least 1, or there is no such `reduction`.

    >>> import torch
    >>> w = torch.nn.Parameter(torch.tensor(0.0))
    >>> optimizer = Accumulate(torch.optim.SGD([w], lr=1.0), every=2)
    >>> for target in (1.0, 3.0):
    ...     optimizer.zero_grad()
    ...     (0.5 * (w - target) ** 2).backward()
    ...     optimizer.step()
    >>> w.item(), optimizer.steps
    (2.0, 1)
    """

    tensors: ClassVar[tuple[str, ...]] = ("sums",)

    def __init__(
        self, optimizer: torch.optim.Optimizer, every: int, reduction: Reduction = "mean"
    ) -> None:
        super().__init__(optimizer)
        whole = as_whole(every)
        if whole is None or whole < 1:
            raise ValueError(
                f"every, the micro-batches of a step, must be an integer of at least 1, got {every!r}."
            )
        if reduction not in get_args(Reduction):
            raise ValueError(
                f"reduction must be 'mean' or 'sum', as the loss reduces its batch, got {reduction!r}."
                f"{suggest(str(reduction), get_args(Reduction))}"
            )
        self.every = whole
        self.reduction = reduction
        self.steps = 0
        self._begin()

    def _begin(self) -> None:
        """Begin with nothing gathered."""
        self.pending = 0
        self._weight = 0.0
        self._weighted = False
        self._sums: dict[Tensor, Tensor] = {}

    def step(
        self,
        closure: Callable[[], Any] | None = None,
        *,
        weight: float | None = None,
        **arguments: Any,
    ) -> Any:
        """Take the gradients of a micro-batch, step at each k-th call, and return the closure's loss.

        Args:
            closure: computes the loss of this micro-batch and its gradients.
            weight: the number of samples in the micro-batch, for `reduction="mean"`; given for all
                micro-batches of a step or for none.
            arguments: for the step of the optimizer inside.

        Raises:
            ValueError: a weight that is not above 0, not finite, or not for a mean; or one that is given for
                some micro-batches only.
            EngineError: the parameters are where the model is evaluated; what was gathered stays.
        """
        self._check_training()
        self._check_weight(weight)
        loss = evaluate_closure(closure)
        self.stepped = False
        if self.every == 1 and not self.pending:
            self._step_inside(**arguments)
            self.steps += self.stepped
            return loss
        self._gather(weight)
        if self.pending >= self.every:
            self._act(arguments)
        else:
            for p in all_params(self):
                p.grad = None
        return loss

    @untraced
    @of_itself
    def flush(self, /, **arguments: Any) -> None:
        """Step by the micro-batches that came since the last step; without any, do nothing."""
        self._check_training()
        self.stepped = False
        if self.pending:
            self._act(arguments)

    @torch.no_grad()
    def _gather(self, weight: float | None) -> None:
        factor = 1.0 if weight is None else float(weight)
        for p in all_params(self):
            g = p.grad
            if g is None:
                continue
            held = self._sums.get(p)
            if held is None:
                # a tensor of its own: p.grad may be a view of someone else's memory
                self._sums[p] = widened(g).clone() if factor == 1 else widened(g) * factor
            elif held.is_sparse and not g.is_sparse:
                self._sums[p] = held.to_dense().add_(g, alpha=factor)
            else:
                held.add_(g, alpha=factor)
        self.pending += 1
        self._weight += factor
        self._weighted = weight is not None

    def _act(self, arguments: Mapping[str, Any]) -> None:
        """Step by what was gathered, and begin again."""
        params = all_params(self)
        own = [p.grad for p in params]
        total = self._weight if self.reduction == "mean" else 1.0
        sums = self._sums
        self._begin()
        try:
            with torch.no_grad():
                for p in params:
                    held = sums.pop(p, None)
                    if held is not None and total != 1:
                        held.div_(total)
                    p.grad = None if held is None else held.to(p.dtype)
            self._step_inside(**arguments)
        finally:
            for p, g in zip(params, own, strict=True):
                p.grad = g
        self.steps += self.stepped

    def _check_weight(self, weight: object) -> None:
        if self.pending and self._weighted != (weight is not None):
            raise ValueError(
                "step got a weight for some micro-batches of a step and none for others. Give it for all of "
                "them, or for none where they have the same size."
            )
        if weight is None:
            return
        if self.reduction != "mean":
            raise ValueError(
                "A weight is for reduction='mean': gradients of losses that are sums add up as they are."
            )
        if (
            isinstance(weight, bool)
            or not isinstance(weight, Real)
            or not 0 < float(weight) < math.inf
        ):
            raise ValueError(
                f"weight, the number of samples in the micro-batch, must be above 0, got {weight!r}."
            )

    def _saved(self) -> dict[str, Any]:
        numbers = {p: number for number, p in enumerate(dict.fromkeys(all_params(self)))}
        return {
            "steps": self.steps,
            "pending": self.pending,
            "weight": self._weight,
            "weighted": self._weighted,
            "sums": {numbers[p]: held.clone() for p, held in self._sums.items()},
        }

    def _loaded(self, own: Mapping[str, Any], saved: Mapping[str, Any]) -> dict[str, Any]:
        if not own:
            return {"steps": 0, "pending": 0, "_weight": 0.0, "_weighted": False, "_sums": {}}
        params = saved_params(self, saved)
        sums = {}
        for number, held in own["sums"].items():
            p = params[number]
            if p.shape != held.shape:
                raise ValueError(
                    f"The state dict's accumulated gradient {number} has shape {tuple(held.shape)}, its "
                    f"parameter {tuple(p.shape)}."
                )
            sums[p] = held.detach().clone().to(p.device)
        return {
            "steps": own["steps"],
            "pending": own["pending"],
            "_weight": own["weight"],
            "_weighted": own["weighted"],
            "_sums": sums,
        }

    def _settings(self) -> str:
        return f"every={self.every}, reduction={self.reduction!r}"
