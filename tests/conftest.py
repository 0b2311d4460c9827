"""What every test starts from.

Environment variables choose what `make full` varies: THALWEG_TEST_THREADS, the number of PyTorch's threads,
and THALWEG_TEST_EXAMPLES (see tests/examples.py).
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator

import pytest
import torch
from hypothesis import settings

THREADS = int(os.environ.get("THALWEG_TEST_THREADS", "1"))

# the same examples in every run: a test that fails by chance, and on one machine only, helps nobody
settings.register_profile("fixed", derandomize=True, database=None, deadline=None)
settings.load_profile("fixed")


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
