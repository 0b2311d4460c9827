"""The doctor in two processes, and around compiled models: training stays as it was, and nobody waits."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributed.fsdp import fully_shard
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from tests.doctor.helpers import FEATURES, batches, net, trained
from tests.exact import RERUN, same
from tests.two_processes import in_two_processes
from thalweg.doctor import Doctor

STEPS = 40


def normed() -> nn.Module:
    """Return a network with a normalization, whose buffers DDP sends in each forward pass."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(FEATURES, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 4))


def replicated() -> nn.Module:
    return DistributedDataParallel(normed())


def sharded() -> nn.Module:
    model = net()
    for layer in model:
        if isinstance(layer, nn.Linear):
            fully_shard(layer)
    fully_shard(model)
    return model


KINDS: dict[str, Callable[[], nn.Module]] = {"replicated": replicated, "sharded": sharded}


def _numbers(model: nn.Module) -> list[Any]:
    found: list[Tensor] = [*model.parameters(), *model.buffers()]
    return [(t.to_local() if hasattr(t, "to_local") else t).tolist() for t in found]


def _work(rank: int, kind: str) -> dict[str, Any]:
    """Train with a doctor and without; the processes look at different steps, and only one reports."""
    ends = []
    for watch in (False, True):
        model = KINDS[kind]()
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        doctor = None
        if watch:
            doctor = Doctor(model, optimizer, loss="cross_entropy", budget=1e9 if rank else 0.0)
        for x, y in batches(STEPS, seed=rank):
            optimizer.zero_grad()
            loss = functional.cross_entropy(model(x), y)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            if doctor is not None:
                doctor.step(loss, batch=(x, y))
        ends.append(_numbers(model))
    assert doctor is not None
    doctor.close()
    found: dict[str, Any] = {"same": ends[0] == ends[1], "looks": doctor.clock.looks}
    if rank:
        report = doctor.report()
        updates = list(doctor.watched.updates)
        found["unwatched"] = list(report.unwatched)
        found["layers"] = len(doctor.watched.layers)
        found["losses"] = len(doctor.watched.batch_losses)
        found["update"] = updates[-1].update.tolist()
        found["still the same"] = _numbers(model) == ends[1]
    return found


@pytest.mark.full
@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_train_as_without_a_doctor(kind: str, tmp_path: pathlib.Path) -> None:
    other, here = in_two_processes(_work, tmp_path, kind)
    assert here["same"], "to the bit: the same instructions ran"
    assert other["same"]
    assert here["still the same"], "after the report"
    assert here["looks"] > other["looks"] == 6, "each process has a clock of its own"
    assert all(size > 0 for size in here["update"])
    told = "\n".join(here["unwatched"])
    assert "Error" not in told
    assert "forks: the model" in told
    if kind == "replicated":
        assert here["layers"] > 6, "activations are seen"
        assert here["losses"] > 3, "without waiting for the other process"
    else:
        assert "norms: the norms are those of the shard" in told
        assert "examination: the model is sharded" in told


@pytest.mark.full
def test_a_compiled_model_is_compiled_as_often_as_without_a_doctor() -> None:
    compiled: list[int] = []

    def backend(graph: Any, _: Any) -> Any:
        compiled[-1] += 1
        return graph.forward

    ends = []
    for watch in (False, True):
        compiled.append(0)
        torch._dynamo.reset()  # type: ignore[no-untyped-call]
        model: Any = torch.compile(normed(), backend=backend)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        doctor = trained(model, optimizer, batches(STEPS), watch=watch)
        if doctor is not None:
            told = doctor.report().unwatched
            assert len(doctor.watched.batch_losses) > 3
            assert [line.split(":")[0] for line in told] == ["activations"]
        model(batches(1)[0][0])  # as before the report
        ends.append(model.state_dict())
    assert compiled[0] == compiled[1] > 0
    same(ends[1], ends[0], because=RERUN)
