"""A checkpoint that was edited is read, or told to be unreadable; nothing else happens."""

from __future__ import annotations

import copy
import json
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.optim.lr_scheduler import StepLR

from thalweg.errors import CheckpointError, ThalwegError
from thalweg.tasks import Data, Target, Task
from thalweg.train import EarlyStopping, Run, fit
from thalweg.train.running import archive as archives
from thalweg.train.running.archive import read_archive, write_archive

X = torch.linspace(-1, 1, 12).reshape(-1, 1)
TASK = Task(Data.arrays(X, X, validation=0.25), "mse", lambda: nn.Linear(1, 1))


def train(path: Path, epochs: int, **more: Any) -> Run:
    return fit(
        TASK,
        torch.optim.Adam,
        lr=0.1,
        epochs=epochs,
        batch_size=4,
        progress=False,
        checkpoint=path,
        early_stopping=EarlyStopping(patience=9),
        stop_at=Target("loss", 1e-30),
        scheduler=lambda optimizer: StepLR(optimizer, 1),
        **more,
    )


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("good") / "run"
    train(path, 2)
    return path


def raw(path: Path) -> tuple[dict[str, Any], bytes]:
    """Return the header of a safetensors file and what follows it."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def with_text(path: Path, text: str) -> None:
    """Replace the content beside the tensors, and the checksum with it."""
    header, rest = raw(path)
    tensors = read_tensors(path)
    header["__metadata__"] |= {"content": text, "crc32": str(archives._checksum(text, tensors))}
    head = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(head)) + head + rest)


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(path)


TEXTS = {
    "nested too deeply": '{"$dict": ' + "[" * 100_000 + "]" * 100_000 + "}",
    "an endless number": '{"$dict": [["epoch", ' + "9" * 5000 + "]]}",
    "no JSON": "{",
    "nothing": "",
    "a list": "[]",
    "a number": "1e999",
    "two kinds": '{"$dict": [], "$list": []}',
    "no kind": "{}",
    "an unknown kind": '{"$pickle": "gASV"}',
    "no pairs": '{"$dict": [1, 2]}',
    "a key that cannot be": '{"$dict": [[[], 1]]}',
    "a tensor that is not there": '{"$tensor": "none"}',
    "a tensor by no name": '{"$tensor": []}',
    "a real tensor as a complex one": '{"$complex": "progress/losses"}',
    "a float that is none": '{"$float": "much"}',
    "a counter of nothing": '{"$counter": 3}',
}


@pytest.mark.parametrize("name", TEXTS)
def test_content_of_another_form_is_unreadable(name: str, good: Path, tmp_path: Path) -> None:
    path = tmp_path / "run"
    path.write_bytes(good.read_bytes())
    with_text(path, TEXTS[name])
    with pytest.raises(CheckpointError, match="not as this package writes it") as caught:
        train(path, 3, resume=True)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    "head",
    [b"", b"\0" * 8, struct.pack("<Q", 1 << 60), struct.pack("<Q", 3) + b"{}}", b"\xff" * 64],
)
def test_files_of_another_kind_are_unreadable(head: bytes, tmp_path: Path) -> None:
    (tmp_path / "run").write_bytes(head)
    with pytest.raises(CheckpointError):
        train(tmp_path / "run", 3, resume=True)


PLACES = [
    *(
        ("progress", name)
        for name in ("epoch", "step", "seconds", "gradients", "stopped", "losses")
    ),
    *((name,) for name in ("settings", "model", "buffers", "optimizer", "scheduler", "progress")),
    *((name,) for name in ("history", "evaluations", "reached", "tracker")),
    *(("history", 0, name) for name in ("epoch", "step", "seconds", "lr", "train", "validation")),
    *(("history", 0, "train", name) for name in ("loss", "penalty", "metrics")),
    *(("evaluations", 1, name) for name in ("epoch", "gradients", "scores")),
    *(("tracker", name) for name in ("best", "waited", "parameters", "buffers")),
    *(("tracker", "best", name) for name in ("epoch", "validation")),
    *(("tracker", "parameters", name) for name in ("weight", "bias")),
    *(("buffers", name) for name in ("hidden", "names")),
    *(("model", name) for name in ("weight", "bias")),
    *(("optimizer", name) for name in ("state", "param_groups")),
    *(("optimizer", "state", 0, name) for name in ("step", "exp_avg")),
    *(("optimizer", "param_groups", 0, name) for name in ("lr", "params", "betas")),
    *(("scheduler", name) for name in ("last_epoch", "base_lrs", "gamma")),
    ("settings", "optimizer"),
]
VALUES: list[Any] = [
    *(None, True, -1, 0, 1 << 40, 10**30, 2.5, -1.0, float("nan"), float("inf"), "", "text"),
    *([], [[]], {}, {"a": 1}, (), {0: 0}, torch.zeros(0), torch.ones(7), torch.ones(2).long()),
]
GONE = object()


def edited(content: dict[str, Any], place: tuple[Any, ...], value: Any) -> dict[str, Any]:
    content = copy.deepcopy(content)
    part: Any = content
    for key in place[:-1]:
        part = part[key]
    if value is GONE:
        del part[place[-1]]
    else:
        part[place[-1]] = value
    return content


@settings(max_examples=120, deadline=None, derandomize=True)
@given(place=st.sampled_from(PLACES), value=st.sampled_from([GONE, *VALUES]))
def test_an_edited_part_is_taken_or_refused(good: Path, place: tuple[Any, ...], value: Any) -> None:
    path = good.with_name("edited")
    write_archive(path, edited(read_archive(good), place, value))
    try:
        run = train(path, 3, resume=True)
    except ThalwegError:
        return  # refused before training, or at the step that it made impossible
    assert isinstance(run, Run)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(data=st.data())
def test_damaged_bytes_are_noticed(good: Path, data: st.DataObject) -> None:
    content = bytearray(good.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] ^= data.draw(st.integers(1, 255))
    cut = data.draw(st.sampled_from([len(content), len(content) - 1, len(content) // 2]))
    path = good.with_name("damaged")
    path.write_bytes(content[:cut])
    try:
        read_archive(path)
    except CheckpointError:
        return
    assert read_archive(path).keys() == read_archive(good).keys()  # blanks of the header
