"""A decorator for the step of a wrapper: calls that only initialize the state go to the optimizer inside."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from thalweg.optim.stepping.distributed import is_opening


def guarded(step: Callable[..., Any]) -> Callable[..., Any]:
    """Let PyTorch open the states of the optimizer inside by a call that is not a step (a decorator)."""

    @functools.wraps(step)
    def call(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        if not self.state and is_opening():
            return self.optimizer.step()
        return step(self, *args, **kwargs)

    return call
