"""Errors in what surrounds the equation: gradients, accumulation, checkpoints, parameters.

Each contract is a check that every optimizer here passes, and that optimizers with the error fail.
"""

from __future__ import annotations

import copy
import io
from collections.abc import Callable, Iterable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import Parameter
from torch.optim import Optimizer

import thalweg
from tests.exact import RESUMED, same
from tests.optim.problem import (
    assert_moved,
    assert_same_path,
    follow,
    give_gradients,
    outcome,
    recorded,
    snapshot,
)
from tests.testing import broken
from tests.testing.sound import Sound
from thalweg import rules
from thalweg.meta import Accumulate

from .subjects import EXACT, NAMES, PROBLEM, Make, each_name, make

pytestmark = pytest.mark.sampled(3)


def each(*errors: Make) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("error", errors, ids=lambda error: error.__name__)


def tensors(state: dict[str, Any]) -> dict[str, Tensor]:
    return {key: torch.as_tensor(value).clone() for key, value in state.items()}


# -- gradients --------------------------------------------------------------------------------------------


def leaves_gradients_alone(made: Make) -> None:
    params = PROBLEM.parameters()
    optimizer = made(params)
    for step in range(3):
        give_gradients(PROBLEM, step, params)
        given = [p.grad for p in params]
        copies = [g.clone() for g in given if g is not None]
        optimizer.step()
        assert all(p.grad is g for p, g in zip(params, given, strict=True))
        same(given, copies, because="p.grad is only read")
    assert_moved(snapshot(params), PROBLEM.starts)


@each_name
@pytest.mark.parametrize("maximize", [False, True])
def test_no_step_changes_a_gradient(name: str, maximize: bool) -> None:
    leaves_gradients_alone(make(name, maximize=maximize))


def negates_in_place(params: Any) -> Optimizer:
    return broken.NegatesInPlace(params, maximize=True)


@each(broken.DecaysTheGradient, broken.ReplacesTheGradient, negates_in_place)
def test_a_decay_or_a_sign_inside_the_gradient_is_seen(error: Make) -> None:
    with pytest.raises(AssertionError):
        leaves_gradients_alone(error)


def rests_without_a_gradient(made: Make) -> None:
    """The first parameter always has a gradient; the second pauses; the third never had one."""
    params = PROBLEM.parameters()
    optimizer = made(params)
    for step in range(6):
        give_gradients(PROBLEM, step, params)
        params[2].grad = None
        if 2 <= step < 4:
            params[1].grad = None
            point, state = params[1].detach().clone(), tensors(optimizer.state[params[1]])
            optimizer.step()
            same(params[1], point, because="without a gradient nothing moves")
            same(tensors(optimizer.state[params[1]]), state, because="nothing wrote to it")
        else:
            optimizer.step()
    counts = [float(optimizer.state[p].get("step", 0)) for p in params]
    assert counts in ([6, 4, 0], [0, 0, 0])
    same(params[2].detach(), PROBLEM.starts[2], because="nothing wrote to it")
    assert_moved(snapshot(params[:2]), PROBLEM.starts[:2])


@each_name
def test_without_a_gradient_there_is_no_decay_no_momentum_and_no_count(name: str) -> None:
    rests_without_a_gradient(make(name))
    assert "step" in stepped(make(name), PROBLEM.parameters(), 1).state_dict()["state"][0]


class TakesNoneForZero(Sound):
    def update_all(self) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                p.grad = torch.zeros_like(p) if p.grad is None else p.grad
        super().update_all()


@each(broken.DecaysWithoutGradient, broken.CountsWithoutGradient, TakesNoneForZero)
def test_a_decay_a_count_or_a_momentum_without_a_gradient_is_seen(error: Make) -> None:
    with pytest.raises(AssertionError):
        rests_without_a_gradient(error)
    rests_without_a_gradient(Sound)


# -- accumulation -----------------------------------------------------------------------------------------

ROWS = (5, 4, 3)


def accumulates(made: Make, accumulate: Callable[..., Accumulate] = Accumulate) -> None:
    """Three micro-batches of different sizes lead where the batch of twelve leads, state included."""
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(2, 8, sum(ROWS), 3, generator=generator, dtype=torch.float64)
    paths, states = [], []
    for parts in ((sum(ROWS),), ROWS):
        torch.manual_seed(1)
        model = nn.Linear(3, 3, dtype=torch.float64)
        start = snapshot(list(model.parameters()))
        optimizer = accumulate(made(model.parameters()), every=len(parts))
        path = []
        for inputs, targets in zip(x, y, strict=True):
            for a, b in zip(inputs.split(parts), targets.split(parts), strict=True):
                optimizer.zero_grad()
                nn.functional.mse_loss(model(a), b).backward()
                optimizer.step(weight=len(a))
            path.append(snapshot(list(model.parameters())))
        paths.append(path)
        states.append([tensors(optimizer.state[p]) for p in model.parameters()])
    assert_same_path(paths[1], paths[0], start, 1e-10)
    for whole, in_parts in zip(*states, strict=True):
        assert whole.keys() == in_parts.keys()
        for key in whole:
            torch.testing.assert_close(in_parts[key], whole[key], rtol=1e-9, atol=1e-12)


@each_name
def test_accumulated_micro_batches_are_one_large_batch(name: str) -> None:
    accumulates(make(name))


class StepsAtEveryMicroBatch(Accumulate):
    """Steps by each micro-batch's share of the gradient, and so decays and counts each time."""

    def step(self, closure: Any = None, *, weight: float | None = None, **arguments: Any) -> None:
        for p in (p for group in self.param_groups for p in group["params"]):
            p.grad = p.grad * (1.0 if weight is None else weight / sum(ROWS))
        self.optimizer.step()


def test_a_count_or_a_decay_of_each_micro_batch_is_seen() -> None:
    for name in ("SGD", "AdamW"):
        with pytest.raises(AssertionError):
            accumulates(make(name), StepsAtEveryMicroBatch)
    with pytest.raises(AssertionError):
        accumulates(broken.CountsBackwardPasses)
    accumulates(Sound)


# -- checkpoints ------------------------------------------------------------------------------------------

DTYPES = (torch.float64, torch.float32, torch.bfloat16)


def mixed() -> list[Parameter]:
    return [Parameter(w.to(d, copy=True)) for w, d in zip(PROBLEM.starts, DTYPES, strict=True)]


def stepped(made: Make, params: list[Parameter], steps: int) -> Optimizer:
    optimizer = made(params)
    follow(PROBLEM, params, optimizer, steps=steps)
    return optimizer


def resumes_bit_by_bit(made: Make) -> None:
    """With parameters of three dtypes, through a file that is read without unpickling code."""
    params = mixed()
    optimizer = stepped(made, params, 4)
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    copies = [Parameter(p.detach().clone()) for p in params]
    resumed = made(copies)
    resumed.load_state_dict(saved)
    for p, q in zip(params, copies, strict=True):
        same(
            tensors(optimizer.state[p]),
            tensors(resumed.state[q]),
            because="a state is saved and loaded as it is",
        )
    expected = follow(PROBLEM, params, optimizer, steps=4, start=4)
    actual = follow(PROBLEM, copies, resumed, steps=4, start=4)
    for a, e in zip(actual, expected, strict=True):
        same(a, e, because=RESUMED)
    assert all(torch.isfinite(w).all() for w in actual[-1])
    assert_moved(actual[-1][:2], PROBLEM.starts[:2])


@each_name
def test_resuming_from_a_file_is_bit_exact_in_every_dtype(name: str) -> None:
    resumes_bit_by_bit(make(name))


@each_name
def test_a_loaded_state_is_not_cast_to_the_dtype_of_its_parameter(name: str) -> None:
    params = PROBLEM.parameters(torch.bfloat16)
    saved = stepped(make(name), params, 2).state_dict()
    for state in saved["state"].values():
        for key, value in state.items():
            if value.ndim:
                state[key] = value.float() + 2.0**-12  # what bfloat16 has no place for
    resumed = make(name)(params)
    resumed.load_state_dict(saved)
    for p, state in zip(params, saved["state"].values(), strict=True):
        same(tensors(resumed.state[p]), state, because="a copy")


@each(broken.CastsItsState, broken.CountsInAnAttribute)
def test_a_cast_or_unsaved_state_is_seen(error: Make) -> None:
    with pytest.raises(
        AssertionError,
        match=r"because: a state is saved and loaded as it is|because: from a copy on",
    ):
        resumes_bit_by_bit(error)
    resumes_bit_by_bit(Sound)


def test_a_state_that_must_be_unpickled_is_seen() -> None:
    with pytest.raises(Exception, match="Weights only load failed"):
        resumes_bit_by_bit(broken.KeepsAnObject)


SQUARES = recorded([(4, 4)] * 3, steps=8)


def finds_states_by_name(made: Make, same_noise: bool = True) -> None:
    """Tensors of one shape, saved in one order and loaded in another: no size would tell."""
    names = ["first", "second", "third"]
    params = SQUARES.parameters()
    optimizer = made(zip(names, params, strict=True))
    follow(SQUARES, params, optimizer, steps=4)
    copies = [Parameter(p.detach().clone()) for p in params]
    resumed = made([(names[k], copies[k]) for k in (2, 0, 1)])
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for p, q in zip(params, copies, strict=True):
        same(
            tensors(optimizer.state[p]),
            tensors(resumed.state[q]),
            because="states are found by name",
        )
    if same_noise:
        expected = follow(SQUARES, params, optimizer, steps=4, start=4)
        actual = follow(SQUARES, copies, resumed, steps=4, start=4)
        assert_same_path(actual, expected, SQUARES.starts, EXACT)


@each_name
def test_states_are_found_by_name_and_not_by_position(name: str) -> None:
    finds_states_by_name(make(name), same_noise=name != "SGLD")  # whose noise is of the position


def test_states_found_by_position_are_seen() -> None:
    with pytest.raises(AssertionError, match="because: states are found by name"):
        finds_states_by_name(torch.optim.Adam)


# -- parameters -------------------------------------------------------------------------------------------


def parameter() -> Parameter:
    return Parameter(torch.ones(2))


def in_two_groups() -> list[dict[str, Any]]:
    p = parameter()
    return [{"params": [p]}, {"params": [p]}]


def used_up() -> Iterable[Parameter]:
    generator = (parameter() for _ in range(2))
    list(generator)
    return generator


WRONG: dict[str, Callable[[], Any]] = {
    "one parameter in two groups": in_two_groups,
    "an empty list": list,
    "a generator that is used up": used_up,
    "a dict": lambda: {"weight": parameter()},
    "a non-leaf": lambda: [2.0 * parameter()],
    "a tensor": parameter,
}
ALL = [*NAMES, "Optimizer"]


def theirs(name: str) -> Make:
    """Return PyTorch's class of the same name; what these errors say is the same in all of them."""
    return getattr(torch.optim, name if name in NAMES and hasattr(torch.optim, name) else "Adam")


def ours(name: str) -> Make:
    return make(name) if name in NAMES else lambda params: thalweg.Optimizer(params, rules.adam)


@pytest.mark.parametrize("mistake", WRONG)
@pytest.mark.parametrize("name", ALL)
def test_wrong_parameters_get_the_error_of_pytorch(name: str, mistake: str) -> None:
    expected = outcome(lambda: theirs(name)(WRONG[mistake]()))
    assert expected is not None
    assert outcome(lambda: ours(name)(WRONG[mistake]())) == expected


@pytest.mark.parametrize("name", ALL)
def test_a_generator_is_gone_through_once_and_all_of_it_is_stepped(name: str) -> None:
    params = PROBLEM.parameters()
    follow(PROBLEM, params, ours(name)(p for p in params), steps=3)
    assert_moved(snapshot(params), PROBLEM.starts)
