"""What the loops of all solvers share: runs that begin together, and leave one by one when they end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from thalweg.solvers.direction.direction import Model
from thalweg.solvers.lane import NOTHING, Carried, Lane
from thalweg.solvers.lanes import largest, put, take
from thalweg.solvers.stop import Status, Stop


class Objective(Protocol):
    """What is minimized, at one point of each lane."""

    def evaluate(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return f [lanes] and its gradient [lanes, n] at x [lanes, n]."""
        ...

    def model(self, x: Tensor) -> Model:
        """Return the second-order model of each lane at x."""
        ...


Callback = Callable[[Lane, Tensor], bool | None]
"""Is given a lane and its point after each iteration; True ends the run of that lane."""


Found = tuple[Lane, Tensor, Tensor]
"""A lane, the lowest point that it has met, and the gradient there."""


class Runs:
    """Runs of a solver, all evaluated together.

    `x` [lanes, n] and `g` hold the runs that go on; one that has ended leaves, and its point is written to
    `x_end`.
    """

    def __init__(
        self, objective: Objective, x: Tensor, stop: Stop, callback: Callback | None
    ) -> None:
        self.objective, self.stop, self.callback = objective, stop, callback
        self.x = x
        self.lanes: list[Lane] = []
        self.everyone: list[Lane] = []
        self.x_end, self.g_end = x.clone(), torch.zeros_like(x)

    def run(self, carried: Carried = NOTHING) -> list[Lane]:
        """Run all lanes to their ends and return them, in their order; `carried` is of a run before."""
        f, self.g = self.objective.evaluate(self.x)
        sizes = self._sizes(self.x, self.g)
        self.lanes = [
            Lane(index, here, size)
            for index, (here, size) in enumerate(zip(f.tolist(), sizes.tolist(), strict=True))
        ]
        self.everyone = list(self.lanes)
        for lane in self.everyone:
            lane.go_on(carried)
            lane.judge(self.stop, self.x.dtype)
        self._begin()
        while self.lanes:
            self._tick()
        return self.everyone

    def so_far(self) -> list[Found]:
        """Return each lane with its lowest point and the gradient there; those that go on are interrupted.

        There are none before the first value.
        """
        for lane in self.lanes:
            self.x_end[lane.index], self.g_end[lane.index] = self.lowest(lane)
            lane.status = lane.status or Status.INTERRUPTED
        return list(zip(self.everyone, self.x_end, self.g_end, strict=False))

    def lowest(self, lane: Lane) -> tuple[Tensor, Tensor]:
        """Return the lowest point of a lane that goes on, and the gradient there."""
        return self.x[lane.place], self.g[lane.place]

    def _begin(self) -> None:
        """Prepare the first tick; runs that have ended where they start leave."""
        raise NotImplementedError

    def _tick(self) -> None:
        """Evaluate one point of each lane, and tell the lanes."""
        raise NotImplementedError

    def _keep(self, at: Tensor) -> None:
        """Keep what belongs to the lanes at these places, beside x and g."""
        raise NotImplementedError

    def _sizes(self, x: Tensor, g: Tensor) -> Tensor:
        """Return the largest component of each lane's gradient, of those that a step could follow."""
        return largest(g)

    def _call(self, lanes: list[Lane]) -> None:
        """Show the callback where these lanes are."""
        if self.callback is None:
            return
        for lane in lanes:
            if self.callback(lane, self.x[lane.place]):
                lane.status = lane.status or Status.STOPPED

    def _leave(self) -> bool:
        """Let the lanes that have ended leave, and keep their points; return whether there were any."""
        going = [lane for lane in self.lanes if lane.status is None]
        if len(going) == len(self.lanes):
            return False
        index = torch.tensor([lane.index for lane in self.lanes], device=self.x.device)
        self.x_end[index], self.g_end[index] = self.x, self.g
        at = torch.tensor([lane.place for lane in going], dtype=torch.long, device=self.x.device)
        self.x, self.g = take((self.x, self.g), at)
        self._keep(at)
        self.lanes = going
        for place, lane in enumerate(going):
            lane.place = place
        return True

    def _places(self, places: list[int]) -> Tensor | None:
        """Return places as an index, None for all of them."""
        if len(places) == len(self.lanes):
            return None
        return torch.tensor(places, device=self.x.device)

    def _go_to(self, at: Tensor | None, x: Tensor, g: Tensor) -> None:
        """Set x and g of the lanes at these places."""
        self.x, self.g = put((self.x, self.g), at, (x, g))
