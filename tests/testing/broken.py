"""Optimizers that break a contract, each in one way."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from .sound import Group, Sound


class Still(Sound):
    def apply(self, p: Tensor, update: Tensor) -> None:
        p.add_(0 * update)

    def decay(self, p: Tensor, group: Group) -> None:
        pass


class Overflowing(Sound):
    def apply(self, p: Tensor, update: Tensor) -> None:
        p.sub_(update / 0)


class DecaysTheGradient(Sound):
    def gradient(self, p: Tensor, group: Group) -> Tensor:
        return super().gradient(p, group).add_(p, alpha=group["weight_decay"])


class ReplacesTheGradient(Sound):
    def update(self, p: Tensor, group: Group) -> None:
        super().update(p, group)
        assert p.grad is not None
        p.grad = p.grad.clone()


class KeepsTheGradient(Sound):
    def direction(self, p: Tensor, g: Tensor) -> Tensor:
        last = self.state[p].get("last", torch.zeros_like(g))
        self.state[p]["last"] = g
        return super().direction(p, g) + 0.1 * last


class RemembersTheLast(Sound):
    """A number of one tensor is left in the optimizer and used for the next."""

    def update_all(self) -> None:
        self.scale = 1.0
        super().update_all()

    def direction(self, p: Tensor, g: Tensor) -> Tensor:
        update = super().direction(p, g) * self.scale
        self.scale = 1 + 0.1 * float(g.abs().sum())
        return update


class DecaysWithoutGradient(Sound):
    def update_all(self) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    self.decay(p, group)
        super().update_all()


class CountsWithoutGradient(Sound):
    def update_all(self) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None and p in self.state:
                    self.count(p)
        super().update_all()


class NeedsAGradient(Sound):
    def update_all(self) -> None:
        torch._foreach_norm(
            [p.grad for g in self.param_groups for p in g["params"] if p.grad is not None]
        )
        super().update_all()


class CountsForTheGroup(Sound):
    def update(self, p: Tensor, group: Group) -> None:
        first = next(q for q in group["params"] if q.grad is not None)
        if p is first:
            group["t"] = group.get("t", 0) + 1
        self.state[p]["t"] = group["t"] - 1
        super().update(p, group)


class CountsBackwardPasses(Sound):
    def add_param_group(self, param_group: Group) -> None:
        super().add_param_group(param_group)
        for p in self.param_groups[-1]["params"]:
            p.register_post_accumulate_grad_hook(self.listen)

    def listen(self, p: Tensor) -> None:
        self.count(p)

    def direction(self, p: Tensor, g: Tensor) -> Tensor:
        before = self.state[p].get("t", 1)
        self.state[p]["t"] = before - 1
        update = super().direction(p, g)
        self.state[p]["t"] = before
        return update


class GivesUpOnNaN(Sound):
    def update_all(self) -> None:
        grads = [p.grad for group in self.param_groups for p in group["params"]]
        if not any(g is not None and bool(g.isnan().any()) for g in grads):
            super().update_all()


class TakesTheLastEntry(Sound):
    def gradient(self, p: Tensor, group: Group) -> Tensor:
        assert p.grad is not None
        if not p.grad.is_sparse:
            return super().gradient(p, group)
        dense = torch.zeros_like(p)
        for row, value in zip(p.grad._indices()[0], p.grad._values(), strict=True):
            dense[row] = value
        return dense


class FailsOnSparse(Sound):
    def gradient(self, p: Tensor, group: Group) -> Tensor:
        assert p.grad is not None
        if p.grad.is_sparse:
            raise IndexError("list index out of range")
        return super().gradient(p, group)


class ClampsTheGradient(Sound):
    """PyTorch's dispatcher says that `clamp_` is not there for SparseCPU, and for what it is."""

    def gradient(self, p: Tensor, group: Group) -> Tensor:
        assert p.grad is not None
        g = p.grad.clamp_(-1e9, 1e9)
        return -g if group["maximize"] else g


class RefusesTooLate(Sound):
    def update(self, p: Tensor, group: Group) -> None:
        self.decay(p, group)
        self.apply(p, group["lr"] * self.direction(p, self.gradient(p, group)))


class RefusesAfterCounting(Sound):
    def gradient(self, p: Tensor, group: Group) -> Tensor:
        self.state[p]["calls"] = self.state[p].get("calls", 0) + 1
        return super().gradient(p, group)


class AlwaysSetsToNone(Sound):
    def zero_grad(self, set_to_none: bool = True) -> None:
        super().zero_grad()


class ReadsTheFirstGroup(Sound):
    def update(self, p: Tensor, group: Group) -> None:
        super().update(p, {**group, "lr": self.param_groups[0]["lr"]})


class ReadsLrLate(Sound):
    def update(self, p: Tensor, group: Group) -> None:
        lr = self.state[p].get("lr", group["lr"])
        super().update(p, {**group, "lr": lr})
        self.state[p]["lr"] = group["lr"]


class ReadsLrOnce(Sound):
    def update(self, p: Tensor, group: Group) -> None:
        lr = self.state[p].setdefault("lr", group["lr"])
        super().update(p, {**group, "lr": lr})


class DecaysWithoutLr(Sound):
    def decay(self, p: Tensor, group: Group) -> None:
        p.mul_(1 - 0.01 * group["weight_decay"])


class DividesByLr(Sound):
    def update(self, p: Tensor, group: Group) -> None:
        if group["lr"] == 0:
            self.state[p]["m"] = torch.full_like(p, torch.nan)
            self.state[p]["v"] = torch.zeros_like(p)
            return
        super().update(p, group)


class BeginsAnew(Sound):
    def add_param_group(self, param_group: Group) -> None:
        super().add_param_group(param_group)
        self.state.clear()


class NegatesInPlace(Sound):
    def gradient(self, p: Tensor, group: Group) -> Tensor:
        g = super().gradient(p, {**group, "maximize": False})
        return g.neg_() if group["maximize"] else g


class IgnoresMaximize(Sound):
    def gradient(self, p: Tensor, group: Group) -> Tensor:
        return super().gradient(p, {**group, "maximize": False})


class TakesNothing(Sound):
    def __init__(self, params: Any, lr: float = 0.01) -> None:
        super().__init__(list(params) or [torch.zeros(1, requires_grad=True)], lr)


class DropsDuplicates(Sound):
    def add_param_group(self, param_group: Group) -> None:
        mine = {p for group in self.param_groups for p in group["params"]}
        params = [p for p in param_group["params"] if p not in mine] or [torch.zeros(1)]
        super().add_param_group({**param_group, "params": list(dict.fromkeys(params))})


class GoesThroughTwice(Sound):
    def __init__(self, params: Any, lr: float = 0.01) -> None:
        self.number = sum(1 for _ in params)
        super().__init__(params, lr)


class KeepsItsGroups(Sound):
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        rates = [group["lr"] for group in self.param_groups]
        super().load_state_dict(state_dict)
        for group, lr in zip(self.param_groups, rates, strict=True):
            group["lr"] = lr


class CountsInAnAttribute(Sound):
    def count(self, p: Tensor) -> int:
        counts = self.__dict__.setdefault("counts", {})
        counts[p] = counts.get(p, 0) + 1
        return int(counts[p])


class Mark:
    """An object that only pickle can write."""


class KeepsAnObject(Sound):
    def direction(self, p: Tensor, g: Tensor) -> Tensor:
        self.state[p].setdefault("mark", MARK)
        return super().direction(p, g)


MARK = Mark()


class CastsItsState(Sound):
    load_state_dict = Optimizer.load_state_dict  # type: ignore[assignment]


class CopiesShallowly(Sound):
    def __deepcopy__(self, memo: Any) -> CopiesShallowly:
        twin = type(self)(self.param_groups)
        twin.state.update(self.state)
        return twin


class HoldsALock(Sound):
    def __getstate__(self) -> dict[str, Any]:
        raise TypeError("cannot pickle '_thread.lock' object")


Misplaced = type("Elsewhere", (Sound,), {})


class CountsForTheClass(Sound):
    steps = 0

    def update_all(self) -> None:
        type(self).steps += 1
        super().update_all()

    def apply(self, p: Tensor, update: Tensor) -> None:
        p.sub_(update / (1 + 0.01 * self.steps))


class EvaluatesWithoutGrad(Sound):
    @torch.no_grad()
    def take(self, closure: Any) -> Any:
        loss = None if closure is None else closure()
        self.update_all()
        return loss


class ReturnsNothing(Sound):
    def take(self, closure: Any) -> Any:
        super().take(closure)


class IgnoresTheClosure(Sound):
    def take(self, closure: Any) -> Any:
        super().take(None)
        return 0.0


class KeepsTheClosure(Sound):
    def take(self, closure: Any) -> Any:
        self.last = closure
        return super().take(closure)


class RunsNoHooks(Sound):
    def step(self, closure: Any = None) -> Any:
        return self.take(closure)

    step.hooked = True  # type: ignore[attr-defined]


class ClaimsToScale(Sound):
    _step_supports_amp_scaling = True


class WritesThroughData(Sound):
    def decay(self, p: Tensor, group: Group) -> None:
        super().decay(p.data, group)

    def apply(self, p: Tensor, update: Tensor) -> None:
        p.data.sub_(update)


class RecordsAGraph(Sound):
    def direction(self, p: Tensor, g: Tensor) -> Tensor:
        with torch.enable_grad():
            last = self.state[p].get("mean", torch.zeros_like(g))
            self.state[p]["mean"] = 0.9 * last + 0.1 * g
        return super().direction(p, g)


class LeavesGradOff(Sound):
    def take(self, closure: Any) -> Any:
        loss = super().take(closure)
        torch.set_grad_enabled(False)
        return loss


class ReplacesTheData(Sound):
    def apply(self, p: Tensor, update: Tensor) -> None:
        p.data = p.data - update


class UpdatesACopy(Sound):
    def apply(self, p: Tensor, update: Tensor) -> None:
        p.contiguous().sub_(update)


class FlattensParameters(Sound):
    def apply(self, p: Tensor, update: Tensor) -> None:
        p.view(-1).sub_(update.reshape(-1))


class TrustsTheLayout(Sound):
    def gradient(self, p: Tensor, group: Group) -> Tensor:
        g = super().gradient(p, group)
        return g.as_strided(p.shape, p.stride()) if p.is_contiguous() else g


class LoopsOverRows(Sound):
    def apply(self, p: Tensor, update: Tensor) -> None:
        for row in range(p.shape[0]):
            p[row].sub_(update[row])


class TakesTheMean(Sound):
    def apply(self, p: Tensor, update: Tensor) -> None:
        p.sub_(update * (1 + 0 * sum(p.flatten().tolist()) / p.numel()))


class RoundsItsScalars(Sound):
    def correction(self, beta: float, t: int, p: Tensor) -> Any:
        return 1 - torch.tensor(beta, dtype=p.dtype) ** t


class NeverMade(Sound):
    def __init__(self, params: Any) -> None:
        raise KeyError("betas")


class NeverSteps(Sound):
    def update_all(self) -> None:
        raise ZeroDivisionError("division by zero")
