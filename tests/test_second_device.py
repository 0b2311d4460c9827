"""What runs on a GPU, on a device of PyTorch's that computes on the CPU and refuses what a GPU refuses."""

from __future__ import annotations

import pytest

from tests import second_device


@pytest.mark.skipif(not second_device.is_possible(), reason="this PyTorch has no device for tests")
def test_steps_runs_and_races_on_a_second_device() -> None:
    """In one process, since the device stays in it."""
    second_device.run_there("tests.engine.there", "tests.train.there", "tests.race.there")
