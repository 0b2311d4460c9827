"""Each lab with its usual settings, run once, for the tests that look at it."""

from __future__ import annotations

import pytest

from thalweg import labs
from thalweg.labs.lab import LabResult

TOGETHER = pytest.mark.xdist_group("labs")
"""Tests that share the results, which are computed once, not once in each process."""


@pytest.fixture(scope="session")
def results() -> dict[str, LabResult]:
    """Every lab's result by name."""
    pytest.importorskip("sklearn", reason="some labs compare with scikit-learn")
    return {name: labs.run(name) for name in labs.LABS}
