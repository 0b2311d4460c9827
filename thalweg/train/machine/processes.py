"""Training in one of several processes, which share no work here."""

from __future__ import annotations

import os
import warnings

from thalweg.errors import ProcessesWarning
from thalweg.optim.stepping.partition import processes_in_group


def warn_of_copies() -> None:
    """Warn where this process was started together with others: each of them would train it all."""
    number = _number_of_processes()
    if number > 1:
        warnings.warn(
            f"this is one of {number} processes, and fit shares no work among them: each trains on all "
            "rows. Start one process, or write the loop with DistributedDataParallel, in which the "
            "optimizers step as in one process",
            ProcessesWarning,
            stacklevel=4,
        )


def _number_of_processes() -> int:
    """Return how many processes are in the group, or were started by torchrun."""
    in_group = processes_in_group()
    if in_group is not None:
        return in_group
    started = os.environ.get("WORLD_SIZE", "") if "TORCHELASTIC_RUN_ID" in os.environ else ""
    return int(started) if started.isdecimal() else 1
