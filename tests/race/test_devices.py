"""Races on devices that this machine does not have; `tests.race.there` has one on which they run."""

from __future__ import annotations

import pytest
import torch

from tests.race.races import small
from tests.race.tasks import line
from thalweg.errors import TaskError
from thalweg.race import Race


def test_a_device_that_is_not_there() -> None:
    with pytest.raises(TaskError, match=r"device must be the name of a torch device.*got 'gpu'"):
        Race(line(), **small(device="gpu"))
    with pytest.raises(TaskError, match="holds no numbers"):
        Race(line(), **small(device=torch.device("meta")))
    with pytest.raises(TaskError, match="'cuda:77' cannot be used here"):
        Race(line(), **small(device="cuda:77"))
