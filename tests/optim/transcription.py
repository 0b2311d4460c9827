"""A NumPy transcription as an optimizer of PyTorch: groups, absent gradients, changes by hand."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from thalweg.engine.program.noise import normal

from .cases.case import EMBODIED, Case
from .references.compose import options_of

Group = dict[str, Any]


class Transcription(Optimizer):
    """Steps parameters by the reference of a case, in float64.

    `noise_dtype` is the dtype of the parameters whose noise it draws; noise has an oracle of its own.
    """

    def __init__(
        self, params: Any, case: Case, *, noise_dtype: torch.dtype | None = None, **options: Any
    ) -> None:
        assert case.reference is not None, f"no oracle for {case.name}"
        self.case, self.noise_dtype = case, noise_dtype
        known = options_of(case.reference)
        given = {k: v for k, v in {**case.options, **options}.items() if k not in EMBODIED}
        unknown = set(given) - set(known) - {"lr"}
        assert not unknown, f"the reference of {case.name} does not take {unknown}"
        super().__init__(params, {"lr": case.lr, **known, **given})
        self.known = frozenset(known)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        all_ = [(p, group) for group in self.param_groups for p in group["params"]]
        present = [(n, p, group) for n, (p, group) in enumerate(all_) if p.grad is not None]
        if self.case.is_coupled:
            self._step_together([(p, group) for _, p, group in present])
            return
        for place, p, group in present:
            t = self._count(p)
            extra = {"noise": self._noise(p, group, t, place)} if self.case.draws_noise else {}
            s = self.state[p].setdefault("of the reference", {})
            w, g = numbers(p.detach()), numbers(p.grad)
            p.copy_(like(self.case.reference(w, g, s, **self._options(group, t), **extra), p))

    def _step_together(self, present: list[tuple[Tensor, Group]]) -> None:
        params = [p for p, _ in present]
        ts = {self._count(p) for p in params}
        options = [self._options(group, t) for _, group in present for t in ts]
        first = self.state[params[0]]
        before = first.setdefault("stepped", params)
        assert all(map(torch.is_same_size, before, params)), "all arrays or none have gradients"
        assert all(each == options[0] for each in options), "one set of options for all"
        s = first.setdefault("of the reference", {})
        ws, gs = [numbers(p.detach()) for p in params], [numbers(p.grad) for p in params]
        for p, w in zip(params, self.case.reference(ws, gs, s, **options[0]), strict=True):
            p.copy_(like(w, p))

    def _count(self, p: Tensor) -> int:
        """Count a step of a parameter, as an entry of its state that may be changed by hand."""
        state = self.state[p]
        state["step"] = state.get("step", torch.tensor(0.0)) + 1.0
        return int(state["step"])

    def _options(self, group: Group, t: int) -> dict[str, Any]:
        known = {k: v for k, v in group.items() if k in self.known}
        return {"t": t, "lr": float(group["lr"]), **known}

    def _noise(self, p: Tensor, group: Group, t: int, place: int) -> Any:
        real = torch.view_as_real(p.detach()) if p.is_complex() else p.detach()
        dtype = self.noise_dtype or real.dtype
        wide = dtype if dtype in (torch.float32, torch.float64) else torch.float32
        return numbers(normal(group["seed"], t, place, real.to(wide)))


def numbers(x: Tensor) -> Any:
    """Return a tensor as an array of float64, a complex one as pairs."""
    real = torch.view_as_real(x) if x.is_complex() else x
    return real.to(torch.float64, copy=True).numpy()


def like(w: Any, p: Tensor) -> Tensor:
    """Return an array as what the parameter is."""
    x = torch.as_tensor(w)
    return torch.view_as_complex(x) if p.is_complex() else x
