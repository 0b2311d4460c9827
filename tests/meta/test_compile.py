"""`torch.compile` around a wrapper's step, or around a whole training step, changes nothing."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.optim import lr_scheduler

from tests.exact import RERUN, same
from tests.meta.problem import BATCHES, Net, mse
from tests.meta.wrappers import TRANSPARENT, WRAPPERS, closure_of
from thalweg.meta import SAM, Accumulate, NonFinite, Wrapper

# what the compiler says of code that it leaves to Python
pytestmark = pytest.mark.filterwarnings("ignore")
MAKES = {
    "Accumulate": lambda o: Accumulate(o, every=2),
    "NonFinite": NonFinite,
    "nested": lambda o: NonFinite(Accumulate(o, every=2)),
}
WAYS: dict[str, Callable[[Any], Any]] = {
    "as made": lambda pair: pair,
    "deepcopy": copy.deepcopy,
    "pickle": lambda pair: pickle.loads(pickle.dumps(pair)),
}


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def compiled(function: Any) -> Any:
    return torch.compile(function, backend="eager")


def made(wrap: Any) -> tuple[Net, Wrapper]:
    net = Net()
    return net, wrap(torch.optim.AdamW(net.parameters(), lr=0.1))


def trained(net: Net, optimizer: Wrapper, step: Any, schedule: Any = None) -> Any:
    for k in range(6):
        optimizer.zero_grad()
        mse(net, *BATCHES[k]).backward()
        step()
        if schedule is not None:
            schedule.step()
    return {n: p.detach().clone() for n, p in net.named_parameters()}


@pytest.mark.parametrize(("hooked", "scheduled"), [(False, False), (True, True)])
@pytest.mark.parametrize("name", MAKES)
def test_a_compiled_step(name: str, scheduled: bool, hooked: bool) -> None:
    ends, events = [], []
    for around in (lambda f: f, compiled):
        net, optimizer = made(MAKES[name])
        schedule = lr_scheduler.ExponentialLR(optimizer, 0.9) if scheduled else None
        if hooked:
            optimizer.register_step_post_hook(lambda *_: events.append(1))
        ends.append(trained(net, optimizer, around(optimizer.step), schedule))
        inner: Any = optimizer
        while isinstance(inner, Wrapper) and not isinstance(inner, Accumulate):
            inner = inner.optimizer
        assert not isinstance(inner, Accumulate) or (inner.steps, inner.pending) == (3, 0)
    same(*ends, because=RERUN)
    assert len(events) == (12 if hooked else 0)


@pytest.mark.parametrize(
    ("name", "way"),
    [("Accumulate", "as made"), ("NonFinite", "deepcopy"), ("nested", "pickle")],
)
def test_a_compiled_training_step(name: str, way: str) -> None:
    """Forward, backward, step and zero_grad in one function; also for a copy."""
    ends = []
    for around in (lambda f: f, compiled):
        net, optimizer = WAYS[way](made(MAKES[name]))

        def train(x: Tensor, y: Tensor, net: Any = net, optimizer: Any = optimizer) -> Tensor:
            optimizer.zero_grad()
            loss = mse(net, x, y)
            loss.backward()
            optimizer.step()
            return loss

        call = around(train)
        losses = [call(*BATCHES[k]).item() for k in range(6)]
        ends.append((losses, {n: p.detach() for n, p in net.named_parameters()}))
    torch.testing.assert_close(*ends, rtol=1e-12, atol=1e-12)  # a compiler may order sums otherwise


@pytest.mark.parametrize("name", WRAPPERS)
def test_a_compiled_step_with_a_closure(name: str) -> None:
    ends = []
    for around in (lambda f: f, compiled):
        net, optimizer = made(WRAPPERS[name])
        step = around(optimizer.step)
        losses = [step(closure_of(net, optimizer, k)).item() for k in range(4)]
        ends.append((losses, {n: p.detach() for n, p in net.named_parameters()}))
    same(*ends, because=RERUN)


def test_the_two_calls_of_sam() -> None:
    ends = []
    for around in (lambda f: f, compiled):
        net, optimizer = made(lambda o: SAM(o, 0.1))
        first, second = around(optimizer.first_step), around(optimizer.second_step)
        for k in range(3):
            mse(net, *BATCHES[k]).backward()
            first()
            assert optimizer.second_pass
            mse(net, *BATCHES[k]).backward()
            second()
            optimizer.zero_grad()
        ends.append({n: p.detach() for n, p in net.named_parameters()})
    same(*ends, because=RERUN)


def test_a_compiled_flush() -> None:
    net, optimizer = made(lambda o: Accumulate(o, every=4))
    mse(net, *BATCHES[0]).backward()
    optimizer.step()
    compiled(optimizer.flush)()
    assert (optimizer.steps, optimizer.pending) == (1, 0)


def test_a_class_that_is_made_from_one_that_steps_already() -> None:
    class Counting(NonFinite):
        calls = 0

        def step(self, *args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            return super().step(*args, **kwargs)

    for wrap in (*TRANSPARENT.values(), Counting):
        net, optimizer = made(wrap)
        if isinstance(optimizer, Counting):
            trained(net, optimizer, compiled(optimizer.step))
            assert optimizer.calls == 6
