from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.race.tasks import line
from thalweg import optim
from thalweg.errors import EngineError
from thalweg.race import Entrant, Race
from thalweg.race.executors.apart import apart, can_fork
from thalweg.race.executors.local import Local
from thalweg.race.executors.processes import run_on_workers
from thalweg.race.stack.run import run_unit
from thalweg.race.trials.plan import Setting, Trial, Unit
from thalweg.race.trials.point import Point
from thalweg.race.trials.records import TrialRecord
from thalweg.train.machine.threads import torch_threads

pytestmark = pytest.mark.skipif(not can_fork(), reason="no worker processes on this system")
SETTING = Setting(16, "mse", "min")


def units(*entrants: Entrant, lrs: tuple[float, ...] = (0.03, 0.1, 0.3)) -> list[Unit]:
    trials = [Trial(entrant, Point(lr), 0, 3) for entrant in entrants for lr in lrs]
    return [((f"{t.entrant.name} {t.point.lr}", t),) for t in trials]


def by_key(records: Any) -> dict[str, TrialRecord]:
    plain = (
        replace(r, seconds=0.0, curve=replace(r.curve, seconds=()))
        for each in records
        for r in each
    )
    return {record.key: record for record in plain}


def dies_above(rate: float, how: str) -> Entrant:
    """An optimizer that takes its whole process with it at large learning rates."""

    def factory(params: Any, lr: float) -> torch.optim.Optimizer:
        if lr > rate:
            if how == "exit":
                os._exit(3)
            os.kill(os.getpid(), signal.SIGKILL)
        return torch.optim.SGD(params, lr)

    return Entrant("dies", factory)


def test_workers_give_what_this_process_gives() -> None:
    todo = units(Entrant("sgd", optim.SGD), Entrant("adam", optim.Adam))
    alone = by_key(Local(1).run(line(), todo, SETTING, run_unit))
    shared = by_key(run_on_workers(line(), todo, SETTING, run_unit, workers=2))
    assert len(alone) == 6
    assert shared == alone


def test_a_stack_and_its_trials_come_back_whole() -> None:
    todo = units(Entrant("sgd", optim.SGD), Entrant("adam", optim.Adam))
    stacks = [tuple(one for unit in todo[:3] for one in unit), *todo[3:]]
    records = list(run_on_workers(line(), stacks, SETTING, run_unit, workers=2))
    assert sorted(map(len, records)) == [1, 1, 1, 3]
    assert set(by_key(records)) == {key for unit in todo for key, _ in unit}


@pytest.mark.parametrize(
    ("how", "message"),
    [("kill", r"SIGKILL, as the system does when it runs out of memory"), ("exit", "exit code 3")],
)
def test_a_trial_that_takes_its_process_with_it_has_failed(how: str, message: str) -> None:
    todo = units(dies_above(0.05, how), Entrant("sgd", optim.SGD))
    records = by_key(run_on_workers(line(), todo, SETTING, run_unit, workers=2))
    status = {key: record.status for key, record in records.items()}
    assert status.pop("dies 0.1") == status.pop("dies 0.3") == "failed"
    assert set(status.values()) == {"finished"}
    assert len(status) == 4
    assert message in (records["dies 0.1"].error or "")


def test_of_a_stack_only_the_trial_that_did_it_is_lost() -> None:
    todo = units(dies_above(0.2, "kill"))
    stack = [tuple(one for unit in todo for one in unit)]
    records = by_key(run_on_workers(line(), stack, SETTING, run_unit, workers=2))
    status = {record.lr: record.status for record in records.values()}
    assert status == {0.03: "finished", 0.1: "finished", 0.3: "failed"}


def test_an_error_that_is_no_trials_own_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("no way")

    with pytest.raises(EngineError, match="RuntimeError: no way"):
        list(run_on_workers(line(), units(Entrant("sgd", optim.SGD)), SETTING, broken, workers=2))


def test_an_interrupt_ends_the_workers() -> None:
    def slow(params: Any, lr: float) -> torch.optim.Optimizer:
        time.sleep(3600)
        return torch.optim.SGD(params, lr)

    todo = [*units(Entrant("sgd", optim.SGD), lrs=(0.1,)), *units(Entrant("slow", slow))]
    running = run_on_workers(line(), todo, SETTING, run_unit, workers=2)
    assert next(running)[0].entrant == "sgd"
    with pytest.raises(KeyboardInterrupt):
        running.throw(KeyboardInterrupt)  # as Ctrl-C does where the generator waits
    assert not multiprocessing.active_children()


def test_workers_end_with_their_parent(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            """
            import os, sys, time, torch
            sys.path.insert(0, sys.argv[2])
            from tests.race.tasks import line
            from thalweg.race import Entrant, race

            def slow(params, lr):
                if os.getpid() != int(os.environ["PARENT"]):
                    open(os.path.join(sys.argv[1], str(os.getpid())), "w").close()
                    time.sleep(600)
                return torch.optim.SGD(params, lr)

            os.environ["PARENT"] = str(os.getpid())
            torch.set_num_threads(2)
            race(line(), {"a": Entrant("a", slow)}, [0.1, 0.2], epochs=1, out=None, stack=False, workers=2)
            """
        )
    )
    pids = tmp_path / "pids"
    pids.mkdir()
    root = Path(__file__).parents[3]
    process = subprocess.Popen([sys.executable, str(script), str(pids), str(root)])
    while len(list(pids.iterdir())) < 2:
        assert process.poll() is None
        time.sleep(0.1)
    process.kill()
    process.wait()
    children = [int(path.name) for path in pids.iterdir()]
    while any(is_running(pid) for pid in children):
        time.sleep(0.1)


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_the_number_of_workers_changes_nothing() -> None:
    def outcome(count: int) -> list[Any]:
        contest = Race(line(), ["sgd", "adam"], [0.03, 0.3], epochs=3, out=None, workers=count)
        contest.run()
        return [
            replace(r, seconds=0.0, curve=replace(r.curve, seconds=()))
            for r in contest.result().records
        ]

    assert outcome(1) == outcome(3)


def test_what_is_measured_apart_costs_the_race_nothing() -> None:
    assert apart(lambda: 3, 0, workers=2) == 3
    with torch_threads(1):
        assert apart(lambda: os._exit(7), 0, workers=2) == 0  # type: ignore[arg-type]
        with pytest.raises(EngineError, match="ValueError: invalid literal"):
            apart(lambda: int("no"), 0, workers=2)


def test_a_trial_that_ends_its_program_has_failed() -> None:
    def leaves(params: Any, lr: float) -> torch.optim.Optimizer:
        raise SystemExit(3)

    (records,) = Local(1).run(
        line(), units(Entrant("leaves", leaves), lrs=(0.1,)), SETTING, run_unit
    )
    assert (records[0].status, records[0].error) == ("failed", "SystemExit: 3")
