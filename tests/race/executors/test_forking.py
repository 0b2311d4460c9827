"""What a user's objects hold beyond memory: each worker has its own, or the trials stay in one process."""

from __future__ import annotations

import os
import socket
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, Dataset, TensorDataset

from tests.race.races import outcome, small
from tests.race.tasks import line
from thalweg.race import Race
from thalweg.race.executors.apart import can_fork
from thalweg.race.executors.forking import bound_to_process, let_go, own_positions
from thalweg.race.executors.local import Local
from thalweg.tasks import Data, Task

pytestmark = pytest.mark.skipif(not can_fork(), reason="no worker processes on this system")


class FromFile(Dataset[Any]):
    """Rows of a file, by its position."""

    def __init__(self, path: Path, rows: int) -> None:
        torch.linspace(-1, 1, rows).numpy().tofile(path)
        self.rows, self.file = rows, path.open("rb", buffering=0)

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, row: int) -> Any:
        self.file.seek(4 * row)
        x = torch.frombuffer(bytearray(self.file.read(4)), dtype=torch.float32)
        return x, 2 * x + 1


def on(rows: Any) -> Task:
    x = torch.linspace(-1, 1, 16).reshape(-1, 1)
    return line(data=Data(rows, (x, 2 * x + 1)))


def raced(task: Task, **settings: Any) -> Race:
    contest = Race(task, **small(epochs=1), out=None, **settings)
    contest.run()
    return contest


def in_a_child(work: Callable[[], bool]) -> bool:
    child = os.fork()
    if not child:
        os._exit(0 if work() else 1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_loader_that_keeps_its_workers_has_new_ones_in_each_process() -> None:
    x = torch.linspace(-1, 1, 48).reshape(-1, 1)
    loader = DataLoader(
        TensorDataset(x, 2 * x + 1), 16, num_workers=1, persistent_workers=True, shuffle=True
    )
    records = raced(on(loader), workers=2).result().records
    assert {(record.status, record.error) for record in records} == {("finished", None)}


def test_whoever_is_within_an_epoch_goes_on() -> None:
    loader = DataLoader(list(range(6)), 2, num_workers=1, persistent_workers=True)
    rows = iter(loader)
    first = next(rows).tolist()
    let_go(loader)
    assert [first, *(row.tolist() for row in rows)] == [[0, 1], [2, 3], [4, 5]]
    assert len(list(loader)) == 3


def test_a_file_is_read_by_each_worker_from_where_it_stands(tmp_path: Path) -> None:
    outcomes = []
    for count in (1, 2):
        rows = FromFile(tmp_path / "rows", 64)
        outcomes.append(outcome(raced(on(rows), workers=count)))
        rows.file.close()
    assert outcomes[0] == outcomes[1]


def test_a_position_is_moved_in_one_process_alone(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("0123456789")
    with (tmp_path / "file").open("rb", buffering=0) as file, (tmp_path / "log").open("ab") as log:
        file.seek(4)

        def work() -> bool:
            own_positions()
            log.write(b"child ")
            log.flush()
            return file.read() == b"456789"

        assert in_a_child(work)
        assert file.tell() == 4
        log.write(b"parent")
    assert (tmp_path / "log").read_text() == "child parent"


def held_lock() -> Any:
    lock = threading.Lock()
    lock.acquire()
    return lock


TIES: dict[str, Callable[[], Any]] = {
    "a lock that is held": held_lock,
    "a ThreadPoolExecutor": lambda: ThreadPoolExecutor(1),
    "an open connection": socket.socket,
    "an open database": lambda: sqlite3.connect(":memory:"),
}


@pytest.mark.parametrize("tie", TIES)
def test_what_cannot_be_shared_keeps_the_trials_in_this_process(tie: str) -> None:
    rows = TensorDataset(torch.ones(32, 1), torch.ones(32, 1))
    rows.inner = {"held": [TIES[tie]()]}  # type: ignore[attr-defined]
    loader = DataLoader(rows, 16)
    assert bound_to_process(loader) == tie
    contest = raced(on(loader), workers=2)
    assert contest.executor == Local(1)
    assert {record.status for record in contest.result().records} == {"finished"}
    notes = contest.result().to_dict()["notes"]
    assert [note for note in notes if note.startswith(f"The task holds {tie}, ")]
    held = rows.inner["held"][0]  # type: ignore[attr-defined]
    getattr(held, "close", getattr(held, "shutdown", lambda: None))()


def test_a_thread_ties_while_it_runs_also_through_a_function() -> None:
    end = threading.Event()
    thread = threading.Thread(target=end.wait)

    def rows() -> Any:
        return thread

    assert bound_to_process(rows) is None
    thread.start()
    assert bound_to_process(rows) == "a running thread"
    end.set()
    thread.join()
    assert bound_to_process(rows) is None


def test_what_is_at_rest_ties_nothing() -> None:
    assert bound_to_process(line(), [threading.Lock(), threading.Event(), open]) is None
