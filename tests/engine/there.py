"""Steps on the second device: `tests.second_device` calls the checks, in a process that has it."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import Parameter

from tests import second_device
from tests.engine.capturing import give
from thalweg import optim

THERE = torch.device(second_device.NAME)
SHAPES = ((5, 3), (7,), ())


def drawn(seed: int) -> list[torch.Tensor]:
    """Return tensors of the CPU."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(s, generator=generator, dtype=torch.float64) for s in SHAPES]


def stepped(device: torch.device, **options: Any) -> optim.Adam:
    """Return an optimizer after five steps, and note those at which the host waited."""
    params = [Parameter(x.to(device)) for x in drawn(0)]
    optimizer = optim.Adam(params, lr=0.1, **options)
    for k in range(5):
        give(params, [x.to(device) for x in drawn(k + 1)])
        second_device.waits.clear()
        optimizer.step()
        assert not second_device.waits, (k, second_device.waits)
    return optimizer


def check_steps_wait_for_nothing() -> None:
    """With "auto" they go over lists; whoever wants a graph has the numbers of a step there as well."""
    expected = stepped(torch.device("cpu"), engine="eager")
    for capturable in (False, True):
        ours = stepped(THERE, capturable=capturable)
        assert ours.engine == ("foreach" if capturable else "auto")
        for p, q in zip(*(o.param_groups[0]["params"] for o in (ours, expected)), strict=True):
            torch.testing.assert_close(p.cpu(), q, rtol=1e-12, atol=1e-12)
            assert ours.state[p]["step"].device.type == (THERE.type if capturable else "cpu")


def check_the_plan_says_which_engine_and_why() -> None:
    """Of each tensor, where some are on the device, some on the CPU, and one is complex."""
    params = [
        Parameter(torch.ones(2, 3, device=THERE)),
        Parameter(torch.ones(4)),
        Parameter(torch.ones(2, dtype=torch.complex64).to(THERE)),
    ]
    optimizer = optim.Adam([("first", params[0]), ("second", params[1]), ("third", params[2])])
    give(params, params)
    optimizer.step()
    assert optimizer.plan(each=True).splitlines() == [
        "parameter 0 (first)  foreach, (2, 3) float32 second:0; not fused: on second",
        "parameter 1 (second)  fused, (4,) float32 cpu",
        "parameter 2 (third)  eager, (2,) complex64 second:0; not fused: on second; not foreach: complex",
    ]
