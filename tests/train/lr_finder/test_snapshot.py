"""A range test leaves everything as it was: training goes on bit for bit as without it."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tests.exact import same
from tests.train.helpers import blobs, noisy_net
from thalweg import meta, optim
from thalweg.tasks import Task
from thalweg.train.lr_finder.finder import find_lr
from thalweg.train.lr_finder.sweep import Sweep
from thalweg.train.restored.snapshot import Snapshot

Make = Callable[[Any], torch.optim.Optimizer]


class Stateful(nn.Module):
    """Dropout, batch norm, a counter, a list, a tensor that is not a buffer, a tied and a frozen weight."""

    def __init__(self) -> None:
        super().__init__()
        self.net = noisy_net()
        self.head = nn.Linear(3, 3).double()
        self.tied = self.head.weight
        self.frozen = nn.Parameter(torch.ones(3).double(), requires_grad=False)
        self.calls = 0
        self.seen: list[int] = []
        self.last = torch.zeros(3).double()
        self.rng = np.random.default_rng(3)
        self.net[1].eval()  # a mode of its own

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        self.seen.append(len(x))
        x = x + 1e-3 * self.rng.normal() + 1e-3 * random.random() + 1e-3 * np.random.rand()
        out: torch.Tensor = self.head(self.net(x)) * self.frozen + 1e-3 * self.last
        self.last = out.detach().mean(0)
        return out


class Training:
    """A training in which a test may strike: everything that can have a state has one."""

    def __init__(self, make: Make) -> None:
        torch.manual_seed(0)
        np.random.seed(0)
        random.seed(0)
        self.model = Stateful()
        self.optimizer = make([p for p in self.model.parameters() if p.requires_grad])
        source = blobs().data.train
        self.loader = DataLoader(
            TensorDataset(source.inputs, source.targets),  # type: ignore[attr-defined]
            batch_size=8,
            shuffle=True,
            generator=torch.Generator().manual_seed(5),
        )
        self.endless = self.forever()
        self.losses: list[float] = []

    def forever(self) -> Iterator[Any]:
        while True:
            yield from self.loader

    def train(self, steps: int) -> None:
        for _, (x, y) in zip(range(steps), self.endless, strict=False):

            def closure(x: Any = x, y: Any = y) -> torch.Tensor:
                self.optimizer.zero_grad()
                loss = nn.functional.cross_entropy(self.model(x), y)
                loss.backward()  # type: ignore[no-untyped-call]
                return loss

            self.losses.append(float(self.optimizer.step(closure).detach()))  # type: ignore[arg-type, union-attr]

    def state(self) -> dict[str, Any]:
        """What can be seen from outside, copied."""
        model, optimizer = self.model, self.optimizer
        return copy.deepcopy(
            {
                "parameters": {n: p.detach() for n, p in model.named_parameters()},
                "buffers": dict(model.named_buffers()),
                "grads": [p.grad for p in model.parameters()],
                "modes": [m.training for m in model.modules()],
                "own": (model.calls, model.seen, model.last, model.rng.bit_generator.state),
                "optimizer": optimizer.state_dict(),
                "generators": (
                    torch.get_rng_state(),
                    np.random.get_state(),
                    random.getstate(),
                    self.loader.generator.get_state(),
                ),
            }
        )

    def identities(self) -> list[int]:
        tensors = [*self.model.parameters(), *self.model.buffers(), self.model.last]
        tensors += [p.grad for p in self.model.parameters() if p.grad is not None]
        for state in self.optimizer.state.values():
            tensors += [value for value in state.values() if isinstance(value, torch.Tensor)]
        return [id(each) for each in (*tensors, *self.optimizer.param_groups)]


MAKES: dict[str, Make] = {
    "Adam": lambda p: optim.Adam(p, 0.01, amsgrad=True),
    "torch Adam": lambda p: torch.optim.Adam(
        p, torch.tensor(0.01), capturable=False, foreach=False
    ),
    "SGD momentum": lambda p: optim.SGD(p, 0.01, momentum=0.9),
    "Prodigy": lambda p: optim.Prodigy(p),
    "Adan": lambda p: optim.Adan(p, 0.01),
    "NAdam": lambda p: optim.NAdam(p, 0.01),
    "schedule-free": lambda p: optim.ScheduleFreeAdamW(p, 0.01),
    "Rprop": lambda p: torch.optim.Rprop(p, 0.01),
    "L-BFGS": lambda p: torch.optim.LBFGS(p, 0.01, max_iter=3),
    "SAM": lambda p: meta.SAM(optim.AdamW(p, 0.01)),
    "Accumulate": lambda p: meta.Accumulate(optim.Adam(p, 0.01), 3),
    "two groups": lambda p: optim.Adam([{"params": p[:2], "lr": 0.1}, {"params": p[2:]}], 0.01),
}


def strike(training: Training, **settings: Any) -> Any:
    chosen = {"seeds": 2, "steps": 40, "lowest": 1e-4} | settings
    return find_lr(training.model, training.optimizer, training.loader, "cross_entropy", **chosen)


@pytest.mark.parametrize("warm", [0, 7], ids=["at once", "in the middle"])
@pytest.mark.parametrize("make", MAKES.values(), ids=MAKES)
def test_training_goes_on_as_without_a_test(make: Make, warm: int) -> None:
    spared = Training(make)
    spared.train(warm + 9)
    end = spared.state()

    struck = Training(make)
    struck.train(warm)
    before, who = struck.state(), struck.identities()
    test = strike(struck)
    assert len(set(test.sweeps[0].losses)) > 5
    same(struck.state(), before, because="a copy was put back")
    assert struck.identities() == who
    struck.train(9)
    assert struck.losses == spared.losses
    same(struck.state(), end, because="a copy")


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, MemoryError])
@pytest.mark.parametrize("where", ["loss", "on_sweep"])
def test_everything_is_put_back_when_something_strikes(
    error: type[BaseException], where: str
) -> None:
    spared = Training(MAKES["Adam"])
    spared.train(10)
    struck = Training(MAKES["Adam"])
    struck.train(5)
    before, calls = struck.state(), [0]

    def loss(outputs: Any, targets: Any) -> torch.Tensor:
        calls[0] += 1
        if where == "loss" and calls[0] == 23:
            raise error("here")
        return nn.functional.cross_entropy(outputs, targets)

    def on_sweep(sweep: Sweep) -> None:
        if where == "on_sweep":
            raise error("here")

    with pytest.raises(error, match="here"):
        find_lr(struck.model, struck.optimizer, struck.loader, loss, on_sweep=on_sweep)
    same(struck.state(), before, because="a copy was put back")
    struck.train(5)
    assert struck.losses == spared.losses


def test_ctrl_c_while_things_are_put_back_does_not_leave_them_half_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    struck = Training(MAKES["Adam"])
    struck.train(3)
    before, real, left = struck.state(), Snapshot._restore, [1]

    def interrupted(snapshot: Snapshot) -> None:
        if left[0]:
            left[0] -= 1
            snapshot._undo[len(snapshot._undo) // 2]()
            raise KeyboardInterrupt
        real(snapshot)

    monkeypatch.setattr(Snapshot, "_restore", interrupted)
    with pytest.raises(KeyboardInterrupt):
        strike(struck)
    same(struck.state(), before, because="a copy was put back")


def test_a_scheduler_goes_on_as_without_a_test() -> None:
    paths = []
    for strikes in (False, True):
        training = Training(MAKES["SGD momentum"])
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(training.optimizer, 12)
        rates = []
        for step in range(12):
            if strikes and step in (0, 5):
                strike(training, seeds=1)
            training.train(1)
            scheduler.step()
            rates.append(training.optimizer.param_groups[0]["lr"])
        paths.append((training.losses, rates))
    assert paths[0] == paths[1]


def test_workers_that_live_on_are_not_disturbed() -> None:
    training = Training(MAKES["Adam"])
    loader = training.loader = DataLoader(
        training.loader.dataset, batch_size=8, num_workers=1, persistent_workers=True
    )
    training.train(2)
    mine = loader._iterator
    assert mine is not None
    strike(training, seeds=1, steps=10)
    assert loader._iterator is mine
    training.train(8)
    assert len(training.losses) == 10


def test_a_task_is_left_as_it_was() -> None:
    model = noisy_net()
    loader = Training(MAKES["Adam"]).loader
    task = Task(loader, "cross_entropy", model)
    before = copy.deepcopy((model.state_dict(), loader.generator.get_state()))
    generators = (torch.get_rng_state(), np.random.get_state(), random.getstate())
    find_lr(task, optim.Adam, seeds=2, steps=20)
    same((model.state_dict(), loader.generator.get_state()), before, because="a copy was put back")
    same(
        (torch.get_rng_state(), np.random.get_state(), random.getstate()),
        generators,
        because="a copy was put back",
    )


def test_a_model_of_ones_own_is_swept_from_where_it_is() -> None:
    training = Training(MAKES["SGD momentum"])
    for module in training.model.modules():  # no noise, so the first loss is that of the model now
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    training.train(60)
    fresh = find_lr(blobs(), optim.SGD, seeds=3, batch_size=8)
    test = strike(training, seeds=3)
    assert test.task == "Stateful"
    assert test.batch_size == 8
    assert test.optimizer == "SGD"
    assert max(each.start for each in test.sweeps) < min(each.start for each in fresh.sweeps)
