"""L-BFGS with PyTorch's signature and trajectory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from thalweg.errors import suggest
from thalweg.optim.solvers.base import SolverOptimizer
from thalweg.optim.solvers.closure import Closure
from thalweg.optim.solvers.flat import Flat
from thalweg.optim.solvers.lbfgs_run import LBFGSRun, LBFGSSettings
from thalweg.optim.solvers.memory import Memory, rearranged
from thalweg.optim.solvers.outcome import StepResult
from thalweg.solvers.stop import Status


class LBFGS(SolverOptimizer, torch.optim.LBFGS):
    """Limited-memory BFGS (Liu and Nocedal 1989): an inverse Hessian made of the last pairs of steps.

        s = xₖ₊₁ − xₖ,  y = gₖ₊₁ − gₖ,  ρ = 1/sᵀy
        H₀ = (sᵀy/yᵀy)·I,  H ← (I − ρsyᵀ)·H·(I − ρysᵀ) + ρssᵀ   for each of the last `history_size` pairs
        p ← p − t·H·g

    Without a line search t = lr; with `line_search_fn="strong_wolfe"` lr is the first t tried.

    Paper: Liu and Nocedal 1989, "On the Limited Memory BFGS Method for Large Scale Optimization",
    Mathematical Programming 45; in the form of M. Schmidt's minFunc, which PyTorch ports.
    Defaults: PyTorch's: lr = 1, 20 iterations a step, 100 pairs, no line search. With full batches
    "strong_wolfe" is the safe choice.
    Use: for deterministic objectives, in float64 where they are ill-conditioned: physics-informed networks,
    fine fits after Adam; not for small mini-batches, whose gradients differ by more than their noise.
    Deviations: trajectory, counts and state dicts are PyTorch's, up to rounding, where PyTorch's run goes
    well. Elsewhere a step goes back from a loss that is not finite, `max_eval` is never exceeded, a parameter
    without a gradient stays where it is, and a direction that does not lead down is replaced by −g.
    Cost: 2·history_size + 3 numbers for each number of a parameter, in float32 at least, and one more copy
    without a line search; two passes over the pairs for a direction.

    Args:
        params: a module, or what `torch.optim` takes: tensors, named tensors, or groups; their entries are
            the same in all groups.
        lr: step length, or the first one tried. 0 moves nothing.
        max_iter: most iterations in a step.
        max_eval: most evaluations of the closure in a step, by default 5/4 of `max_iter`.
        tolerance_grad: a step ends where no component of the gradient is larger.
        tolerance_change: a step ends where the loss, or every parameter, changes by less.
        history_size: how many pairs are kept.
        line_search_fn: None or "strong_wolfe".
        maximize: maximize the loss.

    The closure zeroes the gradients, computes the loss, calls backward and returns the loss. `result` says
    why the last step ended.

    Raises:
        ValueError: an argument that is out of range, or groups that differ.

    >>> import torch
    >>> x = torch.nn.Parameter(torch.tensor([-1.2, 1.0], dtype=torch.float64))
    >>> optimizer = LBFGS([x], max_iter=100, line_search_fn="strong_wolfe")
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2
    ...     loss.backward()
    ...     return loss
    >>> loss = optimizer.step(closure)
    >>> optimizer.result.success, [round(value, 3) for value in x.tolist()]
    (True, [1.0, 1.0])
    """

    def __init__(
        self,
        params: nn.Module | Iterable[Any],
        lr: float | Tensor = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
        *,
        maximize: bool = False,
    ) -> None:
        self._check({"max_iter": max_iter})
        defaults = {
            "lr": lr,
            "max_iter": max_iter,
            "max_eval": _most(max_iter, max_eval),
            "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change,
            "history_size": history_size,
            "line_search_fn": line_search_fn,
            "maximize": maximize,
        }
        self._begin(params, defaults)

    def _check(self, entries: Mapping[str, Any]) -> None:
        super()._check(entries)
        search = entries.get("line_search_fn")
        if search not in (None, "strong_wolfe"):
            raise ValueError(
                f"LBFGS has no line search {search!r}; it has None and 'strong_wolfe'."
                f"{suggest(str(search), ['strong_wolfe'])}"
            )

    def _take(self, closure: Callable[..., Any]) -> Any:
        group = self._settings()
        flat = Flat(self.param_groups)
        wrapped = Closure(type(self).__name__, closure, flat, bool(group["maximize"]))
        state = self._kept
        memory = Memory.read(state, flat)
        run = LBFGSRun(flat, wrapped, memory, _settings_of(group))
        try:
            self.result = run.run()
        except BaseException:
            if run.fall_back():
                memory.write(state)
            self.result = StepResult(Status.INTERRUPTED, run.f, run.iterations, wrapped.count)
            raise
        finally:
            state["func_evals"] = int(state.get("func_evals", 0)) + wrapped.count
            state.setdefault("n_iter", 0)
        memory.write(state)
        return wrapped.first

    def _grow(self, state: dict[str, Any], before: Flat, after: Flat) -> None:
        added = after.size - before.size
        rearranged(state, lambda v: torch.cat([v, v.new_zeros(added)]) if added else v)
        if "d" in state:
            new = range(len(before.params), len(after.params))
            state["absent"] = [*state.get("absent", ()), *new]
        if state.get("origin") is not None:  # its end is of the parameters that were there
            del state["origin"]

    def _permute(self, state: dict[str, Any], order: Tensor, places: Sequence[int]) -> None:
        rearranged(state, lambda v: v[order.to(v.device)])
        if "absent" in state:
            state["absent"] = [places[k] for k in state["absent"]]


def _settings_of(group: Mapping[str, Any]) -> LBFGSSettings:
    return LBFGSSettings(
        lr=float(group["lr"]),
        max_iter=group["max_iter"],
        max_eval=_most(group["max_iter"], group["max_eval"]),
        tolerance_grad=float(group["tolerance_grad"]),
        tolerance_change=float(group["tolerance_change"]),
        history_size=group["history_size"],
        search=group["line_search_fn"] is not None,
    )


def _most(max_iter: int, max_eval: int | None) -> int:
    return max_iter * 5 // 4 if max_eval is None else max_eval
