"""A run is a function of its seed, whichever generator its data, model or cost draw from."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, RandomSampler, Sampler

from tests.exact import RERUN
from tests.exact import same as same_tensor
from tests.train.helpers import other_run, same_run
from thalweg.errors import DivergedError, TaskError
from thalweg.objective import Cost
from thalweg.tasks import Data, Task
from thalweg.train import Run, fit
from thalweg.train.health.check import check_task
from thalweg.train.lr_finder.finder import find_lr

Draw = Callable[[], float]


class Rows(Dataset[tuple[Tensor, Tensor]]):
    """Rows to which a function adds what it draws."""

    def __init__(self, draw: Draw = lambda: 0.0) -> None:
        self.draw = draw

    def __len__(self) -> int:
        return 13

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        x = torch.tensor([index / 13 + self.draw(), self.draw()])
        return x, torch.tensor([index / 13])


class Shuffled(Sampler[int]):
    """A sampler with a generator of its own."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng

    def __len__(self) -> int:
        return 13

    def __iter__(self) -> Iterator[int]:
        return iter(self.rng.permutation(13).tolist())


def by_globals() -> float:
    return np.random.randn() + random.random() + float(torch.rand(()))


def owned(kind: str) -> Draw:
    if kind == "numpy":
        return np.random.default_rng(1).standard_normal
    if kind == "legacy":
        return np.random.RandomState(1).randn
    if kind == "random":
        return random.Random(1).random
    generator = torch.Generator().manual_seed(1)
    return lambda: float(torch.rand((), generator=generator))


def in_closure() -> Draw:
    rng = np.random.default_rng(1)
    return lambda: functools.partial(rng.normal, 1.0)()


class Kept:
    """A transform that holds its generator."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(1)

    def __call__(self) -> float:
        return float(self.rng.normal())


def batch_sampled() -> DataLoader[Any]:
    inner = RandomSampler(Rows(), generator=torch.Generator().manual_seed(5))
    sampler = torch.utils.data.BatchSampler(inner, 4, drop_last=False)
    return DataLoader(Rows(), batch_sampler=sampler)


DATA: dict[str, Callable[[], Any]] = {
    "global generators": lambda: Rows(by_globals),
    "a loader": lambda: DataLoader(Rows(by_globals), 4, shuffle=True),
    "a method of its generator": lambda: Rows(in_closure()),
    "a transform": lambda: DataLoader(Rows(Kept()), 4),
    "a function's generator": lambda: Rows(owned("torch")),
    "a sampler's generator": lambda: DataLoader(
        Rows(), 4, sampler=Shuffled(np.random.default_rng(1))
    ),
    "a batch sampler's sampler": batch_sampled,
}


def quiet(data: Any, model: Any = lambda: nn.Linear(2, 1), **settings: Any) -> Run:
    task = Task(data, settings.pop("cost", "mse"), model)
    defaults = {"lr": 0.1, "epochs": 3, "batch_size": 4, "seed": 3, "progress": False}
    return fit(task, torch.optim.SGD, **(defaults | settings))


@pytest.mark.parametrize("name", DATA)
def test_one_seed_gives_one_result_and_a_resumed_run_is_the_uninterrupted_one(
    name: str, tmp_path: Path
) -> None:
    data = DATA[name]()
    whole = quiet(data)
    same_run(
        quiet(data), whole, because=RERUN
    )  # the same object, whose generators have been drawn from
    same_run(quiet(DATA[name]()), whole, because=RERUN)
    other_run(quiet(data, seed=4), whole)
    path = tmp_path / "run"
    quiet(DATA[name](), epochs=1, checkpoint=path)
    same_run(quiet(DATA[name](), checkpoint=path, resume=True), whole, because=RERUN)


@pytest.mark.parametrize("persistent", [False, True])
def test_workers_draw_under_the_seed(persistent: bool, tmp_path: Path) -> None:
    def data() -> Data:
        loader = DataLoader(
            Rows(by_globals), 7, shuffle=True, num_workers=1, persistent_workers=persistent
        )
        return Data(loader)  # type: ignore[arg-type]

    used = data()
    whole = quiet(used, epochs=2)
    same_run(quiet(used, epochs=2), whole, because=RERUN)
    assert used.train.loader._iterator is None  # type: ignore[attr-defined]  # no process is left
    quiet(data(), epochs=1, checkpoint=tmp_path / "run")
    same_run(
        quiet(data(), epochs=2, checkpoint=tmp_path / "run", resume=True), whole, because=RERUN
    )


def test_validation_sets_models_and_costs_draw_under_the_seed(tmp_path: Path) -> None:
    class Noisy(nn.Linear):
        def __init__(self) -> None:
            super().__init__(2, 1)
            self.rng = np.random.default_rng()
            self.weight.data *= 1 + random.random() * np.random.rand()

        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x + self.rng.normal() * np.random.rand())

    loss_rng = random.Random(0)

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs - targets + loss_rng.random()).square().mean()

    def data() -> Data:
        draw = owned("numpy")
        return Data(Rows(draw), DataLoader(Rows(Kept()), 4, shuffle=True))  # type: ignore[arg-type]

    settings = {"cost": Cost(loss), "model": Noisy, "evaluate_every": 2}
    whole = quiet(data(), **settings)
    same_run(quiet(data(), **settings), whole, because=RERUN)
    quiet(data(), epochs=1, checkpoint=tmp_path / "run", **settings)
    resumed = quiet(data(), checkpoint=tmp_path / "run", resume=True, **settings)
    same_run(resumed, whole, because=RERUN)
    assert [e.scores for e in resumed.evaluations] == [e.scores for e in whole.evaluations]


@pytest.mark.parametrize("ending", ["done", "raised", "diverged", "checked", "range test"])
def test_the_callers_generators_are_as_before(ending: str) -> None:
    own = [np.random.default_rng(1), random.Random(1), torch.Generator().manual_seed(1)]

    def draw() -> float:
        if ending == "raised":
            raise ValueError("no more")
        return by_globals() + float(own[0].random()) + float(own[1].random())

    loader = DataLoader(Rows(draw), 4, shuffle=True, generator=own[2])
    lr = 1e30 if ending == "diverged" else 0.1
    np.random.randn()  # which leaves a second number waiting
    before = _states(own)
    if ending == "checked":
        check_task(Task(Data(loader), "mse", lambda: nn.Linear(2, 1)))  # type: ignore[arg-type]
    elif ending == "range test":
        find_lr(
            Task(Data(loader), "mse", lambda: nn.Linear(2, 1)), torch.optim.SGD, steps=10, seeds=1
        )  # type: ignore[arg-type]
    elif ending == "done":
        quiet(loader)
    else:
        with pytest.raises((TaskError, DivergedError)):
            quiet(loader, lr=lr, epochs=9)
    assert _states(own) == before


def _states(own: list[Any]) -> str:
    """All states in one text."""
    torchs = [torch.get_rng_state().tolist(), own[2].get_state().tolist()]
    numpys = [np.random.get_state(legacy=False), own[0].bit_generator.state]
    with np.printoptions(threshold=1000):
        return repr((torchs, numpys, random.getstate(), own[1].getstate()))


def test_weights_by_numpy_are_those_after_its_seed() -> None:
    def model() -> nn.Module:
        made = nn.Linear(2, 1)
        made.weight.data = torch.from_numpy(np.random.randn(1, 2)).float()
        made.bias.data.fill_(random.random())
        return made

    run = quiet(Rows(), model, lr=0.0, epochs=1)
    np.random.seed(3)
    random.seed(3)
    weight = torch.from_numpy(np.random.randn(1, 2)).float()
    same_tensor(run.model.weight.detach(), weight, because="the same draw")
    same_tensor(run.model.bias.detach(), torch.tensor([random.random()]), because="the same draw")
    assert quiet(Rows(), model, seed=2**62 + 1).steps == 12
