"""Sound optimizers that do something unusual on purpose."""

from __future__ import annotations

import random
from collections import deque
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from .sound import Group, Sound


class WaitsFiveSteps(Sound):
    """RAdam waits so until its second moment says something."""

    wait = 5

    def update(self, p: Tensor, group: Group) -> None:
        update = self.direction(p, self.gradient(p, group))
        if self.state[p]["t"] > self.wait:
            self.decay(p, group)
            self.apply(p, group["lr"] * update)


class WaitsOneStep(WaitsFiveSteps):
    """ADOPT and SOAP only look in their first step."""

    wait = 1


class MovesEveryFourthStep(Sound):
    """Accumulation inside an optimizer."""

    def update(self, p: Tensor, group: Group) -> None:
        g = self.gradient(p, group)
        state = self.state[p]
        state["calls"] = state.get("calls", 0) + 1
        state["sum"] = state.get("sum", torch.zeros_like(p)) + g
        if state["calls"] % 4 == 0:
            self.decay(p, group)
            self.apply(p, group["lr"] * self.direction(p, state["sum"]))
            state["sum"] = torch.zeros_like(p)


class Unrepeatable(Sound):
    """Its threads race: no two runs are equal. Here a generator of its own stands for them."""

    source = random.SystemRandom()

    def apply(self, p: Tensor, update: Tensor) -> None:
        p.sub_(update * (1 + 1e-6 * self.source.random()))


class AddsNoise(Sound):
    """One stream of noise for all tensors, in the order of memory."""

    def apply(self, p: Tensor, update: Tensor) -> None:
        p.sub_(update * (1 + 0.1 * torch.randn_like(update)))


class DrawsOfPython(Sound):
    """Its noise is Python's."""

    def apply(self, p: Tensor, update: Tensor) -> None:
        p.sub_(update * random.uniform(0.9, 1.1))


class NoSparse(Exception):  # noqa: N818
    """Not a RuntimeError."""


class RefusesSparseInItsWay(Sound):
    def gradient(self, p: Tensor, group: Group) -> Tensor:
        assert p.grad is not None
        if p.grad.is_sparse:
            raise NoSparse("no sparse gradients here")
        return super().gradient(p, group)


class RefusesSparseInSilence(Sound):
    def gradient(self, p: Tensor, group: Group) -> Tensor:
        assert p.grad is not None
        assert not p.grad.is_sparse
        return super().gradient(p, group)


class KeepsFloat32(Sound):
    """Averages in float32 whatever the parameters are, which PyTorch's load_state_dict casts."""

    def direction(self, p: Tensor, g: Tensor) -> Tensor:
        state = self.state[p]
        if "mean" not in state:
            state["mean"] = torch.zeros_like(p, dtype=torch.float32)
        mean = state["mean"].mul_(0.9).add_(g.float(), alpha=0.1)
        return mean.to(p.dtype) / 3

    load_state_dict = Optimizer.load_state_dict  # type: ignore[assignment]


class ComputesInFloat32(Sound):
    def apply(self, p: Tensor, update: Tensor) -> None:
        p.copy_(p.float() - update.float())


class ReadsTheLoss(Sound):
    """Polyak's step size."""

    def take(self, closure: Any) -> Any:
        self.scale = 1.0
        if closure is not None:
            self.scale = min(1.0, abs(float(loss := torch.enable_grad()(closure)())) / 1000)
        super().take(None)
        return loss if closure is not None else None

    def apply(self, p: Tensor, update: Tensor) -> None:
        super().apply(p, self.scale * update)


class WantsTrainMode(Sound):
    training = False

    def train(self) -> None:
        self.training = True

    def update_all(self) -> None:
        if not self.training:
            raise Exception("the optimizer is not in train mode")
        super().update_all()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__


class TakesFloat32Only(Sound):
    def update(self, p: Tensor, group: Group) -> None:
        if p.dtype == torch.float64:
            raise RuntimeError("expected dtype float but got dtype double")
        super().update(p, group)


class MatricesOnly(Sound):
    def update(self, p: Tensor, group: Group) -> None:
        if p.ndim != 2:
            raise ValueError("only matrices")
        super().update(p, group)


class Projector:
    """A state that is an object, without `==`."""

    def __init__(self) -> None:
        self.calls = 0


class KeepsObjects(Sound):
    """Only the checks that save it have something to say."""

    def direction(self, p: Tensor, g: Tensor) -> Tensor:
        state = self.state[p]
        state.setdefault("projector", Projector()).calls += 1
        state.setdefault("last", deque(maxlen=2)).append(g.clone())
        return super().direction(p, g)


class AveragesAtLrZero(Sound):
    """A convex combination rounds where nothing moves."""

    def apply(self, p: Tensor, update: Tensor) -> None:
        p.mul_(0.9).add_(0.1 * (p / 0.9 - 10 * update))


class LeansOnTheLargest(Sound):
    """Where all are equally large, rounding decides which one leads, as it decides on a degenerate basis."""

    def direction(self, p: Tensor, g: Tensor) -> Tensor:
        update = super().direction(p, g)
        if p.numel() == 0:
            return update
        places = torch.arange(p.numel()).view(p.shape)
        rounded = 1e-6 * places * (-1 if p.dtype == torch.bfloat16 else 1)
        first = self.state[p].setdefault("first", (g.abs().double() + rounded).argmax())
        return torch.where(places == first, 6 * update, update)
