"""`fit` in one of several processes: it says that it shares no work among them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch.testing._internal.distributed.fake_pg import FakeStore

from thalweg import Task, fit
from thalweg.errors import ProcessesWarning


def train() -> None:
    x = torch.linspace(0.0, 1.0, 4)[:, None]
    fit(Task((x, x), "mse", lambda: torch.nn.Linear(1, 1)), "sgd", lr=0.1, epochs=1, progress=False)


@pytest.fixture
def group() -> Iterator[None]:
    torch.distributed.init_process_group("fake", rank=1, world_size=3, store=FakeStore())
    yield
    torch.distributed.destroy_process_group()


def test_fit_warns_in_a_process_group(group: None) -> None:
    with pytest.warns(ProcessesWarning, match="one of 3 processes"):
        train()


def test_fit_warns_where_torchrun_started_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    train()  # alone this says nothing: other tools set it, too
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    with pytest.warns(ProcessesWarning, match="one of 2 processes"):
        train()
