"""Two worlds: the same parameters, stepped by torch.optim and by thalweg, and what may happen there.

A world holds parameters and an optimizer. An action changes a world; it is applied to both, with the same
seed, and must leave them alike.
"""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer

Draw = torch.Generator


@dataclass
class World:
    """Parameters, the optimizer that steps them, and how another one like it is made."""

    make: Callable[[Any], Optimizer]
    params: list[Parameter]
    groups: list[list[int]]
    optimizer: Optimizer = field(init=False)
    scheduler: Any = None
    memory: list[Tensor] = field(default_factory=list)
    """What parameters are views of."""

    def __post_init__(self) -> None:
        self.optimizer = self.make([{"params": [self.params[k] for k in g]} for g in self.groups])

    @property
    def inner(self) -> Any:
        return getattr(self.optimizer, "optimizer", self.optimizer)


def normal(draw: Draw, like: Tensor) -> Tensor:
    """Return random numbers of the shape and dtype of a tensor, dense."""
    return torch.randn(like.shape, generator=draw, dtype=torch.float64).to(like.dtype)


# -- gradients ----------------------------------------------------------------------------------------------


def dense(g: Tensor) -> Tensor:
    return g


def transposed(g: Tensor) -> Tensor:
    return g.t().contiguous().t() if g.ndim == 2 else g


def spaced(g: Tensor) -> Tensor:
    wide = torch.zeros(*g.shape, 2, dtype=g.dtype)
    wide[..., 0] = g
    return wide[..., 0]


def expanded(g: Tensor) -> Tensor:
    return g.flatten()[:1].expand(g.numel()).view(g.shape) if g.numel() and g.ndim else g


def sliced(g: Tensor) -> Tensor:
    around = torch.zeros(g.numel() + 7, dtype=g.dtype)
    around[3 : 3 + g.numel()] = g.flatten()
    return around[3 : 3 + g.numel()].view(g.shape)


def requiring(g: Tensor) -> Tensor:
    return g.clone().requires_grad_() * 1.0


GRADIENTS = [dense, transposed, spaced, expanded, sliced, requiring]


def give(world: World, draw: Draw, kind: int, missing: int) -> None:
    """Give gradients of one kind; `missing` says by its bits which parameters get none."""
    for k, p in enumerate(world.params):
        g = GRADIENTS[kind](normal(draw, p.detach()))
        p.grad = None if missing >> k & 1 or not p.requires_grad else g


# -- actions: (world, draw, number) -------------------------------------------------------------------------

Action = Callable[[World, Draw, int], None]


def step(world: World, draw: Draw, n: int) -> None:
    give(world, draw, n % len(GRADIENTS), 0)
    _step(world)


def step_some(world: World, draw: Draw, n: int) -> None:
    give(world, draw, n % len(GRADIENTS), n)
    _step(world)


def step_again(world: World, draw: Draw, n: int) -> None:
    """On the gradients that are there."""
    _step(world)


def step_by_closure(world: World, draw: Draw, n: int) -> None:
    def closure() -> Tensor:
        give(world, draw, n % len(GRADIENTS), 0)
        return torch.tensor(1.0)

    assert world.optimizer.step(closure) == 1.0


def _step(world: World) -> None:
    world.optimizer.step()
    if world.scheduler is not None:
        world.scheduler.step()


def zero_grad(world: World, draw: Draw, n: int) -> None:
    world.optimizer.zero_grad(set_to_none=n % 2 == 0)


def set_lr(world: World, draw: Draw, n: int) -> None:
    group = world.optimizer.param_groups[n % len(world.optimizer.param_groups)]
    group["lr"] = 0.01 * (1 + n % 7)


def set_decay(world: World, draw: Draw, n: int) -> None:
    group = world.optimizer.param_groups[n % len(world.optimizer.param_groups)]
    if "weight_decay" in group:
        group["weight_decay"] = 0.1 * (n % 3)


def schedule(world: World, draw: Draw, n: int) -> None:
    if world.scheduler is None:
        world.scheduler = torch.optim.lr_scheduler.StepLR(world.optimizer, 1 + n % 3, gamma=0.5)


def freeze(world: World, draw: Draw, n: int) -> None:
    p = world.params[n % len(world.params)]
    p.requires_grad_(not p.requires_grad)
    p.grad = None


def write_parameter(world: World, draw: Draw, n: int) -> None:
    p = world.params[n % len(world.params)]
    with torch.no_grad():
        p.copy_(normal(draw, p))


def swap_data(world: World, draw: Draw, n: int) -> None:
    """Other memory, maybe in another order."""
    p = world.params[n % len(world.params)]
    data = normal(draw, p)
    p.data = data.t().contiguous().t() if p.ndim == 2 and n % 2 else data


def transpose_data(world: World, draw: Draw, n: int) -> None:
    for p in world.params:
        if p.ndim == 2 and p.shape[0] == p.shape[1]:
            p.data = p.data.t()
            p.grad = None


def tie(world: World, draw: Draw, n: int) -> None:
    """Put a parameter on the memory of another one of its shape and dtype."""
    a = world.params[n % len(world.params)]
    for b in world.params:
        if b is not a and b.shape == a.shape and b.dtype == a.dtype:
            b.data = a.data


def _state(world: World, n: int) -> tuple[Parameter, dict[str, Any]]:
    p = world.params[n % len(world.params)]
    return p, world.inner.state.get(p, {})


def fill_state(world: World, draw: Draw, n: int) -> None:
    _, state = _state(world, n)
    for name, value in state.items():
        if isinstance(value, Tensor) and name != "step" and value.ndim:
            value.mul_(0.5)


def replace_state(world: World, draw: Draw, n: int) -> None:
    _, state = _state(world, n)
    for name, value in list(state.items()):
        if isinstance(value, Tensor) and value.ndim:
            state[name] = value.clone() * 0.5


def move_state(world: World, draw: Draw, n: int) -> None:
    """Other memory under the same tensor."""
    _, state = _state(world, n)
    for value in state.values():
        if isinstance(value, Tensor) and value.ndim:
            value.data = value.data.clone()


def set_step(world: World, draw: Draw, n: int) -> None:
    _, state = _state(world, n)
    if "step" in state:
        state["step"] = torch.tensor(float(1 + n % 5))


def fill_step(world: World, draw: Draw, n: int) -> None:
    _, state = _state(world, n)
    if "step" in state:
        state["step"].fill_(1.0 + n % 5)


def drop_state(world: World, draw: Draw, n: int) -> None:
    p, _ = _state(world, n)
    world.inner.state.pop(p, None)


def note_in_state(world: World, draw: Draw, n: int) -> None:
    """What others keep there."""
    p, _ = _state(world, n)
    if world.inner.state.get(
        p
    ):  # before its first step PyTorch takes any entry for a state of its own
        world.inner.state[p]["note"] = normal(draw, p)


def reload(world: World, draw: Draw, n: int) -> None:
    world.optimizer.load_state_dict(copy.deepcopy(world.optimizer.state_dict()))


def resume(world: World, draw: Draw, n: int) -> None:
    """Through a file, into a new optimizer over the same groups."""
    file = io.BytesIO()
    torch.save(world.optimizer.state_dict(), file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    groups = [{"params": list(g["params"])} for g in world.optimizer.param_groups]
    world.optimizer = world.make(groups)
    world.optimizer.load_state_dict(saved)
    world.scheduler = None


def duplicate(world: World, draw: Draw, n: int) -> None:
    """Go on with a deep copy of everything."""
    world.params, world.optimizer = copy.deepcopy((world.params, world.optimizer))
    world.scheduler = None


def add_group(world: World, draw: Draw, n: int) -> None:
    p = Parameter(normal(draw, torch.zeros(3, dtype=world.params[0].dtype)))
    world.params.append(p)
    world.optimizer.add_param_group({"params": [p], "lr": 0.02})
    world.scheduler = None


def append_group(world: World, draw: Draw, n: int) -> None:
    """From outside, as freezing callbacks do."""
    p = Parameter(normal(draw, torch.zeros(2, 2, dtype=world.params[0].dtype)))
    world.params.append(p)
    groups = world.optimizer.param_groups
    groups.append({**groups[0], "params": [p]})
    world.scheduler = None


def drop_group(world: World, draw: Draw, n: int) -> None:
    groups = world.optimizer.param_groups
    if len(groups) > 1:
        del groups[n % len(groups)]
        world.scheduler = None


def assign_groups(world: World, draw: Draw, n: int) -> None:
    world.inner.param_groups = [dict(g) for g in world.inner.param_groups][:: 1 if n % 2 else -1]
    world.scheduler = None


def clip(world: World, draw: Draw, n: int) -> None:
    torch.nn.utils.clip_grad_norm_([p for p in world.params if p.grad is not None], 0.5)


def visit_evaluation(world: World, draw: Draw, n: int) -> None:
    """Training loops call eval() and train() on any optimizer that has them."""
    for name in ("eval", "train"):
        getattr(world.optimizer, name, lambda: None)()


ACTIONS: list[Action] = [
    *(step, step_some, step_again, step_by_closure, zero_grad, set_lr, set_decay, schedule, freeze),
    *(write_parameter, swap_data, transpose_data, tie, fill_state, replace_state, move_state),
    *(set_step, fill_step, drop_state, note_in_state, reload, resume, duplicate),
    *(add_group, append_group, drop_group, assign_groups, clip, visit_evaluation),
]
