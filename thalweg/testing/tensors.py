"""Checks on kinds of tensors: layouts, odd shapes, half precision."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from thalweg.testing.compare import demand, demand_same_path, same
from thalweg.testing.result import Failed, Skipped
from thalweg.testing.subject import LONGEST, SHAPES, Subject


def first_steps(subject: Subject) -> None:
    """The optimizer can be made and called, and moves every parameter to finite numbers.

    Without this, nothing else can be checked.
    """
    trial = subject.start()
    steps = LONGEST if subject.still else subject.silent + 3
    trial.run(range(steps))
    for i, p in trial.params.items():
        start = trial.quadratics[i].start
        demand(bool(p.isfinite().all()), f"Parameter {i} is not finite after {steps} steps.")
        demand(not same(start, p), f"Parameter {i} has not changed after {steps} steps.")
        demand(
            p.dtype == subject.dtype and p.shape == start.shape,
            f"Parameter {i} was {subject.dtype} of shape {tuple(start.shape)}, and is {p.dtype} of "
            f"shape {tuple(p.shape)} after {steps} steps.",
        )


def transposed(x: Tensor) -> Tensor:
    """Return the same values with the strides of the reversed order of dimensions."""
    back = tuple(reversed(range(x.ndim)))
    return x.permute(back).clone(memory_format=torch.contiguous_format).permute(back)


def strided(x: Tensor) -> Tensor:
    """Return the same values in every second place of a larger tensor."""
    spread = torch.full((*x.shape, 2), 7.0, dtype=x.dtype)[..., 0]
    return spread.copy_(x)


def channels_last(x: Tensor) -> Tensor:
    """Return the same values with the channels of 4-d tensors last in memory."""
    return x.clone(memory_format=torch.channels_last) if x.ndim == 4 else x.clone()


LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "transposed": transposed,
    "strided": strided,
    "channels-last": channels_last,
}


ADVICE = "Use elementwise operations on p itself, or `reshape` and `copy_` back."


def layouts(subject: Subject) -> None:
    """Parameters that are not contiguous in memory train as contiguous ones do.

    Channels-last models and transposed views are common. `view(-1)` refuses them, `p.contiguous().add_()`
    updates a copy, and a kernel that counts on contiguous memory writes into that of others.
    """
    if subject.random:
        raise Skipped("it draws random numbers, in the order of memory")
    expected = subject.start().run(subject.steps(4))
    for name, arrange in LAYOUTS.items():
        demand_same_path(
            expected,
            subject.start(arrange=arrange).run(subject.steps(4)),
            f"Expected {name} parameters to train as contiguous ones. {ADVICE}",
            subject.tolerance,
        )


def gradient_layout(subject: Subject) -> None:
    """A gradient laid out otherwise than its parameter acts as one laid out alike.

    Autograd keeps them alike; gradients that are assigned, all-reduced or made by `torch.func` need not be.
    """
    if subject.sparse:
        raise Skipped("sparse gradients have no strides")
    if subject.random:
        raise Skipped("it draws random numbers, in the order of memory")
    trial = subject.start()
    trial.shape_gradient = lambda _, grad: transposed(grad)
    demand_same_path(
        subject.start().run(subject.steps(4)),
        trial.run(subject.steps(4)),
        f"Expected transposed gradients to act as contiguous ones. {ADVICE}",
        subject.tolerance,
    )


def scalar_parameter(subject: Subject) -> None:
    """A parameter without dimensions trains as the same number in a vector of length 1.

    Temperatures and learned scales are 0-d.
    """
    _demand_any_shape(subject)
    if subject.sparse:
        raise Skipped("not checked with sparse gradients")
    scalar = subject.with_shapes([()]).start([0]).run(subject.steps(4))
    vector = subject.with_shapes([(1,)]).start([0]).run(subject.steps(4))
    demand_same_path(
        {key: p[0] for key, p in vector.items()},
        scalar,
        "Expected a 0-d parameter to train as a vector of length 1 with the same number.",
        subject.tolerance,
    )


def empty_parameter(subject: Subject) -> None:
    """A parameter without elements is not an error, and causes no NaN in the others.

    Pruned and sharded models have them (FSDP leaves empty shards). The mean over one is NaN.
    """
    _demand_any_shape(subject)
    if subject.sparse:
        raise Skipped("not checked with sparse gradients")
    expected = subject.start([0]).run(subject.steps(3))
    got = subject.with_shapes([subject.shapes[0], (0,), (0, 3)]).start().run(subject.steps(3))
    demand_same_path(
        expected,
        got,
        "Expected parameters with no elements to change nothing for the others. Leave out tensors with "
        "numel() == 0 where you divide by a count or a norm.",
        subject.tolerance,
    )


def _demand_any_shape(subject: Subject) -> None:
    if subject.shapes != SHAPES:
        raise Skipped("the optimizer takes certain shapes only")


def bfloat16(subject: Subject) -> None:
    """In bfloat16 parameters move as in float32, up to the rounding of bfloat16.

    Bias corrections computed in bfloat16 are wrong or zero (1 − 0.999 rounds to 0, as 0.999 rounds to 1):
    scalars belong in float64, whatever the parameters are.
    """
    steps = subject.steps(6).stop
    coarse, fine = _downhill(subject, torch.bfloat16), _downhill(subject, torch.float32)
    for i, expected in fine.items():
        demand(
            bool(coarse[i].isfinite().all()),
            f"Parameter {i} is not finite after {steps} steps in bfloat16 with a gradient of ±1.",
        )
        demand(
            bool(expected.any()),
            f"Parameter {i} does not move in {steps} steps of float32 with a gradient of ±1.",
        )
        apart = _apart(coarse[i], expected)
        if apart <= 0.2:
            continue
        if subject.random:
            raise Skipped("the random numbers that it draws depend on the dtype")
        if _apart(_downhill(subject, torch.float32, shaken=True)[i], expected) > 0.2:
            raise Skipped("in float32, too, gradients that differ by rounding lead elsewhere")
        still = int((coarse[i] == 0).sum())
        raise Failed(
            f"In {steps} steps of bfloat16 with a gradient of ±1, parameter {i} moves by "
            f"{coarse[i].norm():.4g}, in float32 by {expected.norm():.4g} (relative difference {apart:.2g}, "
            f"expected at most 0.2). {still} of its {expected.numel()} elements do not move at all. Compute "
            "scalars such as 1 - beta2**t as Python floats, and round only the result."
        )


def _downhill(subject: Subject, dtype: torch.dtype, shaken: bool = False) -> dict[int, Tensor]:
    """Return where parameters go from 0 down a slope of ±1, if shaken by a unit of bfloat16."""
    zeros = {i: torch.zeros(shape, dtype=dtype) for i, shape in enumerate(subject.shapes)}
    trial = subject.with_dtype(dtype).start(values=zeros)
    slopes = {i: torch.sign(q.target) for i, q in trial.quadratics.items()}
    if shaken:
        for slope in slopes.values():
            slope *= 1 + 2**-8 * torch.arange(slope.numel()).view(slope.shape).sin()

    def loss() -> Tensor:
        return torch.stack([(p * slopes[i]).sum() for i, p in trial.params.items()]).sum()

    for k in subject.steps(6):
        trial.step(k, losses=[loss])
    return {i: p.detach().double() for i, p in trial.params.items()}


def _apart(got: Tensor, expected: Tensor) -> float:
    return float((got - expected).norm() / expected.norm())
