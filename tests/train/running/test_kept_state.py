"""Whatever a model holds comes back: from a checkpoint bit for bit, and by early stopping."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from tests.exact import same as same_tensor
from thalweg.errors import CheckpointError, TaskError
from thalweg.tasks import Data, Task
from thalweg.train import EarlyStopping, Run, fit
from thalweg.train.running.archive import read_archive, write_archive

X = torch.linspace(-1, 1, 40).reshape(-1, 2)
DATA = Data.arrays(X, X.sum(1, keepdim=True), validation=0.25)
WHY = "the same steps, whether or not they were interrupted"


def train(model: Any, **settings: Any) -> Run:
    defaults = {"lr": 0.05, "epochs": 4, "batch_size": 5, "progress": False}
    return fit(Task(DATA, "mse", model), torch.optim.Adam, **(defaults | settings))


class Extra(nn.Linear):
    """Keeps what is not a tensor, and computes with it."""

    def __init__(self, first: Any = 1) -> None:
        super().__init__(2, 1)
        self.kept: Any = first

    def get_extra_state(self) -> Any:
        return {"kept": self.kept, "scale": torch.tensor(1.0), 1: [None, (2, "text")]}

    def set_extra_state(self, state: Any) -> None:
        assert state[1] == [None, (2, "text")]
        self.kept = state["kept"]

    def forward(self, x: Tensor) -> Tensor:
        if self.training and isinstance(self.kept, int):
            self.kept += 1
        return super().forward(x) * (1 if not isinstance(self.kept, int) else 1 + 1 / self.kept)


class Buffers(nn.Linear):
    """Buffers that a state dict leaves out, that begin as None, and that are made or grow late."""

    def __init__(self) -> None:
        super().__init__(2, 1)
        self.register_buffer("hidden", torch.zeros(()), persistent=False)
        self.register_buffer("late", None)
        self.register_buffer("memory", torch.zeros(0))
        self.register_buffer("also", None, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.hidden += 1
            self.late = torch.ones(1) if self.late is None else self.late + 1
            self.also = torch.ones(1) if self.also is None else self.also * 1.5
            self.memory = torch.cat([self.memory, x.mean().reshape(1)])
            if not hasattr(self, "made"):
                self.register_buffer("made", torch.zeros(2))
            self.made += 2
        extra = self.hidden + self.memory.sum()
        for name in ("late", "also", "made"):
            if getattr(self, name, None) is not None:
                extra = extra + getattr(self, name).sum()
        return super().forward(x) + 1e-3 * extra


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(2, 2), nn.Linear(2, 2)
        self.b.weight = self.a.weight
        self.c = nn.Parameter(torch.ones(2, 3).t()[:, :1])  # not contiguous
        self.d = nn.Parameter(torch.tensor(0.5))
        self.e = nn.Parameter(torch.zeros(0))

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.a(x)) @ self.c[:2] * self.d + self.e.sum()


class Kinds(nn.Linear):
    """Parameters and buffers of unusual dtypes."""

    def __init__(self) -> None:
        super().__init__(2, 1)
        self.z = nn.Parameter(torch.ones(2, dtype=torch.complex128))
        self.register_buffer("flags", torch.tensor([True, False]))
        self.register_buffer("small", torch.ones(2).to(torch.float8_e4m3fn))
        self.register_buffer("words", torch.arange(3).to(torch.uint16))
        self.register_buffer("conjugate", torch.ones(2, dtype=torch.complex64).mul(1j).conj())

    def forward(self, x: Tensor) -> Tensor:
        factor = self.z.abs().sum().float() + self.conjugate.imag.sum() + self.small.float().sum()
        return super().forward(x) * factor


def hooked() -> nn.Module:
    net = nn.Linear(2, 1)

    def renamed(module: nn.Module, state: dict[str, Any], prefix: str, local: Any) -> None:
        state["module.weight"] = state.pop("weight")

    def back(module: nn.Module, state: dict[str, Any], *_: Any) -> None:
        if "module.weight" in state:
            state["weight"] = state.pop("module.weight")

    net._register_state_dict_hook(renamed)
    net.register_load_state_dict_pre_hook(back)
    return net


MODELS: dict[str, Any] = {
    "extra state": Extra,
    "buffers": Buffers,
    "tied": Tied,
    "dtypes": Kinds,
    "weight norm": lambda: parametrizations.weight_norm(nn.Linear(2, 1)),
    "spectral norm": lambda: parametrizations.spectral_norm(nn.Linear(2, 1)),
    "hooks": hooked,
}


def everything(model: nn.Module) -> dict[str, Any]:
    return {
        **dict(model.named_parameters()),
        **dict(model.named_buffers()),
        "kept": getattr(model, "kept", 0),
    }


def assert_alike(left: nn.Module, right: nn.Module) -> None:
    mine, its = everything(left), everything(right)
    assert mine.keys() == its.keys()
    assert mine.pop("kept") == its.pop("kept")
    for name, tensor in mine.items():
        one, two = (
            t.view(torch.uint8) if t.dtype == torch.float8_e4m3fn else t.resolve_conj()
            for t in (tensor.detach(), its[name].detach())
        )
        same_tensor(one, two, because=WHY)


@pytest.mark.parametrize("name", MODELS)
def test_a_resumed_run_is_the_uninterrupted_one(name: str, tmp_path: Path) -> None:
    settings = {"early_stopping": EarlyStopping(patience=9)}
    whole = train(MODELS[name], **settings)
    train(MODELS[name], epochs=2, checkpoint=tmp_path / "run", **settings)
    resumed = train(MODELS[name], checkpoint=tmp_path / "run", resume=True, **settings)
    assert_alike(resumed.model, whole.model)
    assert resumed.history.column("train_loss") == whole.history.column("train_loss")


@pytest.mark.parametrize("name", MODELS)
def test_early_stopping_brings_back_what_was_measured(name: str) -> None:
    run = train(MODELS[name], early_stopping=EarlyStopping(patience=1, min_delta=10.0))
    assert (run.stopped, run.epochs, run.best.epoch) == ("early stopping", 2, 1)  # type: ignore[union-attr]
    assert_alike(run.model, train(MODELS[name], epochs=1).model)


class NoWayBack(Extra):
    set_extra_state = nn.Module.set_extra_state  # type: ignore[assignment]


class Refusing(Extra):
    def set_extra_state(self, state: Any) -> None:
        raise RuntimeError("not today")


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: Extra({1, 2}), "cannot hold model/_extra_state/kept: a set"),
        (lambda: Extra(object()), "cannot hold model/_extra_state/kept: a object"),
        (lambda: Extra(10**5000), "cannot hold"),
        (NoWayBack, "could not be resumed from"),
        (Refusing, "could not be resumed from. test_kept_state.py, line .* not today"),
    ],
)
def test_what_a_checkpoint_cannot_hold_is_said_before_training(
    model: Any, message: str, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match=message) as caught:
        train(model, checkpoint=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    assert "run" not in vars(caught.value)


@pytest.mark.parametrize("model", [NoWayBack, lambda: Extra(x for x in ())])
def test_what_early_stopping_could_not_bring_back_is_said_before_training(model: Any) -> None:
    with pytest.raises(TaskError, match="Early stopping could not bring") as caught:
        train(model, early_stopping=EarlyStopping())
    assert "run" not in vars(caught.value)
    last = EarlyStopping(restore_best=False)
    assert train(model, early_stopping=last).stopped == "epochs"


def test_an_archive_keeps_all_kinds(tmp_path: Path) -> None:
    content = {
        "numbers": {1: torch.zeros(1), "1": torch.ones(1), "a/b": torch.ones(2)},
        "a": {"b/c": torch.zeros(1)},
        "a/b": {"c": torch.ones(1)},
        "half": torch.ones(2, 2, dtype=torch.complex128) * (1 + 2j),
        "scalar": torch.tensor(1j, dtype=torch.complex128),
        "empty": torch.zeros(0, 3, dtype=torch.complex128),
        "conjugate": (torch.ones(2, dtype=torch.complex64) * 1j).conj(),
        "seen": (torch.ones(2, dtype=torch.complex64) * 1j).conj().imag,
        "part": torch.arange(6.0).reshape(2, 3).t()[1:],
        "expanded": torch.ones(1).expand(3),
    }
    write_archive(tmp_path / "a", content)
    back = read_archive(tmp_path / "a")
    assert back["numbers"].keys() == content["numbers"].keys()
    for part in ("numbers", "a", "a/b"):
        for key, value in content[part].items():  # type: ignore[attr-defined]
            same_tensor(back[part][key], value, because="a file changes no number")
    for name in ("half", "scalar", "empty", "conjugate", "seen", "part", "expanded"):
        expected = content[name].resolve_conj().resolve_neg()  # type: ignore[attr-defined]
        same_tensor(back[name], expected, because="a file changes no number")
    itself: dict[str, Any] = {}
    itself["itself"] = itself
    with pytest.raises(CheckpointError, match="cannot hold"):
        write_archive(tmp_path / "b", itself)


def test_complex_numbers_of_an_archive_are_aligned(tmp_path: Path) -> None:
    for before in range(4):  # numbers of 8 bytes that lie before them in the file
        content = {
            "a": torch.ones(2 * before + 1, dtype=torch.float64),
            "z": torch.ones(3, dtype=torch.complex128),
        }
        write_archive(tmp_path / "a", content)
        z = read_archive(tmp_path / "a")["z"]
        assert z.data_ptr() % z.element_size() == 0


def test_a_place_that_cannot_be_written_to_is_named_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match=r"The folder of .*file/run.*") as caught:
        train(Extra, checkpoint=tmp_path / "file" / "run")
    with pytest.raises(CheckpointError, match="not a regular file"):
        train(Extra, checkpoint="/dev/null", resume=True)
    with pytest.raises(CheckpointError, match="cannot be written") as late:
        write_archive(tmp_path / "file" / "run", {})
    assert ".part" not in str(caught.value) + str(late.value)
