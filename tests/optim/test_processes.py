"""Optimizers in two processes, with parameters whole, shared out, or in parts, step as in one."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.distributed.checkpoint as dcp
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from torch.nn.parallel import DistributedDataParallel

from tests.two_processes import in_two_processes
from thalweg import optim
from thalweg.errors import EngineError
from thalweg.rules import clip_by_global_norm, ema

pytestmark = pytest.mark.full

STEPS = 12
Make = Callable[[Any], torch.optim.Optimizer]

KINDS: dict[str, Make] = {
    "AdamW": functools.partial(optim.AdamW, lr=0.01),
    "Lion": functools.partial(optim.Lion, lr=0.01, weight_decay=0.1),
    "averaged": functools.partial(optim.SGD, lr=0.05, momentum=0.9, after=ema(0.9)),
    "clipped": functools.partial(optim.SGD, lr=0.1, before=clip_by_global_norm(0.5)),
    "eager": functools.partial(optim.Prodigy, lr=1.0, engine="eager"),
    "Prodigy": functools.partial(optim.Prodigy, lr=1.0),
    "DAdaptAdam": functools.partial(optim.DAdaptAdam, lr=1.0),
    "SGLD": functools.partial(optim.SGLD, lr=0.01),
    "LAMB": functools.partial(optim.LAMB, lr=0.01),
}


def net(first: int = 3) -> nn.Sequential:
    """Return a network whose layers do not divide into two equal parts."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, first), nn.Tanh(), nn.Linear(first, 1)).double()


def rows(k: int) -> Tensor:
    return torch.sin(torch.arange(20.0, dtype=torch.float64) + k).reshape(5, 4)


def train(
    model: nn.Module, optimizer: torch.optim.Optimizer, steps: Iterator[int] | range
) -> nn.Module:
    for k in steps:
        optimizer.zero_grad()
        model(rows(k)).square().mean().backward()
        optimizer.step()
    return model


def numbers(model: nn.Module) -> list[float]:
    whole = [p.full_tensor() if hasattr(p, "full_tensor") else p for p in model.parameters()]
    return [float(x) for p in whole for x in p.detach().flatten()]


@functools.cache
def alone(kind: str, first: int = 3) -> list[float]:
    model = net(first)
    optimizer = KINDS[kind](model.parameters())
    train(model, optimizer, range(STEPS))
    if kind == "averaged":
        optimizer.eval()  # type: ignore[attr-defined]
    return numbers(model)


def zero(model: nn.Module, kind: str) -> torch.optim.Optimizer:
    # its import warns of what is deprecated in PyTorch, which is an error where tests are gathered
    from torch.distributed.optim import ZeroRedundancyOptimizer

    return ZeroRedundancyOptimizer(model.parameters(), KINDS[kind])


def shared_out(kind: str) -> list[float]:
    model = net()
    return numbers(train(model, zero(model, kind), range(STEPS)))


def of_one_parameter() -> list[float]:
    """Return what a model trained to whose only parameter one of the processes has."""
    model = nn.Linear(4, 1, bias=False).double()
    nn.init.ones_(model.weight)
    return numbers(train(model, zero(model, "clipped"), range(STEPS)))


def sharded() -> nn.Module:
    model = net()
    for layer in (model[0], model[2]):
        fully_shard(layer)
    return fully_shard(model)


def in_parts(kind: str) -> list[float]:
    model = sharded()
    optimizer = KINDS[kind](model.parameters())
    train(model, optimizer, range(STEPS))
    if kind == "averaged":
        optimizer.eval()  # type: ignore[attr-defined]
    return numbers(model)


def resumed(kind: str, folder: str) -> list[float]:
    """Train one half, save, and go on with another model and optimizer from what was saved."""
    model = sharded()
    optimizer = KINDS[kind](model.parameters())
    train(model, optimizer, range(STEPS // 2))
    kept: dict[str, Any] = {
        "model": model.state_dict(),
        "optimizer": get_optimizer_state_dict(model, optimizer),
    }
    dcp.save(kept, checkpoint_id=f"{folder}/{kind}")
    other = sharded()
    optimizer = KINDS[kind](other.parameters())
    kept = {
        "model": other.state_dict(),
        "optimizer": get_optimizer_state_dict(other, optimizer),
    }
    dcp.load(kept, checkpoint_id=f"{folder}/{kind}")
    other.load_state_dict(kept["model"])
    set_optimizer_state_dict(other, optimizer, kept["optimizer"])
    return numbers(train(other, optimizer, range(STEPS // 2, STEPS)))


def replicated(kind: str, rank: int) -> list[float]:
    """Return what a model trained to of which each process sees some rows: 2 of 5, and 3."""
    model = net()
    copies = DistributedDataParallel(model)
    optimizer = KINDS[kind](copies.parameters())
    for k in range(STEPS):
        optimizer.zero_grad()
        here = rows(k)[2:] if rank else rows(k)[:2]
        # DDP takes the mean over processes: g = Σ (m_k/m)·g_k
        (copies(here).square().mean() * 2 * len(here) / 5).backward()
        optimizer.step()
    return numbers(model)


def refusal(kind: str) -> str:
    model = sharded()
    try:
        train(model, KINDS[kind](model.parameters()), range(1))
    except EngineError as error:
        return str(error)
    return "none"


def flat(kind: str) -> list[str]:
    """Return the warnings of three steps in FSDP1."""
    model = FullyShardedDataParallel(net(), device_id=torch.device("cpu"))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        train(model, KINDS[kind](model.parameters()), range(3))
    return [str(w.message) for w in caught if "FSDP1" in str(w.message)]


ZERO = ["LAMB", "SGLD", "clipped", "Prodigy", "eager", "DAdaptAdam"]
PARTS = ["AdamW", "Lion", "averaged", "clipped", "Prodigy", "eager"]
RESUMED = ["AdamW", "Prodigy"]
COPIES = ["AdamW", "LAMB", "Prodigy"]


def _work(rank: int, folder: str) -> dict[str, Any]:
    found: dict[str, Any] = {f"shared out {kind}": shared_out(kind) for kind in ZERO}
    found["of one parameter"] = of_one_parameter()
    found |= {f"in parts {kind}": in_parts(kind) for kind in PARTS}
    found |= {f"resumed {kind}": resumed(kind, folder) for kind in RESUMED}
    found |= {f"copies {kind}": replicated(kind, rank) for kind in COPIES}
    found["refusal"] = refusal("LAMB")
    found |= {f"flat {kind}": flat(kind) for kind in ("AdamW", "Prodigy")}
    return found


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Return what the two processes found."""
    folder = tmp_path_factory.mktemp("processes")
    return in_two_processes(_work, folder, str(folder))


@pytest.mark.parametrize(
    "case",
    [
        *(f"shared out {kind}" for kind in ZERO),
        *(f"in parts {kind}" for kind in PARTS),
        *(f"resumed {kind}" for kind in RESUMED),
        *(f"copies {kind}" for kind in COPIES),
    ],
)
def test_two_processes_step_as_one(case: str, found: list[dict[str, Any]]) -> None:
    for here in found:
        # sums in another order: 1e-16 a step, which a distance that grows by steps may enlarge
        assert here[case] == pytest.approx(alone(case.split()[-1]), rel=1e-9, abs=1e-10)


def test_a_process_without_parameters_goes_along(found: list[dict[str, Any]]) -> None:
    model = nn.Linear(4, 1, bias=False).double()
    nn.init.ones_(model.weight)
    train(model, KINDS["clipped"](model.parameters()), range(STEPS))
    for here in found:
        assert here["of one parameter"] == pytest.approx(numbers(model), rel=1e-12)


def test_what_needs_a_whole_tensor_is_refused_or_said(found: list[dict[str, Any]]) -> None:
    for here in found:
        assert "parameter 0 is a DTensor" in here["refusal"]
        assert "reduces over each tensor" in here["refusal"]
        assert here["flat AdamW"] == []
        (said,) = here["flat Prodigy"]
        assert "reduces over all tensors" in said
