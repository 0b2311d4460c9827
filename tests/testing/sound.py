"""A sound optimizer, which passes every check."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

Group = dict[str, Any]


class Sound(Optimizer):
    """AdamW with float32 states, written plainly; the others change one thing in it."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.01,
        weight_decay: float = 0.1,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "maximize": maximize})

    def step(self, closure: Any = None) -> Any:
        # overridden are the methods below: PyTorch runs hooks twice where one `step` calls another
        return self.take(closure)

    @torch.no_grad()
    def take(self, closure: Any) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self.update_all()
        return loss

    def update_all(self) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self.update(p, group)

    def update(self, p: Tensor, group: Group) -> None:
        g = self.gradient(p, group)
        self.decay(p, group)
        self.apply(p, group["lr"] * self.direction(p, g))

    def gradient(self, p: Tensor, group: Group) -> Tensor:
        assert p.grad is not None
        if p.grad.is_sparse:
            raise RuntimeError(f"{type(self).__name__} does not support sparse gradients")
        return -p.grad if group["maximize"] else p.grad

    def decay(self, p: Tensor, group: Group) -> None:
        p.mul_(1 - group["lr"] * group["weight_decay"])

    def count(self, p: Tensor) -> int:
        t: int = self.state[p].get("t", 0) + 1
        self.state[p]["t"] = t
        return t

    def correction(self, beta: float, t: int, p: Tensor) -> Any:
        return 1 - beta**t

    def direction(self, p: Tensor, g: Tensor) -> Tensor:
        state = self.state[p]
        t = self.count(p)
        if "m" not in state:
            dtype = torch.promote_types(p.dtype, torch.float32)
            state["m"], state["v"] = (
                torch.zeros_like(p, dtype=dtype),
                torch.zeros_like(p, dtype=dtype),
            )
        g = g.to(state["m"].dtype)
        state["m"].lerp_(g, 0.1)
        state["v"].mul_(0.999).addcmul_(g, g, value=0.001)
        scale = (state["v"] / self.correction(0.999, t, p)).sqrt() + 1e-8
        return state["m"] / self.correction(0.9, t, p) / scale

    def apply(self, p: Tensor, update: Tensor) -> None:
        p.sub_(update)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        params = [p for group in self.param_groups for p in group["params"]]
        for i, state in state_dict["state"].items():
            self.state[params[i]] = {
                k: v.clone() if isinstance(v, Tensor) else v for k, v in state.items()
            }
