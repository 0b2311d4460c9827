"""Programs that need only numbers of rows and columns run in kernels alone, whatever tiles there are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import Parameter

import thalweg
from tests.engine.kinds import draw
from tests.exact import same
from thalweg import EachColumn, EachRow, optim, rule
from thalweg.engine import mean_of_columns, mean_of_rows
from thalweg.engine.cpu import batch
from thalweg.engine.cpu.factored import tiles
from thalweg.engine.cpu.factored.program import factored

from .made import factored as factored_rule
from .made import factored_by_numpy, nearest, roots

SIZES = [(7, 8), (5, 1), (1, 9), (4,), (), (3, 2, 4), (0, 3), (3, 0), (13, 5)]


def program_of(optimizer: Any) -> Any:
    """Return the first program of an optimizer that has stepped."""
    return optimizer._current.plan._cohorts[0].program


def stepped(made: Any, engine: Any, sizes: Any, **given: Any) -> Any:
    """Return an optimizer after three steps."""
    params = [Parameter(draw(*s, seed=k)) for k, s in enumerate(sizes)]
    optimizer = thalweg.Optimizer(params, made, lr=0.1, engine=engine, **given)
    for step in range(3):
        for k, p in enumerate(params):
            p.grad = draw(*p.shape, seed=1000 + 10 * step + k)
        optimizer.step()
    return optimizer


def results(optimizer: Any) -> list[Any]:
    """Return all parameters with their states."""
    params = optimizer.param_groups[0]["params"]
    return [x for p in params for x in (p.detach(), *optimizer.state[p].values())]


@rule(matrices="last")
def various(
    g: Any, p: Any, r: EachRow, c: EachColumn, *, t: Any, beta: float = 0.5, late: bool = True
) -> Any:
    """Numbers of rows, of columns and of matrices, in each other's places, over several passes."""
    r = torch.where(t > 2, beta * r, 0.25 * r) + thalweg.norm(g) * mean_of_rows(torch.abs(g))
    most = thalweg.largest(r) + thalweg.mean(c)
    c = c + most * mean_of_columns(g * g) + thalweg.mean(thalweg.mean(r))
    u = g / (1.0 + r) + torch.abs(r * c - most)
    later = mean_of_rows(u * u) + mean_of_columns(u) if late else r * c
    return u * later / most + thalweg.mean(u, scope="all"), r / (1.0 + most), c


@pytest.fixture(params=[(65536, 2048, 1024), (6, 3, 2), (20, 7, 64)])
def cut(request: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut matrices into other tiles."""
    longest, columns, rows = request.param
    monkeypatch.setattr(batch, "CHUNK", longest)
    monkeypatch.setattr(tiles, "TILE_COLUMNS", columns)
    monkeypatch.setattr(tiles, "TILE_ROWS", rows)


@pytest.mark.usefixtures("cut")
def test_tiles_are_put_together_as_numpy_computes_it() -> None:
    sizes = [(7, 8), (13, 5), (1, 9), (5, 1)]
    optimizer = stepped(factored_rule, "fused", sizes)
    for k, p in enumerate(optimizer.param_groups[0]["params"]):
        gradients = [draw(*p.shape, seed=1000 + 10 * step + k).numpy() for step in range(3)]
        expected, states = factored_by_numpy(draw(*p.shape, seed=k).numpy(), gradients, 0.1)
        found = [optimizer.state[p][name].numpy() for name in "rc"]
        for a, b in zip([p.detach().numpy(), *found], [expected, *states], strict=True):
            # 13 · 5 numbers are added up in another order
            np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-15)


@pytest.mark.usefixtures("cut")
@pytest.mark.parametrize("late", [True, False])
def test_numbers_of_rows_columns_and_matrices_are_those_of_the_eager_engine(late: bool) -> None:
    eager, fused = (stepped(various(late=late), e, SIZES) for e in ("eager", "fused"))
    assert factored(program_of(fused)) is not None
    for a, b in zip(results(fused), results(eager), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-13, equal_nan=True)


def test_only_what_needs_no_whole_matrix_is_factored() -> None:
    whole = [stepped(made, "fused", [(3, 2)]) for made in (nearest, roots)]
    assert [factored(program_of(each)) for each in whole] == [None, None]
    p = Parameter(draw(3, 2))
    p.grad = draw(3, 2)
    adafactor = optim.Adafactor([p])
    adafactor.step()
    assert factored(program_of(adafactor)) is not None


def test_states_that_cannot_be_moved_are_written_where_they_are() -> None:
    ends = []
    for engine in ("eager", "fused"):
        p = Parameter(draw(3, 4))
        optimizer = thalweg.Optimizer([p], factored_rule, lr=0.1, engine=engine)
        for step in range(4):
            p.grad = draw(3, 4, seed=step)
            optimizer.step()
            if step == 1:  # a view of something larger, in another order
                optimizer.state[p]["c"] = optimizer.state[p]["c"].repeat(2, 2)[:1, ::2]
                optimizer.state[p]["c"].fill_(0.5)
        ends += [[p.detach(), *optimizer.state[p].values()]]
    for a, b in zip(*ends, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-13, atol=1e-15)


def test_threads_share_the_tiles_of_a_matrix() -> None:
    before, ends = torch.get_num_threads(), []
    p = draw(700, 600, dtype=torch.float32)
    for count in (1, 2):
        torch.set_num_threads(count)
        try:
            param = Parameter(p.clone())
            optimizer = optim.Adafactor([param])
            param.grad = draw(700, 600, seed=1, dtype=torch.float32)
            optimizer.step()
        finally:
            torch.set_num_threads(before)
        ends.append(param.detach())
    same(ends[0], ends[1], because="a tile is summed by one thread, and tiles in their order")
