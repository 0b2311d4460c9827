"""What is set around a step changes nothing: PyTorch's default device, its default dtype, autocast."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import pytest
import torch
from torch import Tensor

from tests.exact import RERUN, same

from .cases import Case, each_optimizer
from .problem import default_dtype, give_gradients, recorded, snapshot

Around = Callable[[], AbstractContextManager[object]]
AROUND: tuple[Around, ...] = (
    lambda: torch.device("meta"),
    lambda: default_dtype(torch.float64),
    lambda: torch.autocast("cpu", dtype=torch.bfloat16),
)
PROBLEM = recorded([(4, 3), (4, 3), (5,)], steps=4)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("engine", ["eager", "foreach", "auto"])
@each_optimizer
def test_what_is_set_around_a_step_changes_nothing(case: Case, engine: str) -> None:
    """Within Python and kernels alike: a table on another device would be read through a wrong address."""

    def run(around: Around) -> list[Tensor]:
        parameters = PROBLEM.parameters(torch.float32)
        optimizer = case.ours(parameters, engine=engine)
        for step in range(PROBLEM.steps):
            give_gradients(PROBLEM, step, parameters)
            with around():
                optimizer.step()
        return snapshot(parameters)

    plain = run(nullcontext)
    for around in AROUND:
        same(run(around), plain, because=RERUN)
