"""What only an engine can get wrong: recompiling, threads, forks, special values."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer

from tests.exact import RERUN, same
from tests.fresh import Fresh

from .cases import RICHEST, Case, each_case, each_engine, each_optimizer, each_program
from .oracle import FEW
from .problem import follow, recorded, snapshot

pytestmark = pytest.mark.sampled(6)


@each_case
def test_numbers_change_without_recompiling(case: Case) -> None:
    """Learning rate, momenta, decay and the rest are inputs of a kernel, never part of it."""
    from thalweg import engine

    parameters = FEW.parameters(torch.float32)
    optimizer = case.ours(parameters, engine="fused")
    follow(FEW, parameters, optimizer, steps=2)
    before = engine.compilations()
    assert before >= 1

    def change(step: int) -> None:
        for key, value in optimizer.param_groups[0].items():
            # roots by products have whole orders alone
            now = value / 2 if key == "exponent" else changed(value)
            optimizer.param_groups[0][key] = now

    follow(FEW, parameters, optimizer, steps=5, before_step=change)
    assert engine.compilations() == before
    assert all(torch.isfinite(p).all() for p in parameters)


def changed(value: Any) -> Any:
    if isinstance(value, float):
        return 0.97 * value
    if isinstance(value, tuple) and all(isinstance(part, float) for part in value):
        return tuple(0.97 * part for part in value)
    return value


@each_program
def test_a_second_optimizer_compiles_nothing(case: Case) -> None:
    from thalweg import engine

    counts = []
    for shapes in ([(5,), (3, 4)], [(5,), (3, 4)], [(17,), (), (2, 2, 2)]):
        problem = recorded(shapes, steps=2)
        parameters = problem.parameters(torch.float32)
        follow(problem, parameters, case.ours(parameters, engine="fused"), steps=2)
        counts.append(engine.compilations())
    assert counts[0] == counts[1] == counts[2] >= 1


@each_engine
@each_optimizer
def test_two_threads(case: Case, engine: str) -> None:
    """Two optimizers that step at the same time give what each gives alone."""
    problems = [recorded([(30_001,), (7,), (40, 50)], steps=15, seed=seed) for seed in (5, 6)]

    def run(index: int) -> list[Tensor]:
        parameters = problems[index].parameters(torch.float32)
        optimizer = case.ours(parameters, engine=engine)
        return follow(problems[index], parameters, optimizer, steps=15)[-1]

    expected = [run(0), run(1)]
    actual: list[list[Tensor] | None] = [None, None]
    barrier = threading.Barrier(2)

    def work(index: int) -> None:
        barrier.wait()
        actual[index] = run(index)

    threads = [threading.Thread(target=work, args=(index,)) for index in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for ours, alone in zip(actual, expected, strict=True):
        assert ours is not None
        same(ours, alone, because=RERUN)


FORK = """
import os, sys, warnings
import torch
from thalweg import optim

warnings.simplefilter("ignore", DeprecationWarning)  # newer Pythons warn of any fork beside threads
p = torch.nn.Parameter(torch.ones(300_000))
p.grad = torch.ones(300_000)
optimizer = optim.Adam([p], lr=0.5, engine="fused")
optimizer.step()
child = os.fork()
optimizer.step()
right = abs(p[0].item()) < 1e-5 and abs(p[-1].item()) < 1e-5
if child == 0:
    os._exit(0 if right else 1)
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
sys.exit(0 if right and status == 0 else 1 + status)
"""


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="the platform has no fork")
def test_a_forked_child_can_step(fresh: Fresh) -> None:
    """The threads of the parent do not exist in the child; it must not wait for them."""
    done = fresh.run(FORK)
    assert done.returncode == 0, done.stderr


SPECIAL = [float("nan"), float("inf"), -float("inf"), 0.0, -0.0, 1e-45, 1e-30, 1e30]


@each_program
def test_special_values_pass_as_in_eager(case: Case) -> None:
    """No fast-math: NaN, infinities and denormals come out of both engines alike."""
    ends = []
    for engine in ("eager", "fused"):
        p = Parameter(torch.linspace(-1.0, 1.0, 67))
        optimizer = case.ours([p], engine=engine)
        for step in range(3):
            p.grad = torch.linspace(-2.0, 3.0, 67)
            for place, value in enumerate(SPECIAL):
                p.grad[place + step :: 10] = value
            optimizer.step()
        ends.append(p.detach().clone())
    torch.testing.assert_close(ends[1], ends[0], rtol=2e-6, atol=2e-6, equal_nan=True)
    assert ends[0].isnan().any() or case.jumps  # the sign of NaN is 0 to torch
    assert ends[0].isfinite().any() or sums(optimizer)  # a NaN in a sum is everywhere


def sums(optimizer: Optimizer) -> bool:
    """Whether a step has sums over a tensor, or over all."""
    (group,) = optimizer.param_groups
    composition = optimizer.composition(group)
    return composition.chain.program(composition.switches(group)).stages > 0


@each_engine
def test_a_step_can_be_followed_by_another_thread_s_step(engine: str) -> None:
    """An optimizer built in one thread may be stepped in another."""
    case = RICHEST[0]
    problem = recorded([(5,), (3, 4)])
    expected = problem.parameters()
    follow(problem, expected, case.ours(expected, engine=engine), steps=4)
    parameters = problem.parameters()
    optimizer = case.ours(parameters, engine=engine)
    follow(problem, parameters, optimizer, steps=2)
    thread = threading.Thread(
        target=follow, args=(problem, parameters, optimizer), kwargs={"steps": 2, "start": 2}
    )
    thread.start()
    thread.join()
    same(snapshot(parameters), snapshot(expected), because=RERUN)
