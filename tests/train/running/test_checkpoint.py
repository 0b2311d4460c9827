from __future__ import annotations

import functools
import os
import signal
import textwrap
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.optim import lr_scheduler
from torch.utils.data import DataLoader

import thalweg
from tests.exact import RERUN, RESUMED, same
from tests.fresh import Fresh
from tests.train.helpers import blobs, measured, noisy_net, other_run, quiet, same_run
from thalweg.errors import CheckpointError, TaskError
from thalweg.objective import L2, Cost
from thalweg.tasks import Data, Target
from thalweg.train import EarlyStopping, Run
from thalweg.train.running.archive import read_archive, write_archive
from thalweg.train.running.checkpoint import checkpoint_file

OPTIMIZERS: dict[str, Any] = {
    "SGD": functools.partial(torch.optim.SGD, momentum=0.9),
    "Adam": torch.optim.Adam,
    "Adam fused": functools.partial(torch.optim.Adam, fused=True),
    "AdamW amsgrad": functools.partial(torch.optim.AdamW, amsgrad=True),
    "RMSprop": functools.partial(torch.optim.RMSprop, momentum=0.5, centered=True),
    "NAdam": torch.optim.NAdam,
    "Rprop": torch.optim.Rprop,
    "thalweg Adam": thalweg.optim.Adam,
    "thalweg SGD": functools.partial(thalweg.optim.SGD, momentum=0.9),
    "LBFGS": functools.partial(torch.optim.LBFGS, max_iter=3),
}
SCHEDULERS: dict[str, Any] = {
    "steps": functools.partial(lr_scheduler.MultiStepLR, milestones=[1, 3], gamma=0.5),
    "cosine": functools.partial(lr_scheduler.CosineAnnealingLR, T_max=5),
    "plateau": functools.partial(
        lr_scheduler.ReduceLROnPlateau, patience=0, threshold=0.9, factor=0.5
    ),
    "lambda": functools.partial(lr_scheduler.LambdaLR, lr_lambda=lambda epoch: 0.9**epoch),
}


def _interrupted(path: Path, **settings: Any) -> Run:
    """Train 2 epochs, then resume up to 5."""
    settings = {"checkpoint": path} | settings
    half = quiet(blobs(), **(settings | {"epochs": 2}))
    assert half.epochs == 2
    return quiet(blobs(), **(settings | {"epochs": 5, "resume": True}))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_resumed_run_is_bit_for_bit_the_uninterrupted_one(name: str, tmp_path: Path) -> None:
    settings = {"optimizer": OPTIMIZERS[name]}
    whole = quiet(blobs(), epochs=5, **settings)
    same_run(_interrupted(tmp_path / "run", **settings), whole, because=RESUMED)
    other_run(quiet(blobs(), epochs=4, **settings), whole)


@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.parametrize("unit", ["epoch", "step"])
def test_schedulers_resume(name: str, unit: str, tmp_path: Path) -> None:
    settings = {"scheduler": SCHEDULERS[name], "scheduler_step": unit}
    if (name, unit) == ("plateau", "step"):
        with pytest.raises(TaskError, match="scheduler_step='epoch'"):
            quiet(blobs(), **settings)
        return
    whole = quiet(blobs(), epochs=5, **settings)
    same_run(_interrupted(tmp_path / "run", **settings), whole, because=RESUMED)
    assert whole.history[-1].lr != 0.05


@pytest.mark.parametrize("shuffle", ["epoch", "once", "never"])
def test_orders_resume(shuffle: str, tmp_path: Path) -> None:
    whole = quiet(blobs(), epochs=5, shuffle=shuffle)
    same_run(_interrupted(tmp_path / "run", shuffle=shuffle), whole, because=RESUMED)


def test_early_stopping_resumes(tmp_path: Path) -> None:
    settings = {"early_stopping": EarlyStopping(patience=2), "lr": 0.5}
    whole = quiet(blobs(), epochs=60, **settings)
    assert whole.stopped == "early stopping"
    path = tmp_path / "run"
    for epochs in range(1, whole.epochs + 2):
        run = quiet(blobs(), epochs=epochs, checkpoint=path, resume=True, **settings)
    same_run(run, whole, because=RESUMED)
    assert run.best is not None
    assert whole.best is not None
    assert measured(run.best) == measured(whole.best)
    again = quiet(blobs(), epochs=60, checkpoint=path, resume=True, **settings)
    assert (again.stopped, again.epochs) == ("early stopping", whole.epochs)


def test_a_target_that_was_reached_stays_so(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"stop_at": Target("loss", 10.0), "evaluate_every": 3}
    path = tmp_path / "run"
    first = quiet(blobs(), epochs=3, checkpoint=path, **settings)
    again = quiet(blobs(), epochs=3, checkpoint=path, resume=True, **settings)
    assert first.reached == again.reached
    assert first.reached is not None
    assert again.stopped == "target"
    assert again.steps == first.reached.step == 3
    assert again.evaluations == first.evaluations


@pytest.mark.parametrize("own_generator", [False, True])
def test_loaders_that_shuffle_resume(own_generator: bool, tmp_path: Path) -> None:
    def data() -> Data:
        ((x, y),) = blobs().data.train.batches(None)
        generator = torch.Generator().manual_seed(99) if own_generator else None
        rows = list(zip(x, y, strict=True))
        return Data(DataLoader(rows, batch_size=8, shuffle=True, generator=generator))  # type: ignore[arg-type]

    whole = quiet(blobs(data=data()), epochs=4)
    same_run(quiet(blobs(data=data()), epochs=4), whole, because=RERUN)
    path = tmp_path / "run"
    quiet(blobs(data=data()), epochs=2, checkpoint=path)
    same_run(
        quiet(blobs(data=data()), epochs=4, checkpoint=path, resume=True), whole, because=RESUMED
    )


def test_resuming_without_a_checkpoint_starts_anew(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "run"
    same_run(
        quiet(blobs(), epochs=2, checkpoint=path, resume=True),
        quiet(blobs(), epochs=2),
        because=RERUN,
    )
    assert path.is_file()


def test_a_finished_run_is_given_back(tmp_path: Path) -> None:
    first = quiet(blobs(), epochs=2, checkpoint=tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint.safetensors"]
    again = quiet(blobs(), epochs=2, checkpoint=tmp_path, resume=True)
    same_run(first, again, because="a copy")
    assert (again.seconds, again.steps, again.stopped) == (first.seconds, first.steps, "epochs")


def test_how_often_is_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from thalweg.train.running import loop

    saved = []
    real = loop.save
    monkeypatch.setattr(loop, "save", lambda p, s: (saved.append(s.epoch), real(p, s)))
    quiet(blobs(), epochs=5, checkpoint=tmp_path / "run", checkpoint_every=2)
    assert saved == [2, 4, 5]


def test_a_run_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    quiet(blobs(), epochs=1, checkpoint=tmp_path / "run")
    with pytest.raises(CheckpointError, match="already holds a run"):
        quiet(blobs(), epochs=1, checkpoint=tmp_path / "run")
    with pytest.raises(CheckpointError, match="needs checkpoint="):
        quiet(blobs(), epochs=1, resume=True)


@pytest.mark.parametrize(
    ("task", "settings", "message"),
    [
        (
            {"model": lambda: nn.Linear(2, 3).double()},
            {},
            "another model: bias is only in the model",
        ),
        (
            {"model": lambda: noisy_net().float()},
            {},
            "0.weight is float64 .8, 2. in the checkpoint, float32 .8, 2. in the model",
        ),
        ({}, {"optimizer": torch.optim.SGD}, "optimizer: 'Adam' in the checkpoint, 'SGD' now"),
        (
            {},
            {"optimizer": functools.partial(torch.optim.Adam, eps=1e-3)},
            "eps: 1e-08 in the check",
        ),
        ({}, {"lr": 0.1}, "lr: 0.05 in the checkpoint, 0.1 now"),
        ({}, {"batch_size": 4}, "batch_size: 8 in the checkpoint, 4 now"),
        ({}, {"seed": 1}, "seed: 0 in the checkpoint, 1 now"),
        ({}, {"shuffle": "never"}, "shuffle: 'epoch' in the checkpoint, 'never' now"),
        ({}, {"early_stopping": EarlyStopping()}, "early_stopping: None in the checkpoint"),
        ({}, {"scheduler": SCHEDULERS["cosine"]}, "scheduler: None in the checkpoint"),
        ({"cost": Cost("cross_entropy", penalty=L2(1.0))}, {}, "penalty: "),
        (
            {"data": Data(blobs().data.validation)},
            {},
            "training rows: 35 in the checkpoint, 10 now",
        ),
    ],
)
def test_a_checkpoint_of_another_recipe(
    task: dict[str, Any], settings: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "run"
    quiet(blobs(), epochs=1, checkpoint=path)
    with pytest.raises(CheckpointError, match=message):
        quiet(blobs(**task), **({"epochs": 2, "checkpoint": path, "resume": True} | settings))


def test_damaged_files(tmp_path: Path) -> None:
    path = tmp_path / "run"
    quiet(blobs(), epochs=1, checkpoint=path)
    good = path.read_bytes()
    flipped = bytearray(good)
    flipped[-1] ^= 1
    for content, message in (
        (good[: len(good) // 2], "truncated or damaged"),
        (good[:4], "truncated or damaged"),
        (b"", "truncated or damaged"),
        (bytes(flipped), "checksum"),
        (good.replace(b"epoch", b"epoxh", 1), "checksum"),
    ):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=message):
            quiet(blobs(), epochs=2, checkpoint=path, resume=True)
    save_file(load_file_of(good, tmp_path), path)
    with pytest.raises(CheckpointError, match="not a checkpoint of this version"):
        quiet(blobs(), epochs=2, checkpoint=path, resume=True)


def load_file_of(content: bytes, folder: Path) -> dict[str, torch.Tensor]:
    other = folder / "other"
    other.write_bytes(content)
    return load_file(other)


def test_state_keeps_its_own_dtype(tmp_path: Path) -> None:
    """PyTorch casts state to the parameter's dtype on loading; a checkpoint gives it back as it
    was.
    """

    class Precise(torch.optim.SGD):
        def step(self, closure: Any = None) -> None:  # type: ignore[override]
            for p in self.param_groups[0]["params"]:
                total = self.state[p].setdefault("total", torch.zeros_like(p, dtype=torch.float64))
                assert total.dtype == torch.float64
                total += p.grad.double() / 3
                p.data -= 0.1 * total.to(p.dtype)

    task = blobs(model=lambda: nn.Linear(2, 3))
    whole = quiet(task, Precise, epochs=4)
    quiet(task, Precise, epochs=2, checkpoint=tmp_path / "run")
    same_run(
        quiet(task, Precise, epochs=4, checkpoint=tmp_path / "run", resume=True),
        whole,
        because=RESUMED,
    )


def test_tied_weights(tmp_path: Path) -> None:
    def tied() -> nn.Module:
        net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 3))
        net[1].weight = net[0].weight
        return net

    whole = quiet(blobs(model=tied), epochs=4)
    quiet(blobs(model=tied), epochs=2, checkpoint=tmp_path / "run")
    run = quiet(blobs(model=tied), epochs=4, checkpoint=tmp_path / "run", resume=True)
    same_run(run, whole, because=RESUMED)
    assert run.model[0].weight is run.model[1].weight  # type: ignore[index]


def test_archives_bring_back_what_they_took(tmp_path: Path) -> None:
    content = {
        "tensors": [torch.arange(3), torch.tensor(2.5, dtype=torch.bfloat16), torch.zeros(0, 2)],
        "strided": torch.arange(6.0).reshape(2, 3).T,
        "numbers": [0.1, float("inf"), float("-inf"), 1e-320, -0.0, 2**70, True, None],
        "nested": {"tuple": (1, (2.0, "x")), 3: {"$tensor": "no"}, None: [], "empty": {}},
    }
    write_archive(tmp_path / "a", content)
    back = read_archive(tmp_path / "a")
    for a, b in zip(back["tensors"], content["tensors"], strict=True):
        assert a.dtype == b.dtype
        same(a, b, because="a copy")
    same(back["strided"], content["strided"], because="a copy")
    assert repr(back["numbers"]) == repr(content["numbers"])
    assert back["nested"] == content["nested"]
    write_archive(tmp_path / "a", {"nan": float("nan")})
    assert read_archive(tmp_path / "a")["nan"] != read_archive(tmp_path / "a")["nan"]


def test_what_an_archive_cannot_hold(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot hold optimizer/thing: a object"):
        write_archive(tmp_path / "a", {"optimizer": {"thing": object()}})
    with pytest.raises(CheckpointError, match="sparse"):
        write_archive(tmp_path / "a", {"s": torch.eye(2).to_sparse()})
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="cannot be written"):
        write_archive(tmp_path / "file" / "a", {})
    with pytest.raises(CheckpointError, match="There is no checkpoint"):
        read_archive(tmp_path / "none")


KILLED = """
import os, signal
import torch
from tests.train.helpers import blobs, quiet

torch.set_num_threads({threads})
step = [0]
forward = torch.nn.Dropout.forward

def dying(self, x):
    step[0] += self.training
    if step[0] == 13:  # in the middle of the third epoch
        os.kill(os.getpid(), signal.SIGKILL)
    return forward(self, x)

torch.nn.Dropout.forward = dying
quiet(blobs(), epochs=5, checkpoint={path!r})
"""


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX")
def test_a_run_killed_in_the_middle_resumes_bit_for_bit(tmp_path: Path, fresh: Fresh) -> None:
    path = tmp_path / "run"
    threads = torch.get_num_threads()  # another number adds in another order
    script = textwrap.dedent(KILLED).format(path=str(path), threads=threads)
    ended = fresh.run(script)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert read_archive(path)["progress"]["epoch"] == 2
    run = quiet(blobs(), epochs=5, checkpoint=path, resume=True)
    same_run(run, quiet(blobs(), epochs=5), because=RESUMED)


def test_killed_while_writing_leaves_the_checkpoint_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from thalweg.train.running import archive

    real, count = archive.save_file, [0]

    def fails(tensors: Any, file: Any, metadata: Any) -> None:
        count[0] += 1
        real(tensors, file, metadata)
        if count[0] == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(archive, "save_file", fails)
    path = tmp_path / "run"
    assert quiet(blobs(), epochs=5, checkpoint=path).stopped == "interrupted"
    assert [p.name for p in tmp_path.iterdir()] == ["run"]
    assert read_archive(path)["progress"]["epoch"] == 2
    same_run(
        quiet(blobs(), epochs=5, checkpoint=path, resume=True),
        quiet(blobs(), epochs=5),
        because=RERUN,
    )


def test_a_file_that_cannot_be_written_is_found_before_training(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    built: list[int] = []
    task = blobs(model=lambda: built.append(1))
    with pytest.raises(CheckpointError, match="cannot be made"):
        quiet(task, checkpoint=tmp_path / "file" / "run")
    assert built == []


def test_another_optimizer_is_all_that_is_said(tmp_path: Path) -> None:
    path = tmp_path / "run"
    quiet(blobs(), epochs=1, checkpoint=path)
    with pytest.raises(CheckpointError) as caught:
        quiet(blobs(), torch.optim.SGD, epochs=2, checkpoint=path, resume=True)
    assert "recipe. optimizer: 'Adam' in the checkpoint, 'SGD' now. Use" in str(caught.value)


def test_an_empty_checkpoint_is_not_the_working_folder() -> None:
    with pytest.raises(CheckpointError, match="got an empty text"):
        checkpoint_file("", resume=False)
