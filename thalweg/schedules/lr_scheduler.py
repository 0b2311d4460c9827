"""A schedule as a scheduler of PyTorch, for any optimizer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LRScheduler

from thalweg.schedules.schedule import Schedule, a_schedule


def scheduler(
    optimizer: torch.optim.Optimizer, schedule: Schedule, last_epoch: int = -1
) -> ScheduleLR:
    """Drive the learning rate of a torch optimizer by a schedule.

        lr = base_lr·schedule(k),   k the number of calls of `scheduler.step()`, base_lr each group's own

    Call `step()` after each `optimizer.step()`, as with any scheduler of PyTorch. For an optimizer made with
    the rate itself, such as lr=3e-4, the schedule has the peak 1: `cosine(steps=1000)`.

    It may be a part of `SequentialLR`. Like `LambdaLR` it sets the rate and does not multiply the
    one that it finds, so in a `ChainedScheduler` it belongs first; schedules themselves are combined with
    `join`, `warmup` and `*`.

    Args:
        optimizer: any optimizer.
        schedule: the factor as a function of the step.
        last_epoch: the steps taken so far less 1; −1 starts again.

    Raises:
        TypeError: `optimizer` is not an optimizer, or `schedule` not a schedule.

    >>> import torch
    >>> from thalweg.schedules import linear
    >>> optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.5)
    >>> rate = scheduler(optimizer, linear(1.0, 0.0, 4))
    >>> for _ in range(3):
    ...     optimizer.step()
    ...     rate.step()
    >>> optimizer.param_groups[0]["lr"]
    0.125
    """
    return ScheduleLR(optimizer, schedule, last_epoch)


class ScheduleLR(LRScheduler):
    """The scheduler that `scheduler` makes.

    Its `state_dict` holds the schedule as plain JSON, so `torch.load(..., weights_only=True)` reads it.
    """

    def __init__(
        self, optimizer: torch.optim.Optimizer, schedule: Schedule, last_epoch: int = -1
    ) -> None:
        self.schedule = a_schedule("scheduler", "schedule", schedule)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float | Tensor]:
        """Return the learning rate of each group at `last_epoch` steps."""
        factor = self.schedule(self.last_epoch)
        return [base_lr * factor for base_lr in self.base_lrs]

    def state_dict(self) -> dict[str, Any]:
        """Return the state: where it stands, the base rates, and the schedule as a dictionary."""
        return {**super().state_dict(), "schedule": self.schedule.to_dict()}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Load a state written by `state_dict`; its schedule takes the place of this one's.

        As with every scheduler of PyTorch, load the state of the optimizer too: it holds the rate itself.
        """
        if "schedule" not in state_dict:
            raise ValueError(
                f"This state holds no schedule, so no `scheduler` wrote it; it has {', '.join(state_dict)}."
            )
        schedule = Schedule.from_dict(state_dict["schedule"])
        super().load_state_dict({**state_dict, "schedule": schedule})
