"""Wrappers in distributed checkpoints, behind shells, and around parameters that hold no plain numbers."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed.checkpoint as dcp
from torch import nn
from torch.distributed.checkpoint.state_dict import (
    get_optimizer_state_dict,
    get_state_dict,
    set_state_dict,
)

from tests.exact import RERUN, same
from tests.meta.problem import BATCHES, Net, mse
from tests.meta.wrappers import WRAPPERS, closure_of, run
from tests.optim.shells import Shell
from thalweg import optim
from thalweg.errors import EngineError
from thalweg.meta import SAM, Accumulate, NonFinite, Wrapper
from thalweg.rules import ema

alone = pytest.mark.filterwarnings("ignore:torch.distributed is disabled")
each_wrapper = pytest.mark.parametrize("name", WRAPPERS)


def made(name: str) -> tuple[nn.Module, Any]:
    net = Net()
    net.unused.requires_grad_(False)  # PyTorch takes no checkpoint of a parameter without a state
    return net, WRAPPERS[name](optim.AdamW(net.parameters(), lr=0.1, decay="independent"))


def numbers(optimizer: Any) -> list[Any]:
    """Return what the wrappers know, from outside to inside."""
    names = ("steps", "pending", "found", "skipped", "consecutive")
    known = []
    while isinstance(optimizer, Wrapper):
        known.append({n: getattr(optimizer, n) for n in names if hasattr(optimizer, n)})
        optimizer = optimizer.optimizer
    return known


@each_wrapper
def test_reading_the_state_of_a_fresh_optimizer_changes_nothing(name: str) -> None:
    (plain, never), (read, asked) = made(name), made(name)
    assert len(get_optimizer_state_dict(read, asked)["state"]) == 4
    assert numbers(asked) == numbers(never)
    run(plain, never, 0, 4)
    run(read, asked, 0, 4)
    same(read.state_dict(), plain.state_dict(), because=RERUN)


@alone
@each_wrapper
def test_a_resumed_run_goes_on_alike(name: str, tmp_path: Path) -> None:
    """From the middle of a window, too, and with what was counted."""
    (net, optimizer), (other, fresh) = made(name), made(name)
    run(net, optimizer, 0, 4)
    bad = [o for o in nested(optimizer) if isinstance(o, NonFinite)]
    for each in bad:
        each.found = 3
    if name == "Accumulate":
        run(net, optimizer, 4, 5)
        assert optimizer.pending == 1
    saved = dict(zip("mo", get_state_dict(net, optimizer), strict=True))
    dcp.save(saved, checkpoint_id=tmp_path)
    loaded = dict(zip("mo", get_state_dict(other, fresh), strict=True))
    dcp.load(loaded, checkpoint_id=tmp_path)
    set_state_dict(other, fresh, model_state_dict=loaded["m"], optim_state_dict=loaded["o"])
    assert numbers(fresh) == numbers(optimizer)
    assert "wrappers" not in fresh.param_groups[0]
    assert all("." not in key for state in fresh.state.values() for key in state)
    run(net, optimizer, 5, 8)
    run(other, fresh, 5, 8)
    same(other.state_dict(), net.state_dict(), because=RERUN)


def nested(optimizer: Any) -> Iterator[Any]:
    while isinstance(optimizer, Wrapper):
        yield optimizer
        optimizer = optimizer.optimizer


def test_two_accumulators_keep_their_own() -> None:
    """Also of a parameter that no micro-batch has reached: it is not stepped."""
    net = Net()
    optimizer = Accumulate(Accumulate(optim.SGD(net.parameters(), lr=0.1), every=2), every=3)
    twin = Net()
    fresh = Accumulate(Accumulate(optim.SGD(twin.parameters(), lr=0.1), every=2), every=3)
    run(net, optimizer, 0, 4)
    saved = copy.deepcopy(get_optimizer_state_dict(net, optimizer))
    set_state_dict(twin, fresh, model_state_dict=net.state_dict(), optim_state_dict=saved)
    assert numbers(fresh) == numbers(optimizer)
    run(net, optimizer, 4, 8)
    run(twin, fresh, 4, 8)
    same(twin.state_dict(), net.state_dict(), because=RERUN)
    assert net.unused not in optimizer.state or optimizer.state[net.unused]["step"] == 0


# -- behind a shell -----------------------------------------------------------------------------------


def test_a_shell_around_sam() -> None:
    ends = []
    for around in (lambda o: o, Shell):
        net = Net()
        optimizer: Any = around(SAM(optim.SGD(net.parameters(), lr=0.1), 0.1))
        for k in range(3):
            mse(net, *BATCHES[k]).backward()
            optimizer.first_step()
            assert optimizer.second_pass
            mse(net, *BATCHES[k]).backward()
            if k == 1:
                optimizer.second_step()
            else:
                optimizer.restore()
                assert not optimizer.second_pass
                optimizer.step()
            optimizer.zero_grad()
        ends.append(net.state_dict())
    same(*ends, because=RERUN)


def test_a_shell_around_an_accumulator() -> None:
    net = Net()
    inside = Accumulate(optim.SGD(net.parameters(), lr=0.1, after=ema(0.5)), every=4)
    shell: Any = Shell(inside)
    run(net, shell, 0, 3)
    saved = shell.state_dict()
    shell.flush()
    assert (inside.steps, inside.pending, shell.pending) == (1, 0, 0)
    shell.load_state_dict(saved)
    assert (inside.steps, inside.pending) == (0, 3)
    shell.eval()
    with pytest.raises(EngineError, match="where the model is evaluated"):
        inside.flush()
    shell.train()
    shell.flush()
    assert inside.steps == 1


# -- loss scalers -------------------------------------------------------------------------------------


@each_wrapper
@pytest.mark.parametrize("enabled", [False, True])
def test_a_closure_is_not_for_a_loss_scaler(name: str, enabled: bool) -> None:
    """It would run after the gradients were unscaled, and the step would use scaled ones."""
    net, optimizer = made(name)
    scaler = torch.amp.GradScaler("cpu", enabled=enabled, init_scale=4.0)
    scaler.scale(mse(net, *BATCHES[0])).backward()
    before = copy.deepcopy(net.state_dict())
    if enabled:
        with pytest.raises(RuntimeError, match="would step by scaled gradients"):
            scaler.step(optimizer, closure_of(net, optimizer, 0))
        same(net.state_dict(), before, because="nothing has happened")
    else:
        scaler.step(optimizer, closure_of(net, optimizer, 0))
