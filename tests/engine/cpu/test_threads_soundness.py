"""When a call on several threads returns, nothing still writes: the tables it reads may be gone."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable

import pytest
import torch
from torch.nn import Parameter

from tests.exact import same
from tests.fresh import Fresh
from thalweg import optim
from thalweg.engine.cpu import threads
from thalweg.engine.cpu.threads import Kernel, run_on

WHY = "the same instructions on the same elements, whichever thread takes a chunk"


@pytest.fixture
def _on_the_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every call run on a pool of its own, as where PyTorch has no OpenMP."""
    monkeypatch.setattr(threads, "_openmp", lambda: None)
    for name, value in (("_pool", None), ("_size", 0), ("_exhausted", False)):
        monkeypatch.setattr(threads, name, value)


on_the_pool = pytest.mark.usefixtures("_on_the_pool")


def walk(seed: int = 0, steps: int = 3) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    params = [Parameter(torch.randn(n, generator=generator)) for n in (300_001, 7, 150_000)]
    optimizer = optim.Adam(params, engine="fused")
    for _ in range(steps):
        for p in params:
            p.grad = torch.randn(p.shape, generator=generator)
        optimizer.step()
    return [p.detach() for p in params]


class Calls:
    """A kernel that records who runs it, and how many still do."""

    def __init__(self, body: Callable[[], None] = lambda: None) -> None:
        self.body = body
        self.running = 0
        self.by: list[str] = []
        self.lock = threading.Lock()

    def __call__(self, argument: int) -> None:
        with self.lock:
            self.by.append(threading.current_thread().name)
            self.running += 1
        self.body()
        with self.lock:
            self.running -= 1


def kernel(call: Callable[[int], None]) -> Kernel:
    return Kernel(0, call)


@on_the_pool
@pytest.mark.parametrize("count", [-1, 0, 1])
def test_less_than_two_threads_are_the_calling_one(count: int) -> None:
    calls = Calls()
    run_on(count, kernel(calls), 0)
    assert calls.by == [threading.current_thread().name]


@on_the_pool
@pytest.mark.skipif(not hasattr(signal, "raise_signal"), reason="this system has no such signals")
def test_an_interrupted_step_returns_when_all_threads_are_done() -> None:
    """A handler may raise at any time, as for Ctrl-C; memory must not be freed under a running kernel."""
    started, go_on = threading.Event(), threading.Event()
    interrupts = 3

    def body() -> None:
        if threading.current_thread() is threading.main_thread():
            started.wait()
        else:
            started.set()
            go_on.wait()

    def interrupt() -> None:
        for _ in range(interrupts):
            time.sleep(0.05)
            signal.raise_signal(signal.SIGINT)
        time.sleep(0.05)
        assert calls.running == 1  # it was waited for, all the time
        go_on.set()

    calls = Calls(body)
    interrupter = threading.Thread(target=interrupt)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        interrupter.start()
        with pytest.raises(KeyboardInterrupt):
            run_on(2, kernel(calls), 0)
        assert calls.running == 0
    finally:
        go_on.set()
        interrupter.join()
        signal.signal(signal.SIGINT, before)


@on_the_pool
def test_an_error_on_one_thread_waits_for_the_others() -> None:
    started = threading.Event()

    def body() -> None:
        if threading.current_thread() is threading.main_thread():
            started.wait()
            raise MemoryError
        started.set()
        time.sleep(0.1)

    calls = Calls(body)
    with pytest.raises(MemoryError):
        run_on(2, kernel(calls), 0)
    assert calls.running == 1  # the one that raised


@on_the_pool
def test_a_helper_that_comes_too_late_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its call is over, and the tables of that call are gone."""
    late: list[Callable[[], None]] = []

    class Slow:
        def submit(self, work: Callable[[], None]) -> None:
            late.append(work)

    monkeypatch.setattr(threads, "_get_pool", lambda size: Slow())
    calls = Calls()
    run_on(3, kernel(calls), 0)
    assert len(late) == 2
    for work in late:
        work()
    assert calls.by == [threading.current_thread().name]


@on_the_pool
def test_where_no_thread_can_be_had_one_does_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system may limit the threads of a user."""
    expected = walk()

    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    torch.set_num_threads(3)
    same(walk(), expected, because=WHY)


@pytest.mark.parametrize("way", ["OpenMP", "pool"])
def test_several_python_threads_step_at_once(way: str, request: pytest.FixtureRequest) -> None:
    if way == "pool":
        request.getfixturevalue("_on_the_pool")
    elif threads._openmp() is None:
        pytest.skip("PyTorch is built without OpenMP")
    expected = [walk(seed) for seed in range(4)]
    torch.set_num_threads(2)
    found: dict[int, list[torch.Tensor]] = {}
    workers = [
        threading.Thread(target=lambda seed=seed: found.update({seed: walk(seed)}))
        for seed in range(4)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    same([found[seed] for seed in range(4)], expected, because=WHY)


STEP = """
import atexit, collections, os, threading, torch, warnings
from thalweg import optim
from thalweg.engine.cpu import threads

warnings.simplefilter("error")
warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads
torch.set_num_threads(2)

class Walk:
    "Steps that touch no large tensor by PyTorch, whose threads a forked child does not have."
    def __init__(self):
        p = torch.nn.Parameter(torch.ones(300_000))
        p.grad = torch.ones(300_000)
        self.numbers = p.detach().numpy()
        self.optimizer = optim.SGD([p], lr=0.25, engine="fused")

    def step(self):
        before = self.numbers[0]
        self.optimizer.step()
        assert (self.numbers == before - 0.25).all()

walk = Walk()
"""


def run(fresh: Fresh, script: str, *, to_the_end: bool = False) -> list[str]:
    """Return the lines that a script prints; it fails at any warning, error, or word about one."""
    done = fresh.run(STEP + script, to_the_end=to_the_end)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split("\n")[:-1]


AT_THE_END = """
threads._forked = True  # as in a child, where PyTorch has no threads

class Last:
    def __del__(self, walk=walk, os=os):
        walk.step()
        os.write(1, b"deleted\\n")

@atexit.register
def goodbye():
    walk.step()
    os.write(1, b"at exit\\n")

kept = Last()  # until all modules go
walk.step()
other = Walk()
other.step()
for_ever = iter(other.optimizer.step, "never")
threading.Thread(target=collections.deque, args=(for_ever, 0), daemon=True).start()
"""


def test_steps_while_the_interpreter_shuts_down(fresh: Fresh) -> None:
    """A pool takes no more work then."""
    assert run(fresh, AT_THE_END, to_the_end=True) == ["at exit", "deleted"]


CHILDREN = """
def in_thread(work):
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

def forked(work):
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:
            os._exit(1)
        os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7

walk.step()
forked(lambda: (walk.step(), forked(walk.step), in_thread(walk.step)))
in_thread(lambda: forked(lambda: (walk.step(), forked(walk.step))))

other, running, enough = Walk(), threading.Event(), threading.Event()
def go_on():
    while not enough.is_set():
        other.step()
        running.set()
walker = threading.Thread(target=go_on)
walker.start()
running.wait()
for _ in range(5):
    forked(walk.step)
enough.set()
walker.join()
walk.step()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_steps_in_children_of_children_and_of_threads(fresh: Fresh) -> None:
    """Also while another thread of the parent is in a step."""
    run(fresh, CHILDREN)
