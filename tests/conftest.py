"""What every test starts from.

Environment variables choose what `make full` varies: THALWEG_TEST_THREADS, the number of PyTorch's threads,
THALWEG_TEST_EXAMPLES (see tests/examples.py), and THALWEG_TEST_SAMPLE: of tests with many cases, one in so
many of those that would run.
"""

from __future__ import annotations

import gc
import os
import tempfile
import zlib
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import settings

from tests.fresh import Fresh

collect_ignore_glob = ["*/there.py"]
"""Checks that can be imported only where the second device is (`tests/second_device.py`)."""

MANY = 30
"""From so many cases on, a test that is marked so is sampled."""

SAMPLE = int(os.environ.get("THALWEG_TEST_SAMPLE", "1"))

THREADS = int(os.environ.get("THALWEG_TEST_THREADS", "1"))

# the same examples in every run: a test that fails by chance, and on one machine only, helps nobody
settings.register_profile("fixed", derandomize=True, database=None, deadline=None)
settings.load_profile("fixed")


def pytest_configure(config: pytest.Config) -> None:
    """Compile kernels into a folder of this run: nothing of the user's, nothing left behind.

    The workers inherit it, so that what one of them has compiled the others only load.
    """
    if hasattr(config, "workerinput"):
        return
    folder = tempfile.TemporaryDirectory(prefix="thalweg-tests-")
    patch = pytest.MonkeyPatch()
    patch.setenv("THALWEG_CACHE", folder.name)
    config.add_cleanup(patch.undo)
    config.add_cleanup(folder.cleanup)


def pytest_collection_finish() -> None:
    """Spare every later collection of garbage the modules and tests, which stay to the end."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish() -> None:
    gc.unfreeze()  # or extensions say at the end that something leaked


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give a file to one worker, and files of one `xdist_group` to the same one.

    So what a file computes once, be it a fixture or a kernel, is computed in one process.
    """
    from xdist.scheduler import LoadGroupScheduling

    class ByFile(LoadGroupScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return super()._split_scope(nodeid).partition("::")[0]

    return ByFile(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Draw from tests with many cases; every machine draws the same.

    Of what is not drawn for `make test`, `make full` runs every second case and `make every` the rest, too.
    """
    cases = Counter(item.nodeid.partition("[")[0] for item in items)
    for item in items:
        if cases[item.nodeid.partition("[")[0]] < MANY:
            continue
        sampled = item.get_closest_marker("sampled")
        share = (1 if sampled is None else sampled.args[0]) * SAMPLE
        number = zlib.crc32(item.nodeid.encode())
        if number % share:
            item.add_marker(pytest.mark.every if number // share % 2 else pytest.mark.full)


@pytest.fixture(scope="session")
def fresh() -> Iterator[Fresh]:
    """Run code in processes of their own that need not import PyTorch."""
    processes = Fresh()
    yield processes
    processes.close()


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """One, usually: small models train many times slower on several when test workers share the cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    yield
    torch.set_num_threads(before)
