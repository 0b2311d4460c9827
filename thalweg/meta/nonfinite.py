"""A policy on gradients that are NaN or infinite."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from thalweg.errors import DivergedError, suggest
from thalweg.meta.gradients import entries
from thalweg.meta.wrapper import Wrapper, all_names, all_params, evaluate_closure
from thalweg.numeric import as_whole
from thalweg.optim.stepping.steppable import has_values, refuse_sharded

Policy = Literal["ignore", "skip", "raise"]

_NAMED = 5
"""How many parameters a message names; the rest are counted."""


class NonFinite(Wrapper):
    """Checks the gradients before each step, and applies the policy if one is not finite.

        "ignore"   step all the same, and count
        "skip"     no step: parameters, states and step counts stay as they are
        "raise"    DivergedError, which names the parameters, before anything has changed

    Cost: one sum over the gradients, and one number from the device. A sum of finite numbers that overflows
    is looked at entry by entry, so no finite gradient is taken for another.

    Args:
        optimizer: any optimizer that can be stepped without a closure.
        policy: "ignore", "skip" or "raise"; it may be changed between steps.
        limit: with "skip", raise DivergedError at the `limit`-th skip in a row. By default there is none.

    Attributes: `found`, the steps so far at which a gradient was not finite; `skipped`, those left out;
    `consecutive`, how many were found in a row, up to now. All three are in the state dict. `stepped` says
    whether the last call was a step.

    Raises:
        TypeError: `optimizer` is not an optimizer, or one that needs a closure.
        ValueError: there is no such policy, or `limit` is not for it or not at least 1.

    >>> import torch
    >>> w = torch.nn.Parameter(torch.tensor(1.0))
    >>> optimizer = NonFinite(torch.optim.SGD([w], lr=1.0), policy="skip")
    >>> w.grad = torch.tensor(float("nan"))
    >>> optimizer.step()
    >>> w.item(), optimizer.skipped
    (1.0, 1)
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        policy: Policy = "skip",
        limit: int | None = None,
    ) -> None:
        super().__init__(optimizer)
        known = get_args(Policy)
        if policy not in known:
            raise ValueError(
                f"policy must be one of {', '.join(map(repr, known))}, got {policy!r}."
                f"{suggest(str(policy), known)}"
            )
        if limit is not None:
            if policy != "skip":
                raise ValueError(
                    f"limit counts skips in a row; with policy={policy!r} there are none."
                )
            whole = as_whole(limit)
            if whole is None or whole < 1:
                raise ValueError(
                    f"limit, the skips in a row that raise, must be an integer of at least 1, "
                    f"got {limit!r}."
                )
            limit = whole
        self.policy = policy
        self.limit = limit
        self.found = self.skipped = self.consecutive = 0

    def step(self, closure: Callable[[], Any] | None = None, **arguments: Any) -> Any:
        """Perform one step if the policy lets it, and return what the closure returns.

        What else is given goes to the step of the optimizer inside.

        Raises:
            DivergedError: a gradient is not finite, under "raise" or at the limit of "skip".
            EngineError: the parameters are where the model is evaluated.
        """
        self._check_training()
        refuse_sharded(all_params(self), type(self).__name__)
        loss = evaluate_closure(closure)
        self.stepped = False
        if self._all_finite():
            self.consecutive = 0
            self._step_inside(**arguments)
            return loss
        self.found += 1
        self.consecutive += 1
        if self.policy == "ignore":
            self._step_inside(**arguments)
            return loss
        if self.policy == "raise":
            raise DivergedError(self._describe())
        self.skipped += 1
        if self.limit is not None and self.consecutive >= self.limit:
            raise DivergedError(
                f"{self.consecutive} steps in a row were left out, the limit. {self._describe()}"
            )
        return loss

    @torch.no_grad()
    def _all_finite(self) -> bool:
        found = [entries(p.grad) for p in all_params(self) if p.grad is not None]
        # NaN and infinity outlast a sum: a finite one has none among its terms
        doubtful = zip(found, _finite([g.sum() for g in found]), strict=True)
        return all(ok or bool(torch.isfinite(g).all()) for g, ok in doubtful)

    @torch.no_grad()
    def _describe(self) -> str:
        """Return which gradients are not finite, and what to do."""
        params, names = all_params(self), all_names(self.param_groups)
        bad = []
        for index, p in enumerate(params):
            if p.grad is None:
                continue
            g = entries(p.grad)
            nan, infinite = int(g.isnan().sum()), int(g.isinf().sum())
            if nan or infinite:
                name = f"parameter {index} of shape {tuple(p.shape)}"
                counts = f"{nan} NaN, {infinite} infinite of {g.numel()}"
                bad.append(f"{names[index] if names else name} ({counts})")
        more = f" and {len(bad) - _NAMED} more" if len(bad) > _NAMED else ""
        return (
            f"The gradient is not finite in {len(bad)} of {len(params)} parameters: "
            f"{', '.join(bad[:_NAMED])}{more}. Look for a learning rate that is too high, a logarithm or "
            "root of zero, a division by zero, or inputs that are not finite"
        )

    def _saved(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _COUNTERS}

    def _loaded(self, own: Mapping[str, Any], saved: Mapping[str, Any]) -> dict[str, Any]:
        return {name: own[name] if own else 0 for name in _COUNTERS}

    def _settings(self) -> str:
        return f"policy={self.policy!r}, limit={self.limit}"


_COUNTERS = ("found", "skipped", "consecutive")


def _finite(sums: list[Tensor]) -> list[bool]:
    """Return for each number whether it is finite, with one transfer a device."""
    result = [True] * len(sums)
    if not all(map(has_values, sums)):
        return result  # shapes alone, as when memory is planned
    for device in {number.device for number in sums}:
        places = [k for k, number in enumerate(sums) if number.device == device]
        flags = torch.stack([torch.isfinite(sums[k]) for k in places]).tolist()
        for k, flag in zip(places, flags, strict=True):
            result[k] = flag
    return result
