"""How much of the machine a race may use."""

from __future__ import annotations

import torch


def cores_for(threads: int) -> int:
    """Return how many trials or stacks this machine can run at once, each on so many threads."""
    return max(1, torch.get_num_threads() // threads)
