"""Where training is: said of what fails there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass
class Moment:
    """Where training is: the epoch, the batch, and the part that is at work: "data", "model", "loss",
    "backward", "optimizer", "metrics" or "validation".
    """

    epoch: int
    batch: int = 0
    part: str = "data"
    inputs: Any = None
    outputs: Any = None
