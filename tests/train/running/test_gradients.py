"""What training costs, in gradients computed; and optimizers that compute them in a closure."""

from __future__ import annotations

import functools
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.exact import RERUN, RESUMED, close, same
from tests.train import helpers
from tests.train.helpers import quiet, same_run
from thalweg import meta, optim
from thalweg.errors import TaskError
from thalweg.objective import L2, Cost
from thalweg.tasks import Data, Task
from thalweg.train import FitDivergedError
from thalweg.train.running.archive import read_archive, write_archive

BATCHES = 5  # 40 rows, 8 in a batch, as the task has it


def blobs(rows: int = 58, **parts: Any) -> Task:
    """Of 58 rows 40 are trained on."""
    return helpers.blobs(rows, **({"batch_size": 8} | parts))


def plain_task(**parts: Any) -> Task:
    """A model without noise: what is computed depends on the parameters alone."""
    cost = Cost("cross_entropy", metrics="accuracy", penalty=L2(0.01))
    return blobs(**({"model": lambda: nn.Linear(2, 3).double(), "cost": cost} | parts))


def sam(params: Any, lr: float) -> meta.SAM:
    return meta.SAM(torch.optim.SGD(params, lr), rho=0.1)


class CountingLBFGS(torch.optim.LBFGS):
    """L-BFGS that keeps where it can be seen how often it has evaluated the closure."""

    last: CountingLBFGS

    def __init__(self, params: Any, lr: float = 1.0, **options: Any) -> None:
        super().__init__(params, lr, max_iter=4, **options)
        CountingLBFGS.last = self

    @property
    def evaluations(self) -> int:
        """Of all steps so far."""
        (state,) = self.state.values()
        return int(state["func_evals"])


# -- counting --------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adam, optim.Adam, optim.Lion])
def test_a_step_of_most_optimizers_is_one_gradient(optimizer: Any) -> None:
    run = quiet(blobs(), optimizer, epochs=3)
    assert run.gradients == run.steps == 3 * BATCHES
    assert (
        [e.gradients for e in run.evaluations] == [e.step for e in run.evaluations] == [5, 10, 15]
    )


def test_a_step_of_sam_is_two() -> None:
    run = quiet(blobs(), sam, epochs=3, evaluate_every=2)
    assert (run.steps, run.gradients) == (15, 30)
    assert [e.step for e in run.evaluations] == [2, 4, 5, 6, 8, 10, 12, 14, 15]
    assert [e.gradients for e in run.evaluations] == [2 * e.step for e in run.evaluations]


@pytest.mark.parametrize("line_search", [None, "strong_wolfe"])
def test_a_step_of_lbfgs_is_what_its_line_search_takes(line_search: str | None) -> None:
    factory = functools.partial(CountingLBFGS, line_search_fn=line_search)
    run = quiet(plain_task(), factory, lr=0.5, epochs=2, batch_size=None)
    assert run.steps == 2
    assert run.gradients == BATCHES * CountingLBFGS.last.evaluations >= BATCHES * 8


def test_the_model_is_run_once_for_each_gradient() -> None:
    """The first evaluation of the closure is the one that is recorded: none comes before it."""
    forwards = 0

    class Watched(nn.Linear):
        def forward(self, input: Any) -> Any:
            nonlocal forwards
            forwards += self.training
            return super().forward(input)

    task = plain_task(model=lambda: Watched(2, 3).double())
    for optimizer in (torch.optim.SGD, sam, CountingLBFGS):
        forwards = 0
        run = quiet(task, optimizer, epochs=2)
        assert forwards == run.gradients


def test_rows_are_counted_whatever_the_batches() -> None:
    """A gradient over n rows is n / B of the task's batch size: an epoch costs the same in any."""
    for size in (1, 5, 8, 16, 40, None):
        run = quiet(plain_task(), torch.optim.SGD, epochs=2, batch_size=size)
        assert run.gradients == 2 * BATCHES, size
    assert quiet(blobs(batch_size=None), epochs=3).gradients == 3
    assert quiet(blobs(batch_size=999), epochs=3).gradients == 3  # no batch has more than all rows
    ragged = quiet(blobs(50), epochs=2)  # 35 rows: the last batch of an epoch has three
    assert [e.gradients for e in ragged.evaluations] == [35 / 8, 70 / 8]
    whole = quiet(blobs(), sam, epochs=9, batch_size=None, gradient_budget=20)
    assert (whole.steps, whole.gradients, whole.stopped) == (2, 20, "gradients")


def test_a_loader_counts_by_its_own_batches() -> None:
    data = blobs().data
    ((x, y),) = data.train.batches(None)
    rows = torch.utils.data.TensorDataset(x, y)

    def run(**options: Any) -> Any:
        loader = torch.utils.data.DataLoader(rows, **options)
        return quiet(blobs(data=Data(loader)), epochs=2)

    assert run(batch_size=16).gradients == 2 * 40 / 16
    assert run(batch_size=16, drop_last=True).gradients == 2 * 2
    sampler = torch.utils.data.BatchSampler(range(40), 10, drop_last=False)
    assert run(batch_sampler=sampler).gradients == 2 * 4  # of a size that it does not tell


class Halving(torch.optim.SGD):
    """Halves its rate until the loss falls: a gradient, and as many losses without one."""

    needs_closure = True
    by_flag = True

    def step(self, closure: Any = None) -> Any:
        before = closure()
        with torch.no_grad():
            start = [p.clone() for group in self.param_groups for p in group["params"]]
        for _ in range(3):
            super().step()
            if self.by_flag:
                closure(backward=False)
                continue
            with torch.no_grad():
                closure()
        assert len(start) == 2
        return before


@pytest.mark.parametrize("by_flag", [True, False])
def test_a_forward_pass_alone_is_a_third_of_a_gradient(
    by_flag: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Halving, "by_flag", by_flag)
    run = quiet(plain_task(), Halving, epochs=2)
    assert (run.steps, run.gradients) == (2 * BATCHES, 2 * 2 * BATCHES)


def test_what_was_counted_by_batches_is_counted_by_rows_when_resumed(tmp_path: Path) -> None:
    """A checkpoint of an earlier version counted each batch as one, also a smaller one."""
    file = tmp_path / "run.safetensors"
    quiet(blobs(50), sam, epochs=2, checkpoint=file)
    content = read_archive(file)
    del content["progress"]["passes"]
    content["progress"]["gradients"] = 2.0 * 2 * 5
    for k, each in enumerate(content["evaluations"], start=1):
        each["gradients"] = 2.0 * 5 * k
    write_archive(file, content)
    resumed = quiet(blobs(50), sam, epochs=4, checkpoint=file, resume=True)
    whole = quiet(blobs(50), sam, epochs=4)
    assert resumed.gradients == whole.gradients == 4 * 2 * 35 / 8
    assert [e.gradients for e in resumed.evaluations] == [e.gradients for e in whole.evaluations]


# -- the trajectory with a closure -----------------------------------------------------------------


@pytest.mark.parametrize("factory", [sam, functools.partial(CountingLBFGS, lr=0.5)])
def test_a_closure_gives_the_trajectory_of_a_loop_by_hand(factory: Any) -> None:
    """Of the loss before each step, the metrics, and the parameters in the end."""
    task = plain_task()
    run = quiet(task, factory, lr=0.3, epochs=3, shuffle="never")
    torch.manual_seed(0)
    model = nn.Linear(2, 3).double()
    optimizer = factory(model.parameters(), lr=0.3)
    ((x, y),) = task.data.train.batches(None)
    epochs = []
    for _ in range(3):
        total = right = 0.0
        for xb, yb in zip(x.split(8), y.split(8), strict=True):

            def closure(xb: Any = xb, yb: Any = yb) -> torch.Tensor:
                optimizer.zero_grad()
                loss = nn.functional.cross_entropy(model(xb), yb)
                (loss + 0.01 * (model.weight**2).sum()).backward()
                return loss + 0.01 * (model.weight**2).sum()

            before = model(xb)
            total += nn.functional.cross_entropy(before, yb).item() * len(xb)
            right += (before.argmax(1) == yb).sum().item()
            optimizer.step(closure)
        epochs.append((total / len(x), right / len(x)))
    why = "the penalty may be another sum, which L-BFGS divides by small differences"
    close(run.model.state_dict(), model.state_dict(), ulps=1e6, because=why)
    losses = [loss for loss, _ in epochs]
    assert run.history.column("train_loss") == pytest.approx(losses, rel=1e-9)
    assert run.history.column("train_accuracy") == pytest.approx([right for _, right in epochs])


def test_noise_and_running_statistics_are_those_of_one_pass_a_gradient() -> None:
    """Dropout is drawn, and batch normalization sees a batch, once for each evaluation."""

    class ByClosure(torch.optim.SGD):
        needs_closure = True

        def step(self, closure: Any = None) -> Any:
            loss = closure()
            super().step()
            return loss

    same_run(
        quiet(blobs(), ByClosure, epochs=3),
        quiet(blobs(), torch.optim.SGD, epochs=3),
        because=RERUN,
    )


def test_an_optimizer_that_never_calls_the_closure_is_named() -> None:
    class Idle(torch.optim.SGD):
        needs_closure = True

        def step(self, closure: Any = None) -> Any:
            return None

    with pytest.raises(TaskError, match=r"Idle\.step never called the closure"):
        quiet(blobs(), Idle, epochs=1)


def spoiling(at: int) -> Any:
    """A loss that becomes NaN at an evaluation in training."""
    calls = 0

    def loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        value = nn.functional.cross_entropy(outputs, targets)
        if outputs.requires_grad:
            calls += 1
            return value * math.nan if calls == at else value
        return value

    return loss


def test_nan_in_the_first_evaluation_of_a_step_is_divergence() -> None:
    with pytest.raises(FitDivergedError, match="step 3") as caught:
        quiet(plain_task(cost=Cost(spoiling(5))), sam, epochs=2)
    run = caught.value.run
    assert (run.steps, run.gradients, run.stopped) == (2, 4, "diverged")
    with pytest.raises(FitDivergedError, match="step 1") as caught:
        quiet(plain_task(cost=Cost(spoiling(1))), CountingLBFGS, epochs=2)
    assert (caught.value.run.steps, caught.value.run.gradients) == (0, 0)


def test_nan_in_a_later_evaluation_shows_at_the_next_step() -> None:
    with pytest.raises(FitDivergedError, match="step 4") as caught:
        quiet(plain_task(cost=Cost(spoiling(6))), sam, epochs=2)
    assert (caught.value.run.steps, caught.value.run.gradients) == (3, 6)


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, sam, CountingLBFGS])
def test_a_small_gradient_ends_a_run_before_the_step(optimizer: Any) -> None:
    task = plain_task(cost=Cost("cross_entropy"))
    settings: dict[str, Any] = {"lr": 0.5, "epochs": 400, "batch_size": None}
    run = quiet(task, optimizer, **settings, gradient_tolerance=0.05)
    assert run.stopped == "gradient"
    assert run.steps < 400
    ((x, y),) = task.data.train.batches(None)
    run.model.zero_grad()
    nn.functional.cross_entropy(run.model(x), y).backward()
    norm = torch.cat([p.grad.flatten() for p in run.model.parameters()]).norm()  # type: ignore[union-attr]
    assert norm < 0.05
    # what found it took no step
    before = quiet(task, optimizer, **(settings | {"epochs": run.steps}))
    same(run.model.parameters(), before.model.parameters(), because=RERUN)
    assert run.gradients == before.gradients + BATCHES  # of all rows


# -- the budget ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("optimizer", "budget", "steps", "spent"),
    [
        (torch.optim.SGD, 7, 7, 7),
        (torch.optim.SGD, 6.5, 7, 7),
        (torch.optim.SGD, 10, 10, 10),
        (sam, 14, 7, 14),
        (sam, 7, 4, 8),  # a step that has begun is finished
    ],
)
def test_a_budget_of_gradients_ends_a_run(
    optimizer: Any, budget: float, steps: int, spent: float
) -> None:
    run = quiet(blobs(), optimizer, epochs=9, gradient_budget=budget)
    assert (run.stopped, run.steps, run.gradients) == ("gradients", steps, spent)
    assert run.evaluations[-1].step == steps
    assert run.evaluations[-1].gradients == spent
    assert run.evaluations[-1].scores == run.evaluate("validation")
    assert len(run.history) == math.ceil(steps / BATCHES)


def test_a_budget_changes_nothing_before_it_is_spent() -> None:
    whole = quiet(blobs(), epochs=2)
    cut = quiet(blobs(), epochs=9, gradient_budget=2 * BATCHES)
    same_run(whole, cut, because=RERUN)
    generous = quiet(blobs(), epochs=2, gradient_budget=99)
    assert generous.stopped == "epochs"
    same_run(whole, generous, because=RERUN)


def test_a_budget_met_within_an_evaluated_stretch_evaluates_once() -> None:
    run = quiet(blobs(), epochs=9, gradient_budget=6, evaluate_every=2)
    assert [e.step for e in run.evaluations] == [2, 4, 5, 6]


@pytest.mark.parametrize("budget", [0, -1, math.nan])
def test_a_budget_is_positive(budget: float) -> None:
    with pytest.raises(TaskError, match="gradient_budget must be a number > 0"):
        quiet(blobs(), epochs=1, gradient_budget=budget)


def test_the_count_is_kept_in_a_checkpoint(tmp_path: Path) -> None:
    whole = quiet(plain_task(), sam, epochs=4)
    quiet(plain_task(), sam, epochs=2, checkpoint=tmp_path)
    resumed = quiet(plain_task(), sam, epochs=4, checkpoint=tmp_path, resume=True)
    same_run(whole, resumed, because=RESUMED)
    assert resumed.gradients == whole.gradients == 4 * 2 * BATCHES
    assert [e.gradients for e in resumed.evaluations] == [e.gradients for e in whole.evaluations]


def test_a_spent_budget_is_spent_after_resuming_and_a_larger_one_goes_on(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"epochs": 9, "checkpoint": tmp_path}
    first = quiet(blobs(), **settings, gradient_budget=10)
    again = quiet(blobs(), **settings, resume=True, gradient_budget=10)
    assert (again.stopped, again.steps) == ("gradients", 10)
    same_run(first, again, because="a copy")
    more = quiet(blobs(), **settings, resume=True, gradient_budget=20)
    assert (more.stopped, more.steps, more.gradients) == ("gradients", 20, 20)
    same_run(more, quiet(blobs(), epochs=4), because=RESUMED)
    rest = quiet(blobs(), **settings, resume=True)
    assert (rest.stopped, rest.steps) == ("epochs", 45)
