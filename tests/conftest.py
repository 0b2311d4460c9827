"""What every test starts from."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator

import pytest
import torch


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
def one_thread() -> Iterator[None]:
    """Small models train many times slower on several threads when test workers share the cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
