"""A step on PyTorch's OpenMP threads, on the pool, and on one thread is the same step."""

from __future__ import annotations

import pytest
import torch
from torch.nn import Parameter

from tests.exact import same
from thalweg import optim
from thalweg.engine.cpu import threads


def run(steps: int = 3) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    params = [Parameter(torch.randn(n, generator=generator)) for n in (300_001, 7, 150_000)]
    optimizer = optim.Adam(params, engine="fused")
    for _ in range(steps):
        for p in params:
            p.grad = torch.randn(p.shape, generator=generator)
        optimizer.step()
    return [p.detach() for p in params]


@pytest.mark.parametrize("way", ["OpenMP", "pool", "forked"])
@pytest.mark.parametrize("count", [2, 3])
def test_any_number_of_threads_of_any_kind(
    way: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = run()
    if way == "OpenMP" and threads._openmp() is None:
        pytest.skip("PyTorch is built without OpenMP")
    if way == "pool":
        monkeypatch.setattr(threads, "_openmp", lambda: None)
    if way == "forked":
        monkeypatch.setattr(threads, "_forked", True)
    torch.set_num_threads(count)
    same(
        run(),
        expected,
        because="sums are those of the chunks, in their order, whichever thread makes them",
    )
