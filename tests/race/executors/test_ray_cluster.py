"""The executor on Ray: the records of the local executor, whatever becomes of the workers."""

from __future__ import annotations

import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.race.tasks import line
from thalweg.errors import EngineError, MissingExtraError
from thalweg.race import Race
from thalweg.race.entrants.entrant import Entrant
from thalweg.race.executors import ray_cluster as ray_executor
from thalweg.race.executors.local import Local, find_executor
from thalweg.race.stack.run import run_unit
from thalweg.race.trials.plan import Setting, Trial, Unit
from thalweg.race.trials.point import Point
from thalweg.race.trials.records import RecordFile, TrialRecord
from thalweg.tasks import Task, load_task

SETTING = Setting(batch_size=16, metric="mse", direction="min")


pytestmark = pytest.mark.xdist_group("ray")  # one cluster serves all


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    """A Ray of two workers; the executor takes the one that this process is connected to."""
    ray = pytest.importorskip("ray", reason="Ray is not installed")
    before = signal.getsignal(signal.SIGTERM)  # Ray sets its own
    # Sockets lie in the folder, and their paths may not be long.
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        ray.init(
            address="local",
            num_cpus=2,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
            object_store_memory=100_000_000,
            _temp_dir=folder,
        )
        yield
        ray.shutdown()
    signal.signal(signal.SIGTERM, before)


def unit(entrant: Entrant, lr: float = 0.1, seed: int = 0, epochs: int = 3) -> Unit:
    trial = Trial(entrant, Point(lr), seed, epochs)
    return ((f"{entrant.name} {lr} {seed}", trial),)


def run(executor: Any, task: Task, units: Sequence[Unit]) -> dict[str, TrialRecord]:
    """The records by key, without the seconds, which no two runs share."""
    ended = [
        record for records in executor.run(task, units, SETTING, run_unit) for record in records
    ]
    assert len(ended) == sum(map(len, units))
    return {record.key: timeless(record) for record in ended}


def timeless(record: TrialRecord) -> TrialRecord:
    return replace(record, seconds=0.0, curve=replace(record.curve, seconds=()))


class Fatal(torch.optim.SGD):
    """SGD that ends its process in the first step, so many times; `deaths` counts them."""

    def __init__(self, params: Any, lr: float, deaths: str, times: int) -> None:
        super().__init__(params, lr)
        self.deaths, self.times = Path(deaths), times

    def step(self, closure: Any = None) -> Any:
        died = self.deaths.stat().st_size if self.deaths.exists() else 0
        if died < self.times:
            with self.deaths.open("a") as file:
                file.write("x")
            os.kill(os.getpid(), signal.SIGKILL)
        return super().step(closure)


def raising(params: Any, lr: float) -> torch.optim.Optimizer:
    raise OSError("no such luck")


FILE = """
from __future__ import annotations

import helper
import torch
from torch import nn

from thalweg import Cost, Data, Task, rule

torch.set_default_dtype(DTYPE)


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(1, 8)
        self.outer = nn.Linear(8, 1)

    def forward(self, x):
        return self.outer(helper.squash(self.inner(x)))


@rule
def heavy(g, v, *, momentum=0.9):
    v = momentum * v + g
    return v, v


def entrant():
    return heavy(momentum=0.8)


def task() -> Task:
    x = torch.linspace(-1, 1, 64).reshape(-1, 1)
    data = Data.arrays(x, helper.squash(3 * x), validation=0.25)
    return Task(data, Cost("mse", metrics="mse"), lambda: Model(), name="own")
"""


@pytest.fixture(params=["float32", pytest.param("float64", marks=pytest.mark.full)])
def own_task(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Task]:
    """A task from a file whose model is a class of the file, which imports from beside it."""
    (tmp_path / "helper.py").write_text("import torch\n\n\ndef squash(x):\n    return x.tanh()\n")
    path = tmp_path / "own.py"
    path.write_text(FILE.replace("DTYPE", f"torch.{request.param}"))
    before = torch.get_default_dtype()
    yield load_task(str(path))
    torch.set_default_dtype(before)
    sys.modules.pop("helper")


@pytest.mark.full
def test_the_records_are_those_of_the_local_executor(own_task: Task) -> None:
    own = sys.modules[type(own_task.build()).__module__]
    entrants = [
        Entrant("adam", torch.optim.Adam),
        Entrant("own rule", own.entrant(), schedule="cosine"),
        Entrant("own start", torch.optim.SGD, initialization=lambda m: m.inner.bias.fill_(0.1)),
        Entrant("raising", raising),
    ]
    units = [unit(entrant, seed=seed) for entrant in entrants for seed in (0, 1)]
    units.append(unit(Entrant("diverging", torch.optim.SGD), lr=1e30))
    local = run(Local(), own_task, units)
    assert {record.status for record in local.values()} == {"finished", "diverged", "failed"}
    assert run(find_executor("ray"), own_task, units[::-1]) == local


@pytest.mark.full
def test_of_a_stack_that_takes_its_worker_along_each_trial_runs_alone() -> None:
    stack = unit(Entrant("a", torch.optim.SGD)) + unit(Entrant("b", torch.optim.SGD))
    attempts = [ray_executor._Attempt(stack)]
    for _ in range(3):
        records, attempts = attempts[0].after_loss("WorkerCrashedError")
        assert records == ()
    assert [attempt.unit for attempt in attempts] == [stack[1:], stack[:1]]  # put before the others
    assert all(attempt.losses == 0 for attempt in attempts)


class Endless(torch.optim.SGD):
    """SGD whose first step writes the number of its process into a file, and never ends."""

    def __init__(self, params: Any, lr: float, file: str) -> None:
        super().__init__(params, lr)
        self.file = Path(file)

    def step(self, closure: Any = None) -> Any:
        self.file.write_text(f"{os.getpid()}.")
        while True:
            time.sleep(0.01)


def wait_for(happened: Callable[[], bool]) -> None:
    while not happened():
        time.sleep(0.01)


def is_running(process: int) -> bool:
    try:
        return "zombie" not in Path(f"/proc/{process}/status").read_text()
    except FileNotFoundError:
        return False


@pytest.mark.full
def test_what_had_ended_at_an_interrupt_is_handed_over_first(tmp_path: Path) -> None:
    import ray

    sgd = Entrant("sgd", torch.optim.SGD)
    ended = find_executor("ray").run(
        line(), [unit(sgd, seed=seed) for seed in (0, 1)], SETTING, run_unit
    )
    (first,) = next(ended)
    frame = ended.gi_frame  # type: ignore[attr-defined]
    running = list(frame.f_locals["running"])
    ray.wait(running, num_returns=len(running))
    (second,) = ended.throw(KeyboardInterrupt)  # type: ignore[attr-defined]
    assert {first.seed, second.seed} == {0, 1}
    with pytest.raises(KeyboardInterrupt):
        next(ended)


@pytest.mark.full
def test_a_race_of_stacks_is_that_of_this_machine() -> None:
    def records(executor: str) -> list[TrialRecord]:
        contest = Race(
            line(),
            ["sgd", "adam"],
            [0.03, 0.1, 0.3],
            seeds=2,
            final_seeds=2,
            epochs=3,
            batch_size=16,
            out=None,
            threads=1,
            stack=6,
            executor=executor,
        )
        contest.run()
        return [timeless(record) for record in contest.result().records]

    local = records("local")
    assert {record.stacked for record in local if record.stage == "tuning"} == {6}
    assert records("ray") == local


def test_what_cannot_be_sent_is_named() -> None:
    lock = threading.Lock()
    task = line(model=lambda: lock and torch.nn.Linear(1, 1))
    with pytest.raises(EngineError, match=r"The task 'line' cannot be sent.*lock"):
        run(find_executor("ray"), task, [unit(Entrant("sgd", torch.optim.SGD))])


@pytest.mark.full
def test_workers_with_other_versions_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_executor, "versions", lambda: {"torch": "1.0"})
    with pytest.raises(EngineError, match=r"A worker has torch .*, the race runs with 1.0"):
        run(find_executor("ray"), line(), [unit(Entrant("sgd", torch.optim.SGD))])


def test_a_cluster_that_does_not_answer_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        ray_executor._check_answers(address)
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(EngineError, match=f"No Ray cluster answers at {address}.*ray status"):
        ray_executor._check_answers(ray_executor._address())


def test_without_ray_the_message_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r'"thalweg\[ray\]"'):
        find_executor("ray")


@pytest.mark.full
@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks processes up in /proc")
def test_an_interrupt_ends_what_runs_and_keeps_what_has_ended(tmp_path: Path) -> None:
    file = tmp_path / "process"
    sgd = Entrant("sgd", torch.optim.SGD)
    endless = Entrant("endless", Endless, {"file": str(file)})
    ended = find_executor("ray").run(
        line(), [unit(sgd), unit(endless), unit(sgd, seed=1)], SETTING, run_unit
    )
    got = [next(ended)]
    wait_for(lambda: file.exists() and file.read_text().endswith("."))
    got.append(next(ended))
    assert sorted(records[0].seed for records in got) == [0, 1]

    def interrupt() -> None:
        time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        threading.Thread(target=interrupt).start()
        with pytest.raises(KeyboardInterrupt):
            next(ended)
    finally:
        signal.signal(signal.SIGINT, before)
    wait_for(lambda: not is_running(int(file.read_text()[:-1])))


@pytest.mark.full
def test_the_trials_of_a_lost_worker_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_executor, "_TRIES", 2)  # a new worker takes seconds
    once = {"deaths": str(tmp_path / "once"), "times": 1}
    always = {"deaths": str(tmp_path / "always"), "times": 99}
    units = [
        unit(Entrant("always", Fatal, always)),
        unit(Entrant("once", Fatal, once)),
        *(unit(Entrant("sgd", torch.optim.SGD), seed=seed) for seed in range(4)),
    ]
    records = run(find_executor("ray"), line(), units)
    assert ((tmp_path / "once").read_text(), (tmp_path / "always").read_text()) == ("x", "xx")
    failed = records.pop("always 0.1 0")
    assert failed.status == "failed"
    assert "died 2 times" in str(failed.error)
    assert records == run(Local(), line(), units[1:])


SCRIPT = """
import os
import sys
import time

import torch

from thalweg import Cost, Data, Target, Task
from thalweg.race import Entrant, Race


class Gated(torch.optim.SGD):
    def step(self, closure=None):
        while self.param_groups[0]["lr"] == 0.3 and "RAY_RAYLET_PID" in os.environ:
            time.sleep(0.01)
        return super().step(closure)


def make(**options):
    x = torch.linspace(-1, 1, 64).reshape(-1, 1)
    data = Data.arrays(x, 2 * x + 1, validation=0.25)
    model = lambda: torch.nn.Linear(1, 1)
    task = Task(data, Cost("mse", metrics="mse"), model, "line", Target("mse", 0.05))
    entrants = [Entrant("gated", Gated), Entrant("adam", torch.optim.Adam)]
    budget = dict(seeds=1, final_seeds=2, epochs=4, batch_size=16, threads=1, stack=False)
    return Race(task, entrants, [0.03, 0.3], **budget, **options)


if __name__ == "__main__":
    make(out=sys.argv[1], executor="ray").run()
"""


@pytest.mark.full
def test_a_race_whose_process_is_killed_goes_on_with_another_executor(tmp_path: Path) -> None:
    import ray

    script, out = tmp_path / "script.py", tmp_path / "out"
    script.write_text(SCRIPT)
    environment = os.environ | {"RAY_ADDRESS": ray.get_runtime_context().gcs_address}
    race = subprocess.Popen([sys.executable, str(script), str(out)], env=environment)
    records = RecordFile(out / "records.jsonl")

    def all_but_the_one_that_waits() -> bool:
        assert race.poll() is None
        return len(records.read()) == 3

    try:
        wait_for(all_but_the_one_that_waits)
    finally:
        race.kill()
        race.wait()
    make = runpy.run_path(str(script))["make"]
    resumed, whole = make(out=out), make(out=None)
    resumed.prepare()
    assert resumed.reused == 3
    resumed.run()
    whole.run()
    assert len(whole.result().records) == 8
    assert [timeless(record) for record in resumed.result().records] == [
        timeless(record) for record in whole.result().records
    ]


@pytest.fixture
def named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file in which Ray keeps the address of this machine's cluster."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    (tmp_path / "ray").mkdir()
    file = tmp_path / "ray" / "ray_current_cluster"
    file.write_text("127.0.0.1:6379\n")
    file.chmod(0o644)
    return file


def test_the_cluster_of_this_machine_is_the_users_own(
    named: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ray_executor._address() == "127.0.0.1:6379"
    monkeypatch.setattr(ray_executor, "_users", lambda: (os.geteuid() + 1,))
    assert ray_executor._address() == "local"
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    with pytest.raises(EngineError, match="a Ray of yours on this machine, and there is none"):
        ray_executor._address()
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert ray_executor._address() == "10.0.0.1:6379"


def test_a_link_and_a_pipe_name_no_cluster(named: Path) -> None:
    named.rename(named.with_name("other"))
    named.symlink_to("other")
    assert ray_executor._address() == "local"
    named.unlink()
    os.mkfifo(named)
    assert ray_executor._address() == "local"


@pytest.mark.parametrize("mode", [0o664, 0o646])
def test_a_file_to_which_others_may_write_names_no_cluster(named: Path, mode: int) -> None:
    named.chmod(mode)
    with pytest.raises(EngineError, match="others may write to it: `chmod go-w "):
        ray_executor._address()
