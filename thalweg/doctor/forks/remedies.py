"""Remedies that forks can try: each says in words what to do, and does it to an arm."""

from __future__ import annotations

import inspect
import random
from collections import Counter
from typing import Any

import torch
from torch import Tensor, nn

from thalweg import init
from thalweg.doctor.forks.arm import Arm, Batches
from thalweg.doctor.forks.origin import scale_rate
from thalweg.doctor.verdict import Remedy
from thalweg.errors import TaskError
from thalweg.objective.losses import as_loss
from thalweg.objective.nested import mapped, tensors_in

MANY = 10
"""Forks, at least, where what is left of a loss differs much from batch to batch."""
Strategy = init.InitStrategy | init.InitChain


def scaled_rate(factor: float, *, from_start: bool, least: float = 0.9) -> Remedy:
    """Multiply the learning rate of every group."""

    def change(arm: Arm) -> None:
        for group in arm.groups:
            if "lr" in group:
                scale_rate(group, factor)

    words = f"lr × {factor:g}" if factor > 1 else f"lr / {1 / factor:g}"
    name = "higher_rate" if factor > 1 else "lower_rate"
    settings = {"lr_factor": factor}
    return Remedy(name, words, settings, change, from_start, for_speed=factor > 1, least=least)


def clipped(
    norm: float, *, from_start: bool = False, steps: int | None = None, forks: int = 0
) -> Remedy:
    """Cut the gradient to a norm."""

    def change(arm: Arm) -> None:
        arm.clip = norm

    words = f"clip the norm of the gradient at {norm:.3g}"
    return Remedy("clip", words, {"clip": norm}, change, from_start, steps=steps, forks=forks)


def scaled_decay(factor: float) -> Remedy:
    """Multiply the weight decay of every group."""

    def change(arm: Arm) -> None:
        for group in arm.groups:
            if "weight_decay" in group:
                group["weight_decay"] = group["weight_decay"] * factor

    words = f"weight decay / {1 / factor:g}" if factor else "no weight decay"
    return Remedy("lower_decay", words, {"weight_decay_factor": factor}, change)


def started(strategy: Strategy, name: str, words: str, steps: int | None = None) -> Remedy:
    """Draw the weights again by a strategy, and begin from there."""

    def change(arm: Arm) -> None:
        inputs, _ = arm.batches[0]
        init.apply(arm.model, strategy, x=mapped(inputs, torch.clone), seed=arm.seed)

    settings = {"init": str(strategy)}
    return Remedy(name, words, settings, change, from_start=True, for_speed=True, steps=steps)


def rectified() -> Remedy:
    """Replace sigmoid and tanh by ReLU, with He initialization."""

    def change(arm: Arm) -> None:
        for module in arm.model.modules():
            for name, child in list(module.named_children()):
                if isinstance(child, (nn.Sigmoid, nn.Tanh)):
                    setattr(module, name, nn.ReLU())
        init.apply(arm.model, init.he() | init.bias(0.0), x=arm.batches[0][0], seed=arm.seed)

    words = "ReLU instead of sigmoid or tanh, with He initialization"
    settings = {"activation": "relu", "init": "he"}
    return Remedy("rectify", words, settings, change, from_start=True, for_speed=True)


def shuffled() -> Remedy:
    """Draw the rows of each batch from all of the data."""

    def change(arm: Arm) -> None:
        draw = random.Random(arm.seed)  # noqa: S311
        arm.batches = [_mixed(arm.pool, batch, draw) for batch in arm.batches]

    words = "shuffle the rows in each epoch"
    return Remedy("shuffle", words, {"shuffle": True}, change, from_start=True)


def larger_batches(factor: int) -> Remedy:
    """Make each batch larger by rows of others."""

    def change(arm: Arm) -> None:
        draw = random.Random(arm.seed)  # noqa: S311
        arm.batches = [
            _joined([batch, *draw.choices(arm.pool, k=factor - 1)]) for batch in arm.batches
        ]

    words = f"batches of {factor} times as many rows"
    return Remedy("larger_batch", words, {"batch_factor": factor}, change, least=0.75)


def standardized(rate: float = 1.0) -> Remedy:
    """Bring every feature of the inputs to mean 0 and deviation 1, and multiply the learning rate."""

    def change(arm: Arm) -> None:
        rows = torch.cat([_first(x).reshape(len(_first(x)), -1) for x, _ in arm.pool])
        mean, deviation = rows.mean(0), rows.std(0, correction=0)
        deviation = torch.where(deviation > 0, deviation, torch.ones_like(deviation))

        def scale(x: Tensor) -> Tensor:
            if not x.is_floating_point() or x[0].numel() != len(mean):
                return x
            return ((x.reshape(len(x), -1) - mean) / deviation).reshape(x.shape)

        arm.batches = [(mapped(x, scale), y) for x, y in arm.batches]
        arm.probe = [(mapped(x, scale), y) for x, y in arm.probe]
        for group in arm.groups:
            if "lr" in group and rate != 1:
                scale_rate(group, rate)

    words = "standardize the inputs, or put a normalization first"
    settings: dict[str, Any] = {"scale": "standard"}
    if rate != 1:
        words += f", which bears {rate:.2g} times the learning rate"
        settings |= {"lr_factor": rate}
    return Remedy("standardize", words, settings, change, from_start=True)


def left_out(steps: tuple[int, ...]) -> Remedy:
    """Leave out the batches of some steps: one of the others is used instead of each.

    In the other arm the first of them is trained on, in the middle of the fork.
    """

    def both(arm: Arm) -> None:
        strange, others = _parted(arm, steps)
        draw = random.Random(arm.seed)  # noqa: S311
        arm.batches = [b if _is_in(b, others) else draw.choice(others) for b in arm.batches]
        arm.probe = [b if _is_in(b, others) else draw.choice(others) for b in arm.probe]
        arm.batches[len(arm.batches) // 4] = strange[0]

    def change(arm: Arm) -> None:
        _, others = _parted(arm, steps)
        arm.batches[len(arm.batches) // 4] = random.Random(arm.seed).choice(others)  # noqa: S311

    words = "look at the rows of this batch; leave them out or fix them"
    return Remedy("look_at_rows", words, {}, change, from_start=True, both=both)


def _parted(arm: Arm, steps: tuple[int, ...]) -> tuple[Batches, Batches]:
    """Return the kept batches of some steps, and all others."""
    strange = [b for step, b in zip(arm.steps, arm.pool, strict=True) if step in steps]
    others = [b for step, b in zip(arm.steps, arm.pool, strict=True) if step not in steps]
    if not strange or not others:
        raise TaskError("The batch that is to be left out was not kept.")
    return strange, others


def _is_in(batch: tuple[Any, Any], of: Batches) -> bool:
    return any(batch is each for each in of)


def judged_as_classes(guessed: float = 0.0) -> Remedy:
    """Train by the cross-entropy of each row from where the run ended; both arms are measured by it."""
    entropy = as_loss("cross_entropy")

    def both(arm: Arm) -> None:
        arm.measured = entropy

    def change(arm: Arm) -> None:
        arm.loss = entropy

    words = "look for a softmax or a norm over the axis of the rows: cross-entropy compares each with its own"
    return Remedy(
        "look_at_axis", words, {}, change, from_end=True, both=both, guessed=guessed, forks=MANY
    )


def half_dropout() -> Remedy:
    """Halve the chances of dropout; both arms are measured without it."""

    def both(arm: Arm) -> None:
        arm.evaluates = True

    def change(arm: Arm) -> None:
        for module in _dropouts(arm.model):
            module.p = module.p / 2

    return Remedy("less_dropout", "less dropout", {}, change, from_start=True, both=both)


def _dropouts(model: nn.Module) -> list[Any]:
    """Return the modules that drop something out; TaskError where there are none."""
    kinds = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)
    found = [module for module in model.modules() if isinstance(module, kinds) and module.p > 0]
    if not found:
        raise TaskError("The model has no module that drops anything out.")
    return found


def averaged() -> Remedy:
    """Measure the mean of the weights over the last three quarters of the steps."""

    def change(arm: Arm) -> None:
        arm.averages = True

    words = "average the weights (ema, swa), larger batches or a lower rate"
    return Remedy("average", words, {"average": True}, change, least=0.75)


def perturbed(share: float = 0.1) -> Remedy:
    """Add noise to the weights, as a share of their scale."""

    def change(arm: Arm) -> None:
        generator = torch.Generator().manual_seed(arm.seed)
        with torch.no_grad():
            for p in arm.model.parameters():
                if p.requires_grad and p.is_floating_point():
                    scale = share / max(p[0].numel() if p.ndim > 1 else p.numel(), 1) ** 0.5
                    noise = torch.randn(p.shape, generator=generator, dtype=torch.float32)
                    p.add_(noise.to(p), alpha=scale)

    words = "noise on the weights to leave the saddle, or another start"
    return Remedy("perturb", words, {"init": "he"}, change, for_speed=True)


class _Masters:
    """An optimizer of float32 copies, which are rounded into the model's parameters after each step."""

    def __init__(self, inner: torch.optim.Optimizer) -> None:
        self._held = [p for group in inner.param_groups for p in group["params"]]
        self._copies = [nn.Parameter(p.detach().float()) for p in self._held]
        new = dict(zip(map(id, self._held), self._copies, strict=True))
        own = inspect.signature(type(inner)).parameters
        groups = [
            {k: v for k, v in group.items() if k in own and k not in ("params", "fused", "foreach")}
            | {"params": [new[id(p)] for p in group["params"]]}
            for group in inner.param_groups
        ]
        self._inner = type(inner)(groups, **{k: v for k, v in groups[0].items() if k == "lr"})

    def zero_grad(self) -> None:
        for p in self._held:
            p.grad = None

    def step(self) -> None:
        for p, copied in zip(self._held, self._copies, strict=True):
            copied.grad = None if p.grad is None else p.grad.float()
        self._inner.step()
        with torch.no_grad():
            for p, copied in zip(self._held, self._copies, strict=True):
                p.copy_(copied)


def widened(steps: int | None = None) -> Remedy:
    """Keep a copy of the weights in float32, which small steps add up in."""

    def change(arm: Arm) -> None:
        assert isinstance(arm.optimizer, torch.optim.Optimizer)
        arm.optimizer = _Masters(arm.optimizer)

    words = "weights in float32, with autocast for speed, or stochastic rounding"
    # what rounds to nothing is missing in every step: a fork shows a small part of it, and any is enough
    settings = {"dtype": "float32"}
    return Remedy("float32", words, settings, change, for_speed=True, least=1.0, steps=steps)


def equal_rates(steps: int | None = None, *, from_end: bool = False, least: float = 0.9) -> Remedy:
    """Give all groups the learning rate that most parameters have."""

    def change(arm: Arm) -> None:
        groups = [g for g in arm.groups if "lr" in g]
        rates = Counter(float(g["lr"]) for g in groups for _ in g["params"])
        for group in groups:
            scale_rate(group, None, rates.most_common(1)[0][0])

    words = "the same learning rate for all groups, or muP"
    settings = {"lr": "equal"}
    return Remedy(
        "equal_rates", words, settings, change, not from_end, from_end, for_speed=not from_end,
        least=least, steps=steps,
    )  # fmt: skip


def advice(name: str, words: str, **settings: Any) -> Remedy:
    """Say what to do where a fork cannot try it."""
    return Remedy(name, words, settings)


def _first(inputs: Any) -> Tensor:
    return next(t for t in tensors_in(inputs) if t.is_floating_point())


def _mixed(pool: Batches, batch: tuple[Any, Any], draw: random.Random) -> tuple[Any, Any]:
    """Return a batch of as many rows as `batch` has, drawn from all batches of the pool."""
    rows = len(next(tensors_in(batch)))
    others = [draw.choice(pool) for _ in range(min(rows, 8))]
    joined = _joined(others)
    chosen = torch.tensor(draw.sample(range(len(next(tensors_in(joined)))), rows))

    def pick(x: Tensor) -> Tensor:
        return x[chosen.to(x.device)]

    mixed: tuple[Any, Any] = mapped(joined, pick)
    return mixed


def _joined(batches: Batches) -> tuple[Any, Any]:
    """Return batches as one."""
    tensors = [list(tensors_in(batch)) for batch in batches]
    columns = iter([torch.cat(parts) for parts in zip(*tensors, strict=True)])
    joined: tuple[Any, Any] = mapped(batches[0], lambda _: next(columns))
    return joined
