"""Noise of models on a device, drawn on the CPU: the very numbers that the same model would draw there.

A device has generators of its own, whose numbers are others. Trials are compared with those of the CPU, and
stacked ones with those that train alone; so a race draws all of them from one kind of generator.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from thalweg.race.trials.records import FAULTS
from thalweg.tasks import Task
from thalweg.tasks.place import place_of
from thalweg.train.machine.devices import is_cpu
from thalweg.train.restored.randomness import isolated

_ROWS = 4
"""Rows of a trial pass; batch normalization needs more than one."""
OF_SIZES = frozenset({"rand", "randn", "randint", "normal.float_float"})
"""Random operations that are given sizes."""
OF_SHAPES = frozenset(
    {
        *("rand_like", "randn_like", "randint_like", "bernoulli.p", "bernoulli_.float"),
        *("uniform_", "normal_", "exponential_", "random_", "geometric_", "cauchy_", "log_normal_"),
    }
)
"""Random operations on a tensor of which only the shape matters."""
OF_VALUES = frozenset({"bernoulli", "normal", "poisson"})
"""Random operations on tensors whose numbers matter."""
DROPOUT = "native_dropout"
"""Dropout as devices have it, in one operation; the CPU draws a mask, and multiplies."""


def name_of(func: Any) -> str:
    """Return the name of an operation, without its overload."""
    return str(func._schema.name.removeprefix("aten::"))


def draws(func: Any, args: Any, kwargs: dict[str, Any]) -> bool:
    """Whether a call draws random numbers: attention that drops nothing does not, though it might."""
    if torch.Tag.nondeterministic_seeded not in func.tags:
        return False
    for place, argument in enumerate(func._schema.arguments):
        if argument.name == "dropout_p":
            given = args[place] if place < len(args) else kwargs.get("dropout_p", 0.0)
            return bool(given)
    return True


def has_own_generator(args: Any, kwargs: dict[str, Any]) -> bool:
    """Whether a call draws from a generator that it is given."""
    return any(isinstance(x, torch.Generator) for x in (*args, *kwargs.values()))


def is_of_shape(func: Any) -> bool:
    """Whether a random operation looks at a tensor's shape alone."""
    return _is_in(OF_SHAPES, func)


def is_of_sizes(func: Any) -> bool:
    """Whether a random operation is given sizes, and no tensor."""
    return _is_in(OF_SIZES, func)


def _is_in(names: frozenset[str], func: Any) -> bool:
    base = name_of(func)
    return base in names or f"{base}.{func._overloadname}" in names


def drawn(func: Any, args: Any, kwargs: dict[str, Any]) -> Tensor:
    """Return what a random operation gives on the CPU, where its tensors are brought."""
    if is_of_shape(func):
        args = (torch.empty_like(args[0], device="cpu"), *args[1:])
    args = [x.cpu() if isinstance(x, Tensor) else x for x in args]
    if "device" in kwargs:
        kwargs = kwargs | {"device": torch.device("cpu")}
    found: Tensor = func(*args, **kwargs)
    return found


def mask(like: Tensor, p: float) -> Tensor:
    """Return what dropout multiplies by on the CPU: 0 with probability p, else 1/(1 − p)."""
    return torch.empty_like(like, device="cpu").bernoulli_(1 - p).div_(1 - p)


def dropped(inputs: Tensor, factors: Tensor) -> tuple[Tensor, Tensor]:
    """Return the outputs of dropout, and which inputs are in them."""
    factors = factors.to(inputs.device)
    return inputs * factors, factors != 0


class NoiseOnHost(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Draws on the CPU, inside its context, what would be drawn on another device.

    What it does not know is left to the device.

    Args:
        notice: called with True at each call that draws.
    """

    def __init__(self, notice: Callable[[bool], Any] | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._notice = notice

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if not draws(func, args, kwargs):
            return func(*args, **kwargs)
        if self._notice is not None:
            self._notice(True)
        place = _place_of(args, kwargs)
        if is_cpu(place) or has_own_generator(args, kwargs):
            return func(*args, **kwargs)
        base = name_of(func)
        if base == DROPOUT:
            inputs, p, training = (*args, *kwargs.values())[:3]
            return dropped(inputs, mask(inputs, p)) if training else func(*args, **kwargs)
        if not (is_of_sizes(func) or is_of_shape(func) or base in OF_VALUES):
            return func(*args, **kwargs)
        found = drawn(func, args, kwargs)
        if func._schema.name.endswith("_"):
            return args[0].copy_(found)
        return found.to(place)


def _place_of(args: Any, kwargs: dict[str, Any]) -> torch.device | None:
    """Return where a call draws: on the device that it names, or where its tensors are."""
    if kwargs.get("device") is not None:
        return torch.device(kwargs["device"])
    return next((x.device for x in args if isinstance(x, Tensor)), None)


def draws_noise(task: Task, model: nn.Module) -> bool:
    """Whether a model of a task draws random numbers in training or when measured, tried on a few rows.

    One that fails on them draws none: its trials will say so. The generators are left as they were.
    """
    noticed: list[bool] = []
    place = place_of(model)
    with task.data.train.untraced(), isolated(place.device), torch.no_grad():
        try:
            inputs = place(task.data.train.first(_ROWS)[0])
            with NoiseOnHost(noticed.append):
                model.train()(inputs)
                model.eval()(inputs)
        except FAULTS:
            return False
    return bool(noticed)


@contextlib.contextmanager
def noise_on_host(device: torch.device | None, draws: bool) -> Iterator[None]:
    """Draw on the CPU what a model draws on another device, where it draws anything."""
    if is_cpu(device) or not draws:
        yield
        return
    # a backward pass that computes the model again draws in this thread, which has the mode
    with torch.autograd.set_multithreading_enabled(False), NoiseOnHost():
        yield
