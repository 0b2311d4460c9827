"""States: torch's keys, exact resumption, names, exchange with torch.optim, copies."""

from __future__ import annotations

import copy
import functools
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer

from tests.exact import RERUN, RESUMED, same

from .cases import (
    Case,
    each_alone,
    each_engine,
    each_in_place,
    each_optimizer,
    each_program,
    each_torch_case,
)
from .oracle import TOLERANCE, beside_the_oracle
from .problem import (
    assert_moved,
    assert_same_path,
    default_dtype,
    follow,
    give_gradients,
    recorded,
    snapshot,
)

pytestmark = pytest.mark.sampled(6)

EXACT = TOLERANCE[torch.float64]
PROBLEM = recorded([(5,), (3, 4), (), (1037,)], steps=24)
Saved = dict[str, Any]
Make = Callable[..., Optimizer]


def through_memory(saved: Saved, folder: Path) -> Saved:
    return copy.deepcopy(saved)


def through_torch_save(saved: Saved, folder: Path) -> Saved:
    torch.save(saved, folder / "state.pt")
    return torch.load(folder / "state.pt", weights_only=True)


def through_safetensors(saved: Saved, folder: Path) -> Saved:
    """Tensors in one file; all that is left must be numbers, booleans, names and lists of them."""
    tensors, numbers = {}, {}
    for index, state in saved["state"].items():
        for key, value in state.items():
            (tensors if isinstance(value, Tensor) else numbers)[f"{index}.{key}"] = value
    save_file({key: value.contiguous() for key, value in tensors.items()}, folder / "s.safetensors")
    assert not numbers
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in load_file(folder / "s.safetensors").items():
        index, key = name.split(".")
        state.setdefault(int(index), {})[key] = value
    return {**saved, "state": state}


@each_engine
@each_program
def test_resuming_is_exact(case: Case, engine: str, tmp_path: Path) -> None:
    resume(case, engine, torch.float64, through_memory, tmp_path)


@pytest.mark.parametrize("way", [through_torch_save, through_safetensors])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
@each_engine
@each_optimizer
def test_resuming_from_a_file_is_exact(
    case: Case, engine: str, dtype: torch.dtype, way: Callable[..., Saved], tmp_path: Path
) -> None:
    resume(case, engine, dtype, way, tmp_path)


def resume(
    case: Case, engine: str, dtype: torch.dtype, way: Callable[..., Saved], folder: Path
) -> None:
    parameters = PROBLEM.parameters(dtype)
    optimizer = case.ours(parameters, engine=engine)
    follow(PROBLEM, parameters, optimizer, steps=5)
    copies = [Parameter(p.detach().clone()) for p in parameters]
    saved = optimizer.state_dict()
    resumed = case.ours(copies, engine=engine)
    resumed.load_state_dict(way(saved, folder))
    for p, q in zip(parameters, copies, strict=True):
        before, after = optimizer.state[p], resumed.state[q]
        assert set(before) == set(after)
        for key, value in before.items():
            assert value.dtype == after[key].dtype, key
            same(value, after[key], because="a copy")
            assert value.data_ptr() != after[key].data_ptr() or not value.numel(), key
    expected = follow(PROBLEM, parameters, optimizer, steps=6, start=5)
    actual = follow(PROBLEM, copies, resumed, steps=6, start=5)
    for a, e in zip(actual, expected, strict=True):
        same(a, e, because=RESUMED)
    if dtype == torch.float64:
        assert_moved(actual[-1], PROBLEM.starts)


@each_optimizer
def test_a_state_keeps_its_own_dtype(case: Case) -> None:
    """States of float32 beside bfloat16 parameters are loaded as what they are."""
    parameters = PROBLEM.parameters(torch.bfloat16)
    optimizer = case.ours(parameters)
    follow(PROBLEM, parameters, optimizer, steps=2)
    saved = optimizer.state_dict()
    changed = 0
    for state in saved["state"].values():
        for key, value in state.items():
            if key != "step" and value.dim():
                state[key] = value.float() + 2.0**-12
                changed += 1
    chain = optimizer.composition(optimizer.param_groups[0]).chain
    assert changed or not chain.states
    resumed = case.ours(PROBLEM.parameters(torch.bfloat16))
    resumed.load_state_dict(saved)
    for theirs, ours in zip(saved["state"].values(), resumed.state.values(), strict=True):
        for key, value in theirs.items():
            assert ours[key].dtype == value.dtype
            same(ours[key], value, because="a copy")


@each_engine
@each_in_place
def test_states_are_found_by_name(case: Case, engine: str) -> None:
    names = [f"layer.{index}" for index in range(len(PROBLEM.starts))]
    parameters = PROBLEM.parameters()
    optimizer = case.ours(zip(names, parameters, strict=True), engine=engine)
    follow(PROBLEM, parameters, optimizer, steps=5)
    copies = [Parameter(p.detach().clone()) for p in parameters]
    backwards = list(zip(names, copies, strict=True))[::-1]
    resumed = case.ours(backwards, engine=engine)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert resumed.param_groups[0]["param_names"] == names[::-1]
    expected = follow(PROBLEM, parameters, optimizer, steps=5, start=5)
    actual = follow(PROBLEM, copies, resumed, steps=5, start=5)
    if case.is_coupled:  # a sum over all tensors in another order
        assert_same_path(actual, expected, PROBLEM.starts, EXACT)
        return
    for a, e in zip(actual, expected, strict=True):
        same(a, e, because="no tensor looks at another, so their order is nothing to them")


@each_torch_case
def test_states_have_torchs_keys_and_values(case: Case) -> None:
    states = []
    with default_dtype(torch.float64):
        for make in (case.theirs, case.ours):
            parameters = PROBLEM.parameters()
            optimizer = make(parameters)
            follow(PROBLEM, parameters, optimizer, steps=6)
            states.append([optimizer.state[p] for p in parameters])
    for theirs, ours in zip(*states, strict=True):
        assert ours["step"] == 6
        assert isinstance(ours["step"], Tensor)
        assert ours["step"].dim() == 0
        assert set(ours) - {"step"} == {k for k, v in theirs.items() if v is not None} - {"step"}
        for key, value in theirs.items():
            if value is not None:
                scale = value.double().abs().amax().item()
                torch.testing.assert_close(
                    ours[key].double(), value.double(), rtol=EXACT, atol=EXACT * scale
                )


@pytest.mark.parametrize("direction", ["from torch", "to torch"])
@each_engine
@each_torch_case
def test_checkpoints_are_exchanged_with_torch(case: Case, engine: str, direction: str) -> None:
    with default_dtype(torch.float64):
        ours = functools.partial(case.ours, engine=engine)
        first, second = (case.theirs, ours) if direction == "from torch" else (ours, case.theirs)
        parameters = PROBLEM.parameters()
        optimizer = first(parameters)
        follow(PROBLEM, parameters, optimizer, steps=8)
        copies = [Parameter(p.detach().clone()) for p in parameters]
        resumed = second(copies)
        resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))  # torch shares tensors
        expected = follow(PROBLEM, parameters, optimizer, steps=8, start=8)
        actual = follow(PROBLEM, copies, resumed, steps=8, start=8)
    assert_same_path(actual, expected, PROBLEM.starts, EXACT)


def deep_copied(optimizer: Optimizer) -> Optimizer:
    return copy.deepcopy(optimizer)


def pickled(optimizer: Optimizer) -> Optimizer:
    return pickle.loads(pickle.dumps(optimizer))


@pytest.mark.parametrize("duplicate", [deep_copied, pickled])
@each_engine
@each_program
def test_copies_go_on_alone(
    case: Case, engine: str, duplicate: Callable[[Optimizer], Optimizer]
) -> None:
    parameters = PROBLEM.parameters()
    optimizer = case.ours(parameters, engine=engine)
    follow(PROBLEM, parameters, optimizer, steps=3)
    twin = duplicate(optimizer)
    copies = twin.param_groups[0]["params"]
    here = snapshot(parameters)
    actual = follow(PROBLEM, copies, twin, steps=4, start=3)
    same(snapshot(parameters), here, because="nothing wrote to it")  # the copy moved the original
    expected = follow(PROBLEM, parameters, optimizer, steps=4, start=3)
    for a, e in zip(actual, expected, strict=True):
        same(a, e, because=RESUMED)


@each_engine
@each_alone
def test_a_cleared_state_begins_anew(case: Case, engine: str) -> None:
    def run(make: Make) -> list[list[Tensor]]:
        parameters = PROBLEM.parameters()
        optimizer = make(parameters)
        path = follow(PROBLEM, parameters, optimizer, steps=4)
        optimizer.state.clear()
        if case.optimizer == "Adagrad":  # torch fills its state at construction only
            optimizer = make(parameters)
        return path + follow(PROBLEM, parameters, optimizer, steps=5, start=4)

    beside_the_oracle(case, engine, PROBLEM.starts, run)


def halve_in_place(state: dict[str, Any], key: str) -> None:
    state[key].mul_(0.5)


def halve_in_a_copy(state: dict[str, Any], key: str) -> None:
    state[key] = 0.5 * state[key]


@each_engine
@each_program
def test_a_state_changed_by_hand_is_used(case: Case, engine: str) -> None:
    """In place, or replaced by another tensor: both as with torch, where it has the same states."""

    def run(make: Make, *halve: Callable[..., None]) -> list[list[Tensor]]:
        parameters = PROBLEM.parameters()
        optimizer = make(parameters)
        path = follow(PROBLEM, parameters, optimizer, steps=4)
        for index, p in enumerate(parameters):
            state = optimizer.state[p]
            for key in [k for k, v in state.items() if k != "step" and isinstance(v, Tensor)]:
                halve[index % len(halve)](state, key)
        return path + follow(PROBLEM, parameters, optimizer, steps=5, start=4)

    ours = functools.partial(case.ours, engine=engine)
    actual = run(ours, halve_in_place, halve_in_a_copy)
    with default_dtype(torch.float64):
        expected = run(case.theirs if case.has_twin else ours, halve_in_a_copy, halve_in_place)
    assert_same_path(actual, expected, PROBLEM.starts, EXACT)


@each_engine
@each_program
def test_a_step_count_changed_by_hand_is_used(case: Case, engine: str) -> None:
    def run(make: Make) -> list[list[Tensor]]:
        parameters = PROBLEM.parameters()
        optimizer = make(parameters)
        path = follow(PROBLEM, parameters, optimizer, steps=4)
        for p in parameters:
            if "step" in optimizer.state[p]:
                optimizer.state[p]["step"].fill_(40.0)
        return path + follow(PROBLEM, parameters, optimizer, steps=5, start=4)

    beside_the_oracle(case, engine, PROBLEM.starts, run)


@each_engine
@each_program
def test_saving_disturbs_nothing(case: Case, engine: str) -> None:
    """A state_dict taken at every step is right at every step, and leaves the path as it is."""
    ends = []
    for saves in (False, True):
        parameters = PROBLEM.parameters()
        optimizer = case.ours(parameters, engine=engine)
        for step in range(5):
            give_gradients(PROBLEM, step, parameters)
            optimizer.step()
            if saves:
                steps = [state["step"].item() for state in optimizer.state_dict()["state"].values()]
                assert steps == [step + 1] * len(parameters)
        ends.append(snapshot(parameters))
    same(*ends, because=RERUN)


@each_engine
@each_optimizer
def test_a_state_dict_is_of_one_step(case: Case, engine: str) -> None:
    """It holds the tensors of the optimizer, numbers as well: what is kept moves on, and never in part."""
    ends = []
    for copies in (False, True):
        parameters = PROBLEM.parameters()
        optimizer = case.ours(parameters, engine=engine)
        give_gradients(PROBLEM, 0, parameters)
        optimizer.step()
        kept = optimizer.state_dict()
        optimizer.step()
        optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()) if copies else kept)
        give_gradients(PROBLEM, 1, parameters)
        optimizer.step()
        ends.append(snapshot(parameters))
    same(*ends, because=RERUN)
