"""Races in processes of their own, which are killed: for a fresh process, since no other may fork.

Given a folder and names of `DEATHS`, `main` leaves in it a folder for each name, in which a race was killed
and gone on with to its end.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import torch

from tests.race.races import small
from tests.race.tasks import line
from thalweg.race import Curve, Race, RecordFile, TrialRecord, seconds
from thalweg.race.executors.local import Local
from thalweg.race.judging import target as target_module
from thalweg.race.trials import timing

RIVALS = {"one": ["sgd", "adam"], "two": ["adam", "rmsprop"]}
"""The entrants of two races that share a folder."""


def contest(folder: Path | None, **settings: Any) -> Race:
    """A race on a task without a target, so that it has to find one."""
    return Race(line(target=None), **small(**settings), out=folder)


def die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("still alive")


def in_training() -> None:
    backward, passes = torch.autograd.backward, 0

    def counted(*arguments: Any, **options: Any) -> None:
        nonlocal passes
        passes += 1
        if passes == 6 + 4 * 3 + 2:  # after two probes of three steps, in the fourth trial
            die()
        backward(*arguments, **options)

    torch.autograd.backward = counted  # type: ignore[assignment]


def around_a_record(when: str, number: int) -> Callable[[], None]:
    def plant() -> None:
        append, written = RecordFile.append, 0

        def counted(self: RecordFile, *records: Any) -> None:
            nonlocal written
            written += 1
            if written < number:
                return append(self, *records)
            if when != "before":
                append(self, *records)
            if when == "within":
                os.truncate(self.path, self.path.stat().st_size - 40)
            die()

        RecordFile.append = counted  # type: ignore[method-assign]

    return plant


def writing_the_target() -> None:
    def torn(path: Path, text: str) -> None:
        path.with_name(".half.json").write_text(text[: len(text) // 2])
        die()

    target_module.write_text = torn  # type: ignore[attr-defined]


def after_the_target() -> None:
    def put(self: Any, found: Any) -> Any:
        whole(self, found)
        die()

    whole, target_module.TargetFile.put = target_module.TargetFile.put, put  # type: ignore[method-assign]


def measuring_seconds() -> None:
    seconds.measure_seconds = lambda *arguments: die()  # type: ignore[attr-defined]


WAYS: dict[str, Callable[[], None]] = {
    "in training": in_training,
    "before a record": around_a_record("before", 2),
    "within a record": around_a_record("within", 5),
    "after a record": around_a_record("after", 8),
    "after the last of tuning": around_a_record("after", 8),
    "after the first that sets the target": around_a_record("after", 9),
    "within the setting of the target": around_a_record("within", 12),
    "after the last that sets the target": around_a_record("after", 16),
    "within the final": around_a_record("within", 18),
    "writing the target": writing_the_target,
    "after the target": after_the_target,
    "measuring seconds": measuring_seconds,
}

STACKED = {
    "within the first stack": around_a_record("within", 1),
    "before the second stack": around_a_record("before", 2),
    "after the last of tuning": around_a_record("after", 2),
    "within the setting of the target": around_a_record("within", 3),
    "within the final": around_a_record("within", 5),
}
"""Of a race whose trials train in stacks of four: two that tune, two that set the target, and one that
judges."""


def start(work: Callable[[], Any]) -> int:
    child = os.fork()
    if child:
        return child
    try:
        work()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def wait(child: int) -> int:
    """Return how a child ended: its exit code, or the negative number of a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def killed_and_gone_on_with(folder: Path, plant: Callable[[], None], **settings: Any) -> None:
    def first() -> None:
        plant()
        contest(folder, **settings).run()

    assert wait(start(first)) == -signal.SIGKILL, folder
    assert wait(start(lambda: contest(folder, **settings).run())) == 0, folder


def killed_over_and_over(folder: Path, **settings: Any) -> None:
    """Killed at moments that nobody chose, each after at least one more record, until it is done."""
    draw = random.Random(0)
    records = folder / "records.jsonl"
    size = kills = 0
    while True:
        child = start(lambda: contest(folder, **settings).run())
        ended = 0
        while not ended and not (records.exists() and records.stat().st_size > size):
            time.sleep(1e-4)
            ended, status = os.waitpid(child, os.WNOHANG)
        if ended:  # all records were there
            assert os.waitstatus_to_exitcode(status) == 0
            break
        time.sleep(draw.uniform(0, 0.01))
        os.kill(child, signal.SIGKILL)
        if wait(child) == 0:
            break
        kills += 1
        size = records.stat().st_size
    assert kills >= 2


def at_the_same_time(folder: Path) -> None:
    def run(name: str) -> None:
        ready = contest(folder, entrants=RIVALS[name])
        ready.prepare()
        (folder / name).touch()
        while not all((folder / other).exists() for other in RIVALS):
            time.sleep(1e-4)
        ready.run()

    folder.mkdir()
    children = [start(lambda name=name: run(name)) for name in RIVALS]  # type: ignore[misc]
    assert [wait(child) for child in children] == [0, 0]


def side_by_side(folder: Path) -> None:
    """Two processes write records, longer than a block of the file and than a buffer."""
    curve = Curve(*[tuple(range(500))] * 6)

    def write(name: str) -> None:
        (folder / name).touch()
        while not all((folder / other).exists() for other in RIVALS):
            time.sleep(1e-4)
        for number in range(60):
            records = (
                TrialRecord(f"{name} {number} {k}", name, 0.1, k, "finished", curve=curve)
                for k in (0, 1)
            )
            RecordFile(folder / "records.jsonl").append(*records)

    folder.mkdir()
    children = [start(lambda name=name: write(name)) for name in RIVALS]  # type: ignore[misc]
    assert [wait(child) for child in children] == [0, 0]


TWO = Local(workers=2)

DEATHS: dict[str, Callable[[Path], None]] = {
    **{way: partial(killed_and_gone_on_with, plant=plant) for way, plant in WAYS.items()},
    "two workers": partial(
        killed_and_gone_on_with, plant=around_a_record("within", 3), executor=TWO
    ),
    "over and over": killed_over_and_over,
    "over and over, two workers": partial(killed_over_and_over, executor=TWO),
    **{
        f"stacked/{way}": partial(killed_and_gone_on_with, plant=plant, stack=4)
        for way, plant in STACKED.items()
    },
    "at the same time": at_the_same_time,
    "side by side": side_by_side,
}
"""Every way to die, by the name of its folder."""


def main() -> None:
    folder, ways = Path(sys.argv[1]), sys.argv[2:]
    torch.set_num_threads(1)  # forked children have no others
    timing._SECONDS_A_TURN = 0.0
    contest(None).run()  # so that the children find everything imported
    for way in ways:
        DEATHS[way](folder / way)
