"""The advice to read a data set once: when it is given, and that it is given once."""

from __future__ import annotations

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from thalweg.tasks import Data
from thalweg.tasks.sources.source import Source, as_source
from thalweg.train.running import progress, reading
from thalweg.train.running.reading import Reading


class Clock:
    """Time that passes when somebody says so."""

    now = 0.0

    def perf_counter(self) -> float:
        return self.now


class Items(Dataset[tuple[torch.Tensor, int]]):
    def __init__(self, clock: Clock, seconds: float) -> None:
        self.clock, self.seconds = clock, seconds

    def __len__(self) -> int:
        return 40

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        self.clock.now += self.seconds
        return torch.zeros(250_000), index


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(reading, "time", clock)
    monkeypatch.setattr(reading, "_is_told", False)
    monkeypatch.setattr(reading, "free_memory", lambda: 400_000_000)
    return clock


def told(clock: Clock, source: Source, of_model: float) -> list[str]:
    said: list[str] = []
    watch = Reading(source, said.append)
    for _ in range(2):
        for _ in watch.watched(source.batches(4)):
            clock.now += of_model
    return said


def test_a_set_that_takes_longer_than_the_model_is_advised_on_once(clock: Clock) -> None:
    source = as_source(Items(clock, 0.2))
    (text,) = told(clock, source, 0.2)
    assert text.startswith(
        "hint: 80 % of the time goes into reading the training set, which takes 40.0 MB"
    )
    assert "Data.dataset(dataset, cache=True)" in text
    assert told(clock, source, 0.2) == []


def test_no_advice_where_it_would_not_help(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = as_source(Items(clock, 0.2))
    assert told(clock, slow, 0.9) == []  # the model takes longer
    assert told(clock, as_source(Items(clock, 0.001)), 0.0) == []  # all is done in a moment
    assert told(clock, as_source(DataLoader(Items(clock, 0.2))), 0.0) == []  # the user's own loader
    assert told(clock, Data.dataset(Items(clock, 0.2), cache=True).train, 0.0) == []
    monkeypatch.setattr(reading, "free_memory", lambda: 150_000_000)
    assert told(clock, slow, 0.0) == []  # it takes more than a quarter of the memory
    monkeypatch.setattr(reading, "free_memory", lambda: None)
    assert told(clock, slow, 0.0) == []


def test_the_advice_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    for reporter in (progress.PlainLines(1), progress.Silent(), progress.Bar(1, 0)):
        reporter.note("hint: [0.5] of it")
        reporter.close("")
    assert capsys.readouterr().err.count("hint: [0.5] of it") == 2
