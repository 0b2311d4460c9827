"""Several batches, each stepped in a compiled call: all are checked before any is stepped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.engine.cpu.test_one_call import (
    CHANGES,
    THE_SAME_KERNEL,
    Followed,
    in_python,
    no_gradient,
    pytestmark,
    sparse_gradient,
)
from tests.exact import same
from thalweg.engine.together import StepInCalls
from thalweg.rules import clip_by_global_norm

__all__ = ["pytestmark"]


def divided(**options: Any) -> Followed:
    """Two groups with different programs."""
    made = Followed(**options)
    made.optimizer.param_groups[1]["maximize"] = True
    return made


def prepared(made: Followed) -> Any:
    return made.optimizer._current._one_call


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """What each call of a step in several calls returned."""
    returned: list[bool] = []
    step = StepInCalls.step

    def spied(self: StepInCalls, *arguments: Any) -> bool:
        returned.append(step(self, *arguments))
        return returned[-1]

    monkeypatch.setattr(StepInCalls, "step", spied)
    return returned


@pytest.mark.parametrize("change", [None, *CHANGES], ids=lambda each: getattr(each, "__name__", ""))
def test_the_steps_of_two_programs_are_those_in_python_and_a_change_is_seen(
    change: Callable[[Followed], None] | None, taken: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = []
    for _ in range(2):
        made = divided()
        made.step(5)
        assert taken[-2:] == [True, True]
        if change is not None:
            change(made)
        made.step(5)
        paths.append(made.tensors())
        in_python(monkeypatch)
        taken += [True, True]
    for a, b in zip(*paths, strict=True):
        same(a, b, because=THE_SAME_KERNEL)


@pytest.mark.parametrize("change", [no_gradient, sparse_gradient], ids=lambda f: f.__name__)
@pytest.mark.parametrize("which", [0, -1])
def test_where_one_batch_is_refused_none_is_stepped(
    which: int, change: Callable[[Tensor], None]
) -> None:
    made = divided()
    made.step(4)
    before = [x.clone() for x in made.tensors()]
    made.gradients()
    change(made.params[which])
    optimizer = made.optimizer
    params = [p for group in optimizer.param_groups for p in group["params"]]
    numbers = [cached.numbers for cached in optimizer._current._cached]
    assert not prepared(made).step(params, optimizer.state, numbers)
    for now, then in zip(made.tensors(), before, strict=True):
        same(now, then, because="nothing was written")
    made.gradients()
    assert prepared(made).step(params, optimizer.state, numbers)


def test_a_norm_over_all_batches_is_no_step_in_calls() -> None:
    made = divided(before=clip_by_global_norm(1.0))
    made.step(4)
    assert prepared(made) is None


def test_what_was_stepped_is_counted_for_autograd() -> None:
    made = divided()
    made.step(3)
    assert isinstance(prepared(made), StepInCalls)
    before = [p._version for p in made.params]
    made.step()
    assert [p._version for p in made.params] == [v + 1 for v in before]
    assert torch.tensor([float(made.optimizer.state[p]["step"]) for p in made.params]).eq(4).all()
