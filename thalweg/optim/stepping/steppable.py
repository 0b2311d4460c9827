"""Which tensors an optimizer can step: whole ones, with numbers, and a gradient of the same shape."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor, nn

from thalweg.engine.member import called
from thalweg.errors import EngineError


def param_names(group: Mapping[str, Any]) -> list[str | None]:
    """Return the names of the parameters of a group, None where they are not known."""
    count, names = len(group["params"]), list(group.get("param_names", ()))
    return names if len(names) == count else [None] * count


def check_gradient(param: Tensor, grad: Tensor, who: str) -> None:
    """Refuse a gradient of another shape, and tensors of which this process holds a part.

    Raises:
        EngineError: the shapes differ, or one of the two is a DTensor; `who` is the name of the parameter.
    """
    if is_sharded(param) or is_sharded(grad):
        raise EngineError(sharded_problem(who))
    if grad.shape != param.shape:
        raise EngineError(
            f"The gradient of {who} has shape {tuple(grad.shape)}, the parameter {tuple(param.shape)}. If "
            "you changed `param.data` after the backward pass, compute the gradient again."
        )


def is_sharded(x: Any) -> bool:
    """Whether a tensor is a DTensor, whose parts are in several processes."""
    module = sys.modules.get("torch.distributed.tensor")  # where it is not loaded, there are none
    return module is not None and isinstance(x, module.DTensor)


def refuse_sharded(params: Iterable[Tensor], who: str = "thalweg") -> None:
    """Refuse parameters of which each process holds a part.

    Raises:
        EngineError: a parameter or its gradient is a DTensor.
    """
    if "torch.distributed.tensor" not in sys.modules:
        return
    for k, p in enumerate(params):
        if is_sharded(p) or is_sharded(p.grad):
            why = f"{who} cannot work with it yet, since a norm or a sum would be that of the part alone"
            raise EngineError(sharded_problem(called(k, None), why))


def sharded_problem(which: str, why: str = "its parameter or gradient is whole") -> str:
    """Return what is said of a DTensor that cannot be stepped, and why."""
    return (
        f"{which} is a DTensor: each process holds a part of it, as in FSDP2 and tensor parallelism. {why}. "
        "Use a rule that steps each element by itself, as AdamW or Lion, an optimizer of torch.optim, or "
        "DistributedDataParallel, which keeps parameters whole"
    )


def has_values(x: Tensor) -> bool:
    """Whether a tensor holds numbers: one on "meta", and a fake one, has nothing but a shape."""
    if x.device.type == "meta":
        return False
    module = sys.modules.get("torch._subclasses.fake_tensor")
    return module is None or not isinstance(x, module.FakeTensor)


def refuse_without_values(params: Iterable[Tensor]) -> None:
    """Refuse parameters without numbers, where the state of an optimizer is computed from them."""
    for p in params:
        if not has_values(p):
            where = "on the device meta" if p.device.type == "meta" else "a fake tensor"
            raise EngineError(
                f"A parameter of shape {tuple(p.shape)} is {where}: it holds no numbers, and this chain "
                "keeps a number that is computed from them, such as a distance. Step real tensors, or leave "
                "the step out."
            )


def with_names(params: nn.Module | Iterable[Any]) -> Iterable[Any]:
    """Return the parameters of a module with their names; leave anything else as it is."""
    return params.named_parameters() if isinstance(params, nn.Module) else params
