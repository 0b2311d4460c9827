"""Programs of several passes: reductions of reductions, over chunks, tensors, groups, dtypes and engines."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

import thalweg
from tests.exact import same
from thalweg import largest, mean, norm, rules, total
from thalweg.engine.cpu.batch import CHUNK

from .kinds import DOUBLE, assert_alike, draw, each_engine, mixed, numbers, step


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@thalweg.rule
def three_stages(g, p):
    """Centre, then scale, then measure what came out."""
    centred = g - mean(g)
    scaled = centred / norm(centred)
    return scaled * largest(torch.abs(scaled)) + 0.01 * norm(p) * p


@each_engine
def test_a_reduction_of_a_reduction(engine: str) -> None:
    gradients = [draw(7), draw(3, 50, seed=1), draw(CHUNK + 3, seed=2) + 5.0, draw(2, seed=3)]
    start = [draw(*g.shape, seed=9) for g in gradients]
    after, optimizer = step(three_stages, gradients, engine, start, lr=0.5)
    for a, g, p in zip(after, gradients, start, strict=True):
        centred = g - g.mean()
        scaled = centred / torch.linalg.vector_norm(centred)
        update = scaled * scaled.abs().max() + 0.01 * torch.linalg.vector_norm(p) * p
        torch.testing.assert_close(a, p - 0.5 * update, rtol=1e-12, atol=1e-14)
    assert engine == "eager" or "4 passes" in optimizer.plan()


@thalweg.rule
def mixed_scopes(g, shares):
    """A per-tensor share of a whole, then the largest share of all, then a mean over all."""
    share = norm(g) / norm(g, scope="all")
    most = largest(torch.abs(g) * share, scope="all")
    level = mean(g / most, scope="all")
    return g / most - level, share


@each_engine
def test_scopes_in_one_rule(engine: str) -> None:
    gradients = [draw(7), draw(3, 50, seed=1), draw(CHUNK + 3, seed=2), draw(0)]
    after, optimizer = step(mixed_scopes, gradients, engine)
    flat = torch.cat([g.flatten() for g in gradients])
    shares = [g.norm() / flat.norm() for g in gradients]
    most = max((g.abs().max() * s).item() for g, s in zip(gradients[:3], shares, strict=False))
    level = (flat / most).mean()
    for a, g in zip(after, gradients, strict=True):
        torch.testing.assert_close(a, -(g / most - level), rtol=1e-12, atol=1e-13)
    for p, s in zip(optimizer.param_groups[0]["params"], shares, strict=True):
        torch.testing.assert_close(optimizer.state[p]["shares"], s.expand(p.shape))


@pytest.mark.parametrize("dtype", [DOUBLE, torch.float32, torch.bfloat16], ids=str)
def test_sums_are_the_same_on_every_run_and_any_number_of_threads(
    dtype: torch.dtype, threads: Callable[[int], None]
) -> None:
    """The order of a sum belongs to the tensor, not to who adds it up."""

    @thalweg.rule
    def summed(g, s, all_):
        return 0 * g, total(g), total(g * g, scope="all")

    # far above the size at which a second thread is woken; sums whose last bits any order would change
    gradients = [draw(9 * CHUNK + 11, seed=k, dtype=dtype) * 10**k for k in range(2)]
    seen = []
    for count in (1, 2, 4, 1, 2):
        threads(count)
        for _ in range(3):
            optimizer = step(summed, gradients, "fused")[1]
            seen.append(
                [
                    optimizer.state[p][s].flatten()[0].item()
                    for p in optimizer.state
                    for s in ("s", "all_")
                ]
            )
    assert all(one == seen[0] for one in seen)
    exact = [g.double().sum().item() for g in gradients]
    tolerance = {DOUBLE: 1e-12, torch.float32: 1e-6, torch.bfloat16: 2.0**-8}[dtype]
    for one, of, g in zip(seen[0][::2], exact, gradients, strict=True):
        # Numbers of both signs cancel: rounding is relative to their sizes, and there is the more of it the
        # fewer of them a processor adds up at once.
        rounding = (1e-16 if dtype == DOUBLE else 1e-7) * g.double().abs().sum().item()
        assert one == pytest.approx(of, rel=tolerance, abs=rounding)


@each_engine
@pytest.mark.parametrize("grouped", [False, True])
def test_a_global_clip_over_every_kind_of_tensor(engine: str, grouped: bool) -> None:
    params, gradients = mixed()
    groups: Any = (
        [{"params": [p], "lr": 0.5 + k} for k, p in enumerate(params)] if grouped else params
    )
    clip = thalweg.chain(rules.clip_by_global_norm(2.0), rules.momentum(0.9))
    optimizer = thalweg.Optimizer(groups, clip, lr=0.5, engine=engine)
    length = torch.cat([numbers(g).flatten() for g in gradients]).norm()
    assert length > 2.0
    optimizer.step()
    for k, (p, g) in enumerate(zip(params, gradients, strict=True)):
        lr = 0.5 + k * grouped
        assert_alike(p.detach(), 0.5 * numbers(torch.ones_like(g)) - lr * 2.0 / length * numbers(g))
    plan = optimizer.plan()
    assert ("fused" in plan) == (engine == "auto")
    if engine == "eager":
        assert plan.count("eager") == len(params)
    else:  # float16, and what has gaps
        assert plan.count("foreach  1 tensor") == 2


@each_engine
def test_lamb_over_every_kind_of_tensor(engine: str) -> None:
    params, gradients = mixed()
    lamb = thalweg.chain(rules.clip_by_value(1.0), rules.trust_ratio(0.1))
    thalweg.Optimizer(params, lamb, lr=0.25, engine=engine).step()
    for p, g in zip(params, gradients, strict=True):
        before = 0.5 * numbers(torch.ones_like(g))
        update = numbers(g).clamp(-1, 1) + 0.1 * before
        ratio = before.norm() / update.norm() if g.numel() else 1.0
        assert_alike(p.detach(), before - 0.25 * ratio * update)


@each_engine
def test_a_mean_and_a_count_over_every_kind(engine: str) -> None:
    @thalweg.rule
    def centred(g):
        return g - mean(g, scope="all") + 1 / g.numel()

    params, gradients = mixed()
    thalweg.Optimizer(params, centred, lr=1.0, engine=engine).step()
    level = torch.cat([numbers(g).flatten() for g in gradients]).mean()
    for p, g in zip(params, gradients, strict=True):
        count = max(numbers(g).numel(), 1)
        expected = 0.5 * numbers(torch.ones_like(g)) - (numbers(g) - level + 1 / count)
        assert_alike(p.detach(), expected)


@each_engine
def test_the_number_of_elements_without_any_reduction(engine: str) -> None:
    gradients = [torch.ones(4), torch.ones(2, 5), torch.ones(())]
    after, _ = step(thalweg.rule(lambda g: g / g.numel()), gradients, engine)
    for a, g in zip(after, gradients, strict=True):
        torch.testing.assert_close(a, -g / g.numel())


# What a rule may also write: reductions of what is one number already, or the same everywhere.
UNUSUAL: dict[str, tuple[Callable[[Tensor], Any], Callable[[Tensor], Any]]] = {
    "mean of a norm": (lambda g: g + mean(norm(g)), lambda g: g + g.norm()),
    "largest of a norm": (lambda g: g + largest(norm(g)), lambda g: g + g.norm()),
    "total of ones": (lambda g: g + total(torch.ones_like(g)), lambda g: g + g.numel()),
    "mean of a constant": (lambda g: g + mean(torch.full_like(g, 3.0)), lambda g: g + 3.0),
    "norm of ones": (lambda g: g + norm(torch.ones_like(g)), lambda g: g + g.numel() ** 0.5),
    "nothing but a reduction": (norm, lambda g: g.norm().expand(g.shape)),
    "reductions not used": (
        lambda g: g * norm(g) + torch.zeros_like(g * total(g, scope="all")),
        lambda g: g * g.norm(),
    ),
    "smallest": (lambda g: g - g.min(), lambda g: g - g.min()),
    "methods": (lambda g: g.sum() * g.mean() / g.norm() + g.max() * g, None),
    "amax and amin": (lambda g: g.amax() * g - g.amin(), None),
    "count of a condition": (lambda g: g * (g > 0).sum(), None),
    "mean of a condition": (lambda g: g * mean(g > 0), lambda g: g * (g > 0).double().mean()),
    "numel": (lambda g: g.sum() / g.numel() * g, None),
    "vector norm": (lambda g: g / torch.linalg.vector_norm(g), None),
    "power of a whole": (
        lambda g: g * total(g * g, scope="all") ** 0.3,
        lambda g: g * (g * g).sum() ** 0.3,
    ),
}


@each_engine
@pytest.mark.parametrize("name", UNUSUAL)
def test_unusual_reductions(name: str, engine: str) -> None:
    function, reference = UNUSUAL[name]
    g = draw(5, 7)
    after, _ = step(thalweg.rule(lambda g: function(g)), [g], engine)
    expected = (reference or function)(g)
    torch.testing.assert_close(after[0], -expected, rtol=1e-12, atol=1e-13)


@each_engine
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0), (1, 0, 2)])
@pytest.mark.parametrize("scope", ["tensor", "all"])
@pytest.mark.parametrize(
    "dtypes", [(DOUBLE,) * 3, (torch.float32, DOUBLE, torch.float16)], ids=["alike", "mixed"]
)
def test_a_nan_is_the_largest(
    engine: str, order: Sequence[int], scope: str, dtypes: Sequence[torch.dtype]
) -> None:
    """Wherever it stands: in whichever tensor, batch or engine, first or last."""

    @thalweg.rule
    def top(g, kept):
        return torch.zeros_like(g), largest(g, scope=scope)

    values = [[1.0, 2.0], [5.0, math.nan, 3.0], [4.0]]
    gradients = [torch.tensor(values[k], dtype=dtypes[k]) for k in order]
    optimizer = step(top, gradients, engine)[1]
    for p, k in zip(optimizer.param_groups[0]["params"], order, strict=True):
        expected = max(values[k]) if scope == "tensor" and k != 1 else math.nan
        kept = optimizer.state[p]["kept"]
        torch.testing.assert_close(kept, torch.full_like(kept, expected), equal_nan=True)


@each_engine
@pytest.mark.parametrize("others", [[], [torch.float32], [torch.float32, torch.float16]])
def test_gradients_that_are_all_zero(engine: str, others: list[torch.dtype]) -> None:
    """0/0 is NaN, never an exception, whichever tensors a whole is made of."""

    @thalweg.rule
    def normalised(g):
        return g / mean(torch.abs(g), scope="all")

    gradients = [torch.zeros(3, dtype=dtype) for dtype in (DOUBLE, *others)]
    for a in step(normalised, gradients, engine)[0]:
        assert a.isnan().all()
    for a in step(rules.clip_by_global_norm(1.0), gradients, engine)[0]:
        same(a, torch.zeros_like(a), because="zeros times any number")


@each_engine
def test_all_tensors_empty(engine: str) -> None:
    empty = [torch.zeros(0), torch.zeros(0, 3, dtype=DOUBLE)]
    for rule in (three_stages, mixed_scopes, rules.clip_by_global_norm(1.0), rules.descend):
        after, _ = step(rule, empty, engine)
        assert [a.shape for a in after] == [g.shape for g in empty]
