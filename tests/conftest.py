"""What every test starts from.

Environment variables choose what `make full` varies: THALWEG_TEST_THREADS, the number of PyTorch's threads,
THALWEG_TEST_EXAMPLES (see tests/examples.py), and THALWEG_TEST_SAMPLE: of tests with many cases, one in so
many of those that would run.
"""

from __future__ import annotations

import os
import tempfile
import zlib
from collections import Counter
from collections.abc import Iterator

import pytest
import torch
from hypothesis import settings

MANY = 30
"""From so many cases on, a test that is marked so is sampled."""

SAMPLE = int(os.environ.get("THALWEG_TEST_SAMPLE", "1"))

THREADS = int(os.environ.get("THALWEG_TEST_THREADS", "1"))

# the same examples in every run: a test that fails by chance, and on one machine only, helps nobody
settings.register_profile("fixed", derandomize=True, database=None, deadline=None)
settings.load_profile("fixed")


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


@pytest.fixture(autouse=True, scope="session")
def own_cache() -> Iterator[None]:
    """Compile kernels into a folder of this run: nothing of the user's, nothing left behind."""
    with tempfile.TemporaryDirectory(prefix="thalweg-tests-") as folder:
        before = os.environ.get("THALWEG_CACHE")
        os.environ["THALWEG_CACHE"] = folder
        yield
        if before is None:
            del os.environ["THALWEG_CACHE"]
        else:
            os.environ["THALWEG_CACHE"] = before


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """One, usually: small models train many times slower on several when test workers share the cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    yield
    torch.set_num_threads(before)
