"""The doctor in a loop: training stays as it was, to the bit, and nothing of the doctor ends it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.doctor.helpers import batches, generators, hooks, net, report, trained
from tests.exact import RERUN, same
from thalweg import optim
from thalweg.doctor import Doctor, Symptom, Verdict
from thalweg.doctor.clock import Clock
from thalweg.doctor.watched import Watched
from thalweg.errors import TaskError

BUILDERS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "fused Adam": lambda p: optim.Adam(p, lr=0.01),
    "torch's Adam": lambda p: torch.optim.Adam(p, lr=0.01),
    "SGD": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=1e-3),
    "L-BFGS": lambda p: torch.optim.LBFGS(p, lr=0.1, max_iter=3),
}


class Odd(nn.Module):
    """A module used twice, one that is frozen, one that is not used, a parameter of its own, dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(8, 8)
        self.frozen = nn.Linear(8, 8).requires_grad_(False)
        self.unused = nn.Linear(3, 3)
        self.norm = nn.BatchNorm1d(8)
        self.drop = nn.Dropout(0.2)
        self.scale = nn.Parameter(torch.ones(8))
        self.last = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.first(torch.relu(self.first(x))))
        out: Tensor = self.last(self.drop(self.norm(self.frozen(h))) * self.scale)
        return out


def left(model: nn.Module, optimizer: torch.optim.Optimizer) -> Any:
    """Return all that training leaves: weights, buffers, gradients, the optimizer's state, generators."""
    gradients = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
    state = copy.deepcopy(optimizer.state_dict())
    return copy.deepcopy(model.state_dict()), gradients, state, generators()


@pytest.mark.parametrize("name", BUILDERS)
def test_training_is_unchanged_to_the_bit(name: str) -> None:
    ends = []
    for watch in (False, True):
        torch.manual_seed(0)
        model = Odd()
        optimizer = BUILDERS[name](model.parameters())
        doctor = trained(model, optimizer, batches(24), watch=watch)
        if doctor is not None:
            assert doctor.clock.looks > 3
        ends.append(left(model, optimizer))
    same(ends[1], ends[0], because=RERUN)


def test_a_report_leaves_everything_as_it_was() -> None:
    model = Odd()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.5)
    doctor = trained(model, optimizer, batches(60))
    assert doctor is not None
    before = left(model, optimizer)
    modes = [m.training for m in model.modules()]
    found = doctor.report()
    assert found.cost.gradients > 0, "forks have trained"
    same(left(model, optimizer), before, because="a copy")
    assert [m.training for m in model.modules()] == modes


def test_hooks_are_there_only_for_steps_that_are_looked_at_and_removed_in_the_end() -> None:
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with Doctor(model, optimizer, budget=0.0) as doctor:
        assert hooks(model, optimizer) > 0, "the first step is looked at"
        for x, y in batches(20):
            optimizer.zero_grad()
            loss = functional.cross_entropy(model(x), y)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            doctor.step(loss)
        assert hooks(model, optimizer) == 0, "no time is left for another look"
        assert doctor.clock.looks == 5, "powers of 2"
    with Doctor(model, optimizer) as doctor:
        pass
    assert hooks(model, optimizer) == 0
    assert doctor.report().steps == 0


def test_hooks_are_there_for_one_step_a_look() -> None:
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    hooked = 0
    with Doctor(model, optimizer, budget=1e9) as doctor:
        for x, y in batches(100):
            hooked += hooks(model, optimizer) > 0
            functional.cross_entropy(model(x), y).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            doctor.step(1.0, batch=(x, y))
        assert hooked == doctor.clock.looks > 12, "others than powers of 2, too"


class Broken(Symptom):
    """Fails."""

    name = "broken"

    def looks(self, watched: Watched) -> list[Verdict]:
        raise ZeroDivisionError("of its own")


def test_what_fails_in_the_doctor_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def fail(*_: Any) -> None:
        raise RuntimeError("a gauge")

    monkeypatch.setattr("thalweg.doctor.gauges.layers.LayerGauge._see", fail)
    found = report(model, optimizer, batches(10), symptoms=[Broken()])
    assert "broken: ZeroDivisionError: of its own" in found.unwatched
    assert "activations: RuntimeError: a gauge" in found.unwatched
    assert "Could not be watched: broken" in str(found)


def test_any_optimizer_and_any_loss_will_do_without_batches() -> None:
    model = net()
    optimizer = torch.optim.Rprop(model.parameters(), lr=1e-3)
    doctor = trained(model, optimizer, batches(12), loss=None)
    assert doctor is not None
    assert doctor.report().unwatched == ()
    doctor.step(0.5)
    assert doctor.watched.steps == 13


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((lambda x: x, None), "watches an nn.Module"),
        ((nn.Linear(1, 1), torch.optim.SGD), "Build it first"),
    ],
)
def test_wrong_arguments_are_refused(arguments: Any, message: str) -> None:
    with pytest.raises(TaskError, match=message):
        Doctor(*arguments)


def test_wrong_steps_are_refused() -> None:
    model = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(TaskError, match="budget must be a number"):
        Doctor(model, optimizer, budget=-1)
    with pytest.raises(TaskError, match="Unknown loss"):
        Doctor(model, optimizer, loss="hubber")
    with Doctor(model, optimizer) as doctor:
        with pytest.raises(TaskError, match=r"loss.mean\(\)"):
            doctor.step(torch.zeros(3))
        with pytest.raises(TaskError, match="pair"):
            doctor.step(0.1, batch=torch.zeros(3))


@pytest.mark.parametrize("gives_batches", [True, False])
def test_of_steps_between_looks_losses_and_rates_are_kept(gives_batches: bool) -> None:
    """Most steps take a shorter way; what is wrong is said there, too, and a closed doctor keeps nothing."""
    model = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    doctor = Doctor(model, optimizer, budget=0.0)
    batch = (torch.zeros(4, 2), torch.zeros(4, 1)) if gives_batches else None
    losses = torch.rand(300, generator=torch.Generator().manual_seed(0))
    expected, shorter = losses.tolist(), 0
    for step, loss in enumerate(losses):
        optimizer.param_groups[0]["lr"] = 1 / (step + 1)
        shorter += len(doctor._notes.rows) < doctor._quiet
        doctor.step(loss, batch)
        loss.zero_()  # a later change in place is not seen
        doctor.validated(float(step))
        if step == 100:
            doctor.report()
    assert shorter > 150
    assert doctor.watched.validations == [(step + 1, float(step)) for step in range(300)]
    with pytest.raises(TaskError, match=r"loss.mean\(\)"):
        doctor.step(torch.zeros(3), batch)
    doctor.report()
    same(
        doctor.watched.losses.last().tolist(), expected, because="they are kept as they were given"
    )
    same(
        doctor.watched.rates.last().tolist(),
        [1 / step for step in range(1, 301)],
        because="they are kept as they were given",
    )
    doctor.close()
    doctor.step(torch.zeros(()), batch)
    assert doctor.watched.steps == 300


def test_a_compiled_model_says_what_cannot_be_watched() -> None:
    model = torch.compile(net(), backend="eager")
    assert isinstance(model, nn.Module)
    doctor = Doctor(model, torch.optim.SGD(model.parameters(), lr=0.1))
    told = doctor.report().unwatched
    assert any(line.startswith("activations: the model is compiled") for line in told)


def test_the_clock_stays_within_the_budget() -> None:
    clock = Clock(0.05)
    for step in range(1, 4001):
        clock.stepped(1e-3)
        clock.watched(1e-6)
        if clock.is_due(step):
            clock.looked(2e-3)
    assert clock.share <= 0.05 + 1e-9
    assert clock.looks > 50


def test_what_a_look_takes_from_the_steps_after_it_is_charged() -> None:
    """A run of which all is known: a look takes 1 ms, and 0.8 ms more in the two steps after it."""
    clock, since, cost = Clock(0.05), 99, 0.0
    for step in range(1, 8001):
        is_due, since = clock.is_due(step), since + 1
        slower = 0.4e-3 if since <= 2 else 0.0
        clock.stepped(1e-3 + slower, 0.0 if is_due else None)
        cost += slower
        if is_due:
            clock.looked(1e-3)
            since, cost = 0, cost + 1e-3
    assert clock.looks > 100
    assert clock.watching == pytest.approx(cost, rel=0.02), "but for the first steps"
    assert cost < 0.05 * 8.0


def test_a_pause_is_neither_training_nor_watching() -> None:
    clock = Clock(0.05)
    for step in range(1, 101):
        clock.stepped(60.0 if step in (50, 60, 80) else 1e-3, 0.0 if step in (47, 60) else None)
        if step in (47, 60):
            clock.looked(0.0)
    assert clock.training + clock.watching < 0.12


def test_the_clock_looks_at_one_step_of_ten_at_most_when_there_is_time() -> None:
    clock = Clock(10.0)
    due = []
    for step in range(1, 1001):
        clock.stepped(1e-3)
        if clock.is_due(step):
            clock.looked(1e-6)
            due.append(step)
    assert np.diff(due[-20:]).min() == 10


@pytest.mark.parametrize("stretch", [1, 7, 100])
def test_steps_that_are_counted_together_count_as_one_by_one(stretch: int) -> None:
    """The same seconds count as the same training, and give about the same usual step."""
    seconds = np.random.default_rng(0).uniform(0.8e-3, 1.2e-3, 700)
    seconds[300] = 5.0  # a pause
    one, many = Clock(0.05), Clock(0.05)
    for each in seconds:
        one.stepped(float(each))
    for begin in range(0, 700, stretch):
        many.went_on(seconds[begin : begin + stretch])
    assert many.training == pytest.approx(one.training, rel=1e-3)
    assert many._usual == pytest.approx(one._usual, rel=0.1)


def test_the_clock_says_from_when_on_a_look_is_paid_for() -> None:
    clock = Clock(0.05)
    for _ in range(100):
        clock.stepped(1e-3)
    clock.looked(4.2e-3)  # .6 of the budget is 3 ms up to here, and .03 ms more with each step
    assert clock.next_look(101) == 128, "5.4 ms, which another look would need, are far away"
    for _ in range(170):
        clock.stepped(1e-3)
    due = clock.next_look(271)
    assert 271 < due < 300
    while clock.watching + 4.2e-3 > 0.03 * clock.training:
        clock.stepped(1e-3)
    assert due == pytest.approx(clock.training / 1e-3 + 1, abs=2)


def test_powers_of_2_are_looked_at_though_there_is_no_time() -> None:
    clock = Clock(0.0)
    due = []
    for step in range(1, 1001):
        clock.stepped(1e-3)
        assert not clock.has_time
        if clock.is_due(step):
            clock.looked(1.0)
            due.append(step)
    assert due == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]


def test_the_middle_of_a_run_is_seen_though_there_is_no_time() -> None:
    model = net()
    doctor = trained(model, torch.optim.SGD(model.parameters(), lr=0.1), batches(200), budget=0.0)
    assert doctor is not None
    doctor.report()
    assert [s.step for s in doctor.watched.updates] == [1, 2, 4, 8, 16, 32, 64, 128]
    assert len(doctor.watched.labels.counts) == len(doctor.watched.kept) == 56, "read at the report"


def test_all_that_the_doctor_does_is_charged(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that goes on by 1 with each look at it: whatever is not training counts as watching."""
    ticks = iter(range(10**9))
    monkeypatch.setattr("thalweg.doctor.doctor.time.perf_counter", lambda: float(next(ticks)))
    model = net()
    doctor = Doctor(model, torch.optim.SGD(model.parameters(), lr=0.1))
    assert doctor.clock.watching > 0, "its making"
    before = doctor.clock.watching
    for step, (x, y) in enumerate(batches(4), 1):
        functional.cross_entropy(model(x), y).backward()  # type: ignore[no-untyped-call]
        doctor.optimizer.step()
        doctor.step(1.0)
        if step != 3:  # read with the next one
            assert doctor.clock.watching > before
        before = doctor.clock.watching


def test_memory_stays_bounded() -> None:
    from thalweg.doctor.series import FIRST, LAST, Series

    seen = Series()
    for i in range(50_000):
        seen.add(float(i))
    assert len(seen) == 50_000
    assert len(seen._first) + len(seen._last) <= FIRST + 2 * LAST
    assert seen.last()[-1] == 49_999
    assert seen.last()[0] == seen.last_begins


def test_batches_are_kept_from_the_beginning_and_evenly_from_the_rest() -> None:
    from thalweg.doctor.kept import FIRST, SAMPLED, Kept

    kept = Kept()
    for step in range(1, 4001):
        kept.see(step, (torch.full((1, 1), float(step)), torch.zeros(1)))
    steps = np.array([step for step, _ in kept.batches])
    assert steps[:FIRST].tolist() == list(range(1, FIRST + 1))
    rest = steps[FIRST:]
    assert len(rest) == SAMPLED
    assert rest.min() < 1500 < 2500 < rest.max()
    assert all(float(batch[0]) == step for step, batch in kept.batches)
