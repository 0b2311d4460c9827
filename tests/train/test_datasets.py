"""Training from data sets and loaders gives what training from arrays gives."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, IterableDataset

from tests.exact import RERUN, same
from tests.train.helpers import blobs, other_run, quiet, same_run
from thalweg.errors import DataError
from thalweg.tasks import Data, Task


def _rows() -> list[tuple[Tensor, Tensor]]:
    ((x, y),) = blobs().data.train.batches(None)
    return list(zip(x, y, strict=True))


class Rows(Dataset[tuple[Tensor, Tensor]]):
    def __init__(self, rows: list[tuple[Tensor, Tensor]]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.rows[index]


class Stream(IterableDataset[tuple[Tensor, Tensor]]):
    def __init__(self, rows: list[tuple[Tensor, Tensor]], times: int = 1000) -> None:
        self.rows, self.times = rows, times

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        self.times -= 1
        return iter(self.rows if self.times >= 0 else [])


def _task(train: object) -> Task:
    return blobs(data=Data(train, blobs().data.validation))  # type: ignore[arg-type]


@pytest.mark.parametrize("shuffle", ["epoch", "once", "never"])
def test_a_data_set_trains_as_arrays_do(shuffle: str) -> None:
    arrays = quiet(_task(blobs().data.train), epochs=2, shuffle=shuffle)
    same_run(quiet(_task(Rows(_rows())), epochs=2, shuffle=shuffle), arrays, because=RERUN)


def test_streams_and_loaders_in_order() -> None:
    arrays = quiet(_task(blobs().data.train), epochs=2, shuffle="never")
    same_run(quiet(_task(Stream(_rows())), epochs=2), arrays, because=RERUN)
    # A loader draws a number from the global generator, so the dropout after it differs.
    plain = {"model": lambda: nn.Linear(2, 3).double()}
    arrays = quiet(_task(blobs().data.train).replace(**plain), epochs=2, shuffle="never")
    loader = _task(DataLoader(Rows(_rows()), batch_size=8)).replace(**plain)
    same_run(quiet(loader, epochs=2), arrays, because=RERUN)


def test_a_loader_that_shuffles_follows_the_seed() -> None:
    def run(seed: int) -> object:
        return quiet(_task(DataLoader(Rows(_rows()), 8, shuffle=True)), epochs=2, seed=seed)

    same_run(run(0), run(0), because=RERUN)
    other_run(run(0), run(1))


def test_a_stream_that_runs_dry() -> None:
    with pytest.raises(DataError, match="no batch in epoch 3"):
        quiet(_task(Stream(_rows(), times=2)), epochs=4)


def test_labels_of_a_data_set_are_looked_at() -> None:
    rows = [(x, y + 3) for x, y in _rows()]
    with pytest.raises(DataError, match="Labels out of range"):
        quiet(_task(Rows(rows)))


def test_structured_inputs() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Linear(2, 3).double()

        def forward(self, parts: dict[str, Tensor]) -> Tensor:
            return self.net(torch.cat([parts["left"], parts["right"]], 1))  # type: ignore[no-any-return]

    rows = [({"left": x[:1], "right": x[1:]}, y) for x, y in _rows()]
    split = quiet(_task(Rows(rows)).replace(model=Two, data=Data(Rows(rows))), epochs=2)  # type: ignore[arg-type]
    whole = quiet(blobs(data=Data(Rows(_rows())), model=lambda: nn.Linear(2, 3).double()), epochs=2)  # type: ignore[arg-type]
    same(split.model.net.weight, whole.model.weight, because=RERUN)
