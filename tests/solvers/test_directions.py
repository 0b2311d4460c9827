"""Quasi-Newton directions: the secant equation, positive definiteness, exactness of their short forms."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from thalweg.solvers.direction.bfgs import BroydenDirection
from thalweg.solvers.direction.broyden import FAMILIES
from thalweg.solvers.direction.inverse import Inverse
from thalweg.solvers.direction.lbfgs import LBFGSDirection
from thalweg.solvers.direction.pairs import Pairs


def spectrum(n: int, condition: float, seed: int) -> Tensor:
    """Return a random symmetric matrix with eigenvalues from 1 to `condition`."""
    generator = torch.Generator().manual_seed(seed)
    q, _ = torch.linalg.qr(torch.randn(n, n, dtype=torch.float64, generator=generator))
    return (
        q @ torch.diag(torch.logspace(0, torch.tensor(condition).log10().item(), n).double()) @ q.mT
    )


def walk(
    n: int, steps: int, *, condition: float = 100.0, seed: int = 0
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield random steps on a quadratic, with their changes of the gradient."""
    hessian = spectrum(n, condition, seed)
    generator = torch.Generator().manual_seed(seed + 1)
    for _ in range(steps):
        s = torch.randn(n, dtype=torch.float64, generator=generator)
        yield s, hessian @ s


def dense_update(h: Tensor, s: Tensor, y: Tensor) -> Tensor:
    """BFGS as it is written: (I − ρsyᵀ)·H·(I − ρysᵀ) + ρssᵀ."""
    rho = 1 / (s @ y)
    left = torch.eye(len(s), dtype=s.dtype) - rho * torch.outer(s, y)
    return left @ h @ left.mT + rho * torch.outer(s, s)


def two_loops(pairs: list[tuple[Any, Any]], g: Any) -> Any:
    """Return −H·g by the recursion of two loops, of tensors or of arrays."""
    q, kept = g, []
    for s, y in reversed(pairs):
        a = (s @ q) / (s @ y)
        q = q - a * y
        kept.append(a)
    s, y = pairs[-1]
    q = q * (s @ y) / (y @ y)
    for (s, y), a in zip(pairs, reversed(kept), strict=True):
        q = q + s * (a - (y @ q) / (s @ y))
    return -q


def wide(x: Tensor) -> Any:
    """Return an array with some more digits than float64, where the processor has them."""
    return x.numpy().astype(np.longdouble)


def relative(a: Tensor, b: Tensor) -> float:
    return float((a - b).norm() / b.norm())


@pytest.mark.parametrize("n", [1, 2, 5, 40, 300])
@pytest.mark.parametrize("family", FAMILIES)
def test_secant_equation_and_positive_definiteness_after_each_update(family: str, n: int) -> None:
    inverse = Inverse(torch.zeros(n, dtype=torch.float64), FAMILIES[family])
    hessian = spectrum(n, 100.0, seed=n)
    x = torch.randn(n, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    g = hessian @ x
    d = inverse.direction(g)
    for step in range(40):  # n = 300 keeps 16 updates as vectors
        # along the direction, as a line search goes; not to the minimum, so that no formula is special
        s = (0.3 + step % 3) * d * float(-(g @ d) / (d @ hessian @ d))
        y = hessian @ s
        g_next = g + y
        y = g_next - g
        inverse.add(s, y)
        d, g = inverse.direction(g_next), g_next
        h = inverse.dense()
        assert relative(h @ y, s) < 1e-10, step
        assert relative(d, -h @ g) < 1e-10, step
        assert torch.linalg.eigvalsh(h)[0] > 0, step
        if g.norm() < 1e-6:
            break


@pytest.mark.parametrize("n", [3, 30, 300, pytest.param(600, marks=pytest.mark.full)])
def test_bfgs_is_the_formula_as_it_is_written(n: int) -> None:
    """Steps that are not along the direction, and changes of the gradient that are not its differences."""
    inverse = Inverse(torch.zeros(n, dtype=torch.float64), FAMILIES["bfgs"])
    g = torch.ones(n, dtype=torch.float64)
    inverse.direction(g)
    expected: Tensor | None = None
    for s, y in walk(n, 20):
        if expected is None:
            expected = torch.eye(n, dtype=torch.float64) * (s @ y) / (y @ y)
        expected = dense_update(expected, s, y)
        inverse.add(s, y)
        d = inverse.direction(g)
        # 1e-16 a step, times the condition number
        assert relative(inverse.dense(), expected) < 1e-11
        assert relative(d, -expected @ g) < 1e-11


@pytest.mark.parametrize("family", FAMILIES)
def test_several_runs_are_updated_as_one_is(family: str) -> None:
    n, lanes = 12, 3
    several, alone = BroydenDirection(FAMILIES[family]), BroydenDirection(FAMILIES[family])
    hessians = torch.stack([spectrum(n, 10.0 ** (lane + 1), lane) for lane in range(lanes)])
    x = torch.randn(lanes, n, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    g = (hessians @ x[..., None])[..., 0]
    state, states = (
        several.init(x, g),
        [alone.init(x[i : i + 1], g[i : i + 1]) for i in range(lanes)],
    )
    for step in range(10):
        d, state = several.propose(state, g, None)  # type: ignore[arg-type]
        for lane in range(lanes):
            own, states[lane] = alone.propose(states[lane], g[lane : lane + 1], None)  # type: ignore[arg-type]
            # two orders of summing, worse by the condition number and with each update
            assert relative(own[0], d[lane]) < 1e-8, (step, lane)
        s = d * (0.5 + 0.2 * (step % 3))
        if step == 4:
            s[0] = 0.0  # a pair that says nothing
        after = g + (hessians @ s[..., None])[..., 0]
        y, g = after - g, after
        state = several.update(state, s, y)
        for lane in range(lanes):
            at = slice(lane, lane + 1)
            states[lane] = alone.update(states[lane], s[at], y[at])


@pytest.mark.parametrize("pair", ["backward", "zero", "infinite", "orthogonal"])
def test_pair_without_curvature_is_left_out(pair: str) -> None:
    n = 6
    g = torch.ones(n, dtype=torch.float64)
    s, y = next(walk(n, 1))
    bad = {
        "backward": (s, -y),
        "zero": (0 * s, 0 * y),
        "infinite": (s, torch.full_like(y, torch.inf)),
        "orthogonal": (torch.eye(n, dtype=torch.float64)[0], torch.eye(n, dtype=torch.float64)[1]),
    }[pair]
    for direction in (BroydenDirection(FAMILIES["ssbroyden"]), LBFGSDirection(4)):
        state = direction.init(g[None], g[None])
        _, state = direction.propose(state, g[None], None)
        state = direction.update(state, s[None], y[None])
        before, state = direction.propose(state, g[None], None)
        state = direction.update(state, bad[0][None], bad[1][None])
        after, state = direction.propose(state, g[None], None)
        # the newest products come from differences once and are computed once
        assert relative(after, before) < 1e-12


@pytest.mark.parametrize("steps", [1, 3, 8, 9, 20, 35])
@pytest.mark.parametrize("history", [1, 7, 10, 40])
@pytest.mark.parametrize("lanes", [1, 2])
def test_lbfgs_is_the_recursion_of_two_loops(lanes: int, history: int, steps: int) -> None:
    n = 50
    direction = LBFGSDirection(history)
    g = torch.randn(lanes, n, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    state = direction.init(g, g)
    _, state = direction.propose(state, g, None)  # type: ignore[arg-type]
    pairs: list[tuple[Tensor, Tensor]] = []
    for s, y in walk(n, steps):
        pairs.append((s, y))
        g = g + y
        state = direction.update(state, s.repeat(lanes, 1), y.repeat(lanes, 1))
        d, state = direction.propose(state, g, None)  # type: ignore[arg-type]
        assert relative(d[-1], two_loops(pairs[-history:], g[-1])) < 1e-10


def test_lbfgs_keeps_two_vectors_a_pair_and_few_more_whatever_the_number_of_steps() -> None:
    """Numbers kept grow by 2·history + 4 a variable at most (a matrix would grow by n), and with no step."""

    def kept(n: int, steps: int) -> int:
        pairs = Pairs(torch.zeros(n, dtype=torch.float64), 7)
        for s, y in walk(n, steps):
            pairs.add(s, y)
            pairs.direction(y)
        tensors = [value for value in vars(pairs).values() if isinstance(value, Tensor)]
        return sum(each.untyped_storage().nbytes() // each.element_size() for each in tensors)

    assert kept(200, 30) == kept(200, 20)
    assert 2 * 7 * 100 <= kept(200, 20) - kept(100, 20) <= (2 * 7 + 4) * 100


def test_full_history_is_bfgs() -> None:
    n, steps = 30, 25
    pairs = Pairs(torch.zeros(n, dtype=torch.float64), steps)
    g = torch.ones(n, dtype=torch.float64)
    known = list(walk(n, steps))
    s, y = known[-1]
    gamma = (s @ y) / (y @ y)  # L-BFGS's start is the newest pair's, BFGS's the first one's
    h = torch.eye(n, dtype=torch.float64) * gamma
    pairs.direction(g)
    for s, y in known:
        g = g + y
        pairs.add(s, y)
        d = pairs.direction(g)
        h = dense_update(h, s, y)
    assert relative(d, -h @ g) < 1e-10


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("share", [1.0, 1e-2, 1e-4], ids="y/g={}".format)
@pytest.mark.parametrize("condition", [10.0, 1e4])
def test_compact_form_is_as_accurate_as_two_loops(
    dtype: torch.dtype, share: float, condition: float
) -> None:
    """Also where the gradient hardly changes in a step, so that differences would be worthless."""
    n, steps = 60, 12
    errors, theirs = [], []
    for seed in range(5):
        pairs = Pairs(torch.zeros(n, dtype=dtype), 10)
        known = [
            (s.to(dtype), y.to(dtype)) for s, y in walk(n, steps, condition=condition, seed=seed)
        ]
        size = sum(float(y.norm()) for _, y in known) / steps / share
        g = torch.randn(n, generator=torch.Generator().manual_seed(seed), dtype=dtype)
        g = g * (size / g.norm())
        pairs.direction(g)
        used: list[tuple[Tensor, Tensor]] = []
        for s, y in known:
            after = g + y
            y = after - g  # as a solver has it
            g = after
            used.append((s, y))
            pairs.add(s, y)
            d = pairs.direction(g)
        exact = torch.from_numpy(
            two_loops([(wide(s), wide(y)) for s, y in used[-10:]], wide(g)).astype(np.float64)
        )
        errors.append(relative(d.double(), exact))
        theirs.append(relative(two_loops(used[-10:], g).double(), exact))
    # the worst of five: rounding is luck
    assert max(errors) < 5 * max(theirs) + 5 * torch.finfo(dtype).eps, (errors, theirs)
