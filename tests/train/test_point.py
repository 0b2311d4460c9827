"""A model whose optimizer keeps an average is measured there, stopped there, kept there."""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from tests.exact import RERUN, RESUMED, differs, same
from tests.train.helpers import blobs, measured, quiet, same_run
from thalweg import chain, meta, optim
from thalweg.errors import DataError
from thalweg.rules import descend, ema, polyak, swa
from thalweg.tasks import Target
from thalweg.train import EarlyStopping, FitDivergedError, Run, evaluate
from thalweg.train.running.archive import read_archive

AVERAGED: dict[str, Any] = {
    "polyak": functools.partial(optim.SGD, after=polyak()),
    "swa": functools.partial(optim.Adam, after=swa(start=2, every=3)),
    "chain": chain(descend(), ema(0.5)),
    "schedule-free": functools.partial(optim.ScheduleFreeSGD, beta=0.5),
}


def linear() -> nn.Module:
    return nn.Linear(2, 3).double()


def normalised() -> nn.Module:
    return nn.Sequential(
        nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.BatchNorm1d(8), nn.Linear(8, 3)
    ).double()


def points(run: Run) -> list[Tensor]:
    return [p.detach().clone() for p in run.model.parameters()]


def buffers(model: nn.Module) -> list[Tensor]:
    return [b.clone() for b in model.buffers()]


# -- where ----------------------------------------------------------------------------------------------


def test_the_mean_of_the_points_is_what_is_measured() -> None:
    task = blobs(model=linear)
    run = quiet(task, AVERAGED["polyak"], epochs=2, shuffle="never")
    torch.manual_seed(0)
    model = linear()
    ((x, y),) = task.data.train.batches(None)
    seen: list[list[Tensor]] = []
    validation = []
    for _ in range(2):
        for xb, yb in zip(x.split(8), y.split(8), strict=True):
            model.zero_grad()
            nn.functional.cross_entropy(model(xb), yb).backward()
            with torch.no_grad():
                for p in model.parameters():
                    p -= 0.05 * p.grad
            seen.append([p.detach().clone() for p in model.parameters()])
        means = [torch.stack(ps).mean(0) for ps in zip(*seen, strict=True)]
        average = copy.deepcopy(model)
        with torch.no_grad():
            for p, mean in zip(average.parameters(), means, strict=True):
                p.copy_(mean)
        validation.append(evaluate(average, task.data.split("validation"), task.cost).loss)
    assert run.history.column("validation_loss") == pytest.approx(validation, rel=1e-12)
    for p, mean in zip(run.model.parameters(), means, strict=True):
        torch.testing.assert_close(p, mean, rtol=1e-12, atol=1e-14)
    run.optimizer.train()  # type: ignore[attr-defined]
    assert run.optimizer.param_groups[0]["params"][0] is next(run.model.parameters())
    for p, last in zip(run.model.parameters(), seen[-1], strict=True):
        torch.testing.assert_close(p, last, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", AVERAGED)
@pytest.mark.parametrize("model", [linear, normalised])
def test_the_last_measurement_is_of_the_model_that_is_kept(name: str, model: Any) -> None:
    run = quiet(blobs(model=model), AVERAGED[name], lr=0.5, epochs=3)
    assert run.evaluate("validation") == run.history[-1].validation
    at_average = run.history[-1].validation
    run.optimizer.train()  # type: ignore[attr-defined]
    assert run.evaluate("validation") != at_average


@pytest.mark.parametrize("model", [linear, normalised])
def test_an_average_changes_nothing_of_the_training(model: Any, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"epochs": 4, "evaluate_every": 2, "lr": 0.3}
    plain = quiet(blobs(model=model), optim.SGD, checkpoint=tmp_path / "plain", **settings)
    factory = functools.partial(optim.SGD, after=ema(0.9))
    run = quiet(blobs(model=model), factory, checkpoint=tmp_path / "averaged", **settings)
    assert run.history.column("train_loss") == plain.history.column("train_loss")
    assert run.history.column("validation_loss") != plain.history.column("validation_loss")
    assert len(run.evaluations) > run.epochs
    kept, expected = (read_archive(tmp_path / n)["model"] for n in ("averaged", "plain"))
    same(kept, expected, because="an average only reads the points")
    differs(points(run), points(plain))
    run.optimizer.train()  # type: ignore[attr-defined]
    same(points(run), points(plain), because="an average only reads the points")


def test_without_an_average_nothing_is_moved() -> None:
    run = quiet(blobs(), optim.Adam, epochs=1)
    assert not any("trained_point" in state for state in run.optimizer.state.values())
    same_run(
        run, quiet(blobs(), functools.partial(optim.Adam, decay="l2"), epochs=1), because=RERUN
    )


def test_a_wrapped_optimizer_is_found() -> None:
    def wrapped(params: Any, lr: float) -> meta.NonFinite:
        return meta.NonFinite(meta.Accumulate(optim.SGD(params, lr=lr, after=polyak()), every=1))

    run = quiet(blobs(model=linear), wrapped, epochs=2)
    same_run(run, quiet(blobs(model=linear), AVERAGED["polyak"], epochs=2), because=RERUN)


# -- batch normalization ----------------------------------------------------------------------------------


def test_statistics_are_those_of_update_bn() -> None:
    task = blobs(model=normalised)
    run = quiet(task, AVERAGED["polyak"], lr=0.5, epochs=3, shuffle="never")
    twin = copy.deepcopy(run.model)
    for buffer in twin.buffers():
        buffer.fill_(7)
    update_bn(task.data.train.batches(8), twin)
    assert len(buffers(twin)) == 6
    same(buffers(run.model), buffers(twin), because=RERUN)
    assert all(m.momentum == 0.1 for m in run.model.modules() if isinstance(m, nn.BatchNorm1d))
    assert run.model.training


def test_layers_that_do_not_train_keep_their_statistics() -> None:
    class Frozen(nn.Sequential):
        def train(self, mode: bool = True) -> Frozen:
            super().train(mode)
            self[1].eval()
            return self

    def model() -> nn.Module:
        made = Frozen(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.BatchNorm1d(4), nn.Linear(4, 3))
        made[1].running_mean += 3
        return made.double()

    run = quiet(blobs(model=model), AVERAGED["polyak"], epochs=2)
    first, second = run.model[1], run.model[2]  # type: ignore[index]
    same(
        first.running_mean,
        torch.full((4,), 3.0, dtype=torch.float64),
        because="sums of zeros and threes",
    )
    assert int(first.num_batches_tracked) == 0
    assert int(second.num_batches_tracked) == 5
    assert (first.momentum, second.momentum) == (0.1, 0.1)


@pytest.mark.parametrize("own", [False, True])
def test_a_loader_goes_on_as_if_nothing_had_been(own: bool) -> None:
    ((x, y),) = blobs().data.train.batches(None)

    def trained(optimizer: Any) -> Run:
        generator = torch.Generator().manual_seed(7) if own else None
        loader = DataLoader(TensorDataset(x, y), 8, shuffle=True, generator=generator)
        data = type(blobs().data)(loader, blobs().data.validation)
        task = blobs(data=data, model=normalised)
        return quiet(task, optimizer, epochs=3, evaluate_every=2, lr=0.3)

    plain, run = trained(optim.SGD), trained(functools.partial(optim.SGD, after=ema(0.9)))
    assert run.history.column("train_loss") == plain.history.column("train_loss")
    assert run.evaluate("validation") == run.history[-1].validation


def test_a_set_that_is_run_through_once_is_refused() -> None:
    ((x, y),) = blobs().data.train.batches(None)

    class Once(IterableDataset[Any]):
        rows = iter(list(zip(x, y, strict=True)))

        def __iter__(self) -> Iterator[Any]:
            return self.rows

    data = type(blobs().data)(Once(), blobs().data.validation)
    with pytest.raises(DataError, match="can be run through only once"):
        quiet(blobs(data=data, model=normalised), AVERAGED["polyak"], epochs=1)


# -- stopping and resuming -------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [linear, normalised])
def test_early_stopping_keeps_the_best_average(model: Any) -> None:
    stop = EarlyStopping("accuracy", patience=2)
    settings = {"lr": 2.0, "epochs": 30, "early_stopping": stop}
    run = quiet(blobs(model=model), AVERAGED["polyak"], **settings)
    assert run.stopped == "early stopping"
    assert run.best is not None
    assert run.epochs == run.best.epoch + 2
    assert run.evaluate("validation") == run.best.validation
    assert run.evaluate("validation") != run.history[-1].validation


def test_the_target_is_met_at_the_average() -> None:
    task = blobs(model=linear, target=Target("loss", 0.7))
    run = quiet(task, AVERAGED["polyak"], lr=0.5, epochs=20, evaluate_every=1)
    assert run.reached is not None
    first = next(e for e in run.evaluations if e.scores.loss <= 0.7)
    assert (run.reached.step, run.reached.value) == (first.step, first.scores.loss)
    plain = quiet(task, optim.SGD, lr=0.5, epochs=20, evaluate_every=1)
    assert plain.reached is not None
    assert plain.reached.step < run.reached.step  # the mean lags behind


@pytest.mark.parametrize("name", ["polyak", "schedule-free", "swa"])
@pytest.mark.parametrize("stopped_at", [1, 2])
def test_a_resumed_run_is_the_uninterrupted_one(name: str, stopped_at: int, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"lr": 0.3, "evaluate_every": 3}
    whole = quiet(blobs(), AVERAGED[name], epochs=3, **settings)
    quiet(blobs(), AVERAGED[name], epochs=stopped_at, checkpoint=tmp_path / "run", **settings)
    resumed = quiet(
        blobs(), AVERAGED[name], epochs=3, checkpoint=tmp_path / "run", resume=True, **settings
    )
    same_run(resumed, whole, because=RESUMED)
    assert resumed.evaluate("test") == whole.evaluate("test")
    again = quiet(
        blobs(), AVERAGED[name], epochs=3, checkpoint=tmp_path / "run", resume=True, **settings
    )
    same_run(again, whole, because=RESUMED)


def test_best_averages_survive_a_resume(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"lr": 2.0, "early_stopping": EarlyStopping("accuracy", patience=2)}
    whole = quiet(blobs(), AVERAGED["polyak"], epochs=30, **settings)
    assert whole.epochs > 2
    path = tmp_path / "run"
    quiet(blobs(), AVERAGED["polyak"], epochs=2, checkpoint=path, **settings)
    resumed = quiet(
        blobs(), AVERAGED["polyak"], epochs=30, checkpoint=path, resume=True, **settings
    )
    same_run(resumed, whole, because=RESUMED)


def test_what_a_diverged_run_leaves_is_the_average() -> None:
    class Breaking(nn.Linear):
        calls = 0

        def forward(self, x: Tensor) -> Tensor:
            if self.training:
                Breaking.calls += 1
            return super().forward(x) * (float("nan") if Breaking.calls == 9 else 1.0)

    task = blobs(model=lambda: Breaking(2, 3).double())
    with pytest.raises(FitDivergedError) as caught:
        quiet(task, AVERAGED["polyak"], epochs=5)
    run = caught.value.run
    assert run.steps == 8
    measured_there = run.evaluate("validation")
    run.optimizer.train()  # type: ignore[attr-defined]
    assert run.evaluate("validation") != measured_there


def test_an_interrupted_run_is_left_at_the_average(monkeypatch: pytest.MonkeyPatch) -> None:
    stops = {"at": 8}

    class Interrupting(optim.SGD):
        def step(self, closure: Any = None) -> Any:
            stops["at"] -= 1
            if stops["at"] == 0:
                raise KeyboardInterrupt
            return super().step(closure)

    run = quiet(blobs(model=linear), functools.partial(Interrupting, after=polyak()), epochs=9)
    assert (run.stopped, run.steps) == ("interrupted", 7)
    there = points(run)
    run.optimizer.train()  # type: ignore[attr-defined]
    differs(points(run), there)


def test_records_are_alike_with_and_without_epochs_in_between() -> None:
    run = quiet(blobs(), AVERAGED["polyak"], epochs=2)
    twice = quiet(blobs(), AVERAGED["polyak"], epochs=2, evaluate_every=1)
    assert [measured(e) for e in run.history] == [measured(e) for e in twice.history]
