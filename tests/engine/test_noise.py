"""Noise is a pure function of the seed, the step, the tensor and the element, whatever draws it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

import thalweg
from tests.exact import RESUMED, same
from thalweg import norm
from thalweg.engine import noise
from thalweg.engine.cpu.batch import CHUNK
from thalweg.engine.program.noise import mixed, normal
from thalweg.errors import RuleError

from .kinds import DOUBLE, draw, each_engine
from .kinds import mixed as of_every_kind

Numbers = np.ndarray[Any, Any]


# -- an independent generator -----------------------------------------------------------------------------


def finalised(z: Numbers) -> Numbers:
    """The output function of SplitMix64, written from its source, on unsigned integers."""
    with np.errstate(over="ignore"):
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


GAMMA = np.uint64(0x9E3779B97F4A7C15)


def bits_of(seed: int, t: int, ordinal: int, count: int) -> Numbers:
    key = np.zeros(1, dtype=np.uint64)
    with np.errstate(over="ignore"):
        for part in (seed, t, ordinal):
            key = finalised((key ^ np.array([part], dtype=np.int64).view(np.uint64)) + GAMMA)
        return finalised(key + np.arange(1, count + 1, dtype=np.uint64) * GAMMA)


def oracle(seed: int, t: int, ordinal: int, count: int) -> Tensor:
    """Return the noise of a tensor in the order of its memory, in float64."""
    bits = bits_of(seed, t, ordinal, count)
    u = ((bits >> np.uint64(32)).astype(np.float64) + 1.0) / 2.0**32
    v = (bits & np.uint64(0xFFFFFFFF)).astype(np.float64) / 2.0**32
    return torch.from_numpy(np.sqrt(-2.0 * np.log(u)) * np.cos(2.0 * np.pi * v))


SPLITMIX = (
    6457827717110365317,
    3203168211198807973,
    9817491932198370423,
    4593380528125082431,
    16408922859458223821,
)
"""The first numbers of SplitMix64 from the state 1234567, as published with other implementations."""


def test_the_bits_are_those_of_splitmix64() -> None:
    with np.errstate(over="ignore"):
        states = np.uint64(1234567) + np.arange(1, 6, dtype=np.uint64) * GAMMA
    assert finalised(states).tolist() == list(SPLITMIX)
    ours = mixed(torch.from_numpy(states.view(np.int64)))
    assert ours.numpy().view(np.uint64).tolist() == list(SPLITMIX)


# -- engines ----------------------------------------------------------------------------------------------


@thalweg.rule
def noisy(g, kept, *, t, seed=0):
    z = noise(g, seed, t)
    return g + z, z


def closeness(dtype: torch.dtype) -> tuple[float, float]:
    """Return the tolerance of most elements, and of all: log(u) near u = 1 shows the rounding of u."""
    return {DOUBLE: (1e-13, 1e-7), torch.float32: (1e-5, 1e-3), torch.bfloat16: (2.0**-6, 2.0**-6)}[
        dtype
    ]


def assert_noise(z: Tensor, expected: Tensor) -> None:
    """Compare with the oracle, in the order of memory."""
    most, each = closeness(z.dtype)
    error = (z.double() - expected).abs()
    assert z.numel() == expected.numel()
    assert not z.numel() or error.max() < each
    assert (error > most).double().sum() <= 1e-4 * z.numel()


def steps_of(
    params: list[Parameter], engine: str, steps: int, rule: Any = noisy, **values: Any
) -> list[list[Tensor]]:
    """Return the noise of each step and parameter."""
    optimizer = thalweg.Optimizer(params, rule(**values), lr=0.1, engine=engine)
    seen = []
    for _ in range(steps):
        for p in params:
            p.grad = torch.zeros_like(p)
        optimizer.step()
        seen.append([optimizer.state[p]["kept"].clone() for p in params])
    return seen


@each_engine
@pytest.mark.parametrize("dtype", [DOUBLE, torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("seed", [0, 1, 20_260_101, -3, 2**40])
def test_the_noise_of_each_tensor_step_and_seed(seed: int, dtype: torch.dtype, engine: str) -> None:
    shapes = [(7, 9), (), (2, CHUNK + 77), (0,), (5,)]
    params = [Parameter(torch.zeros(shape, dtype=dtype)) for shape in shapes]
    for t, kept in enumerate(steps_of(params, engine, 3, seed=seed), start=1):
        for ordinal, z in enumerate(kept):
            assert_noise(z.flatten(), oracle(seed, t, ordinal, z.numel()))


@pytest.mark.parametrize("dtype", [DOUBLE, torch.float32], ids=str)
def test_both_engines_draw_the_same(dtype: torch.dtype) -> None:
    """To the accuracy of the logarithm and the cosine, wherever the tensor ends."""
    sizes = [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 63, 65, 1000, CHUNK - 1, CHUNK + 1]
    seen = [
        steps_of([Parameter(torch.zeros(n, dtype=dtype)) for n in sizes], engine, 1)[0]
        for engine in ("eager", "fused")
    ]
    rtol = 1e-14 if dtype == DOUBLE else 3e-6
    for a, b in zip(*seen, strict=True):
        torch.testing.assert_close(a, b, rtol=rtol, atol=rtol)


def test_single_and_double_precision_draw_the_same_up_to_rounding() -> None:
    for engine in ("eager", "fused"):
        wide, narrow = (
            steps_of([Parameter(torch.zeros(100_000, dtype=dtype))], engine, 1)[0][0]
            for dtype in (DOUBLE, torch.float32)
        )
        assert_noise(narrow, wide)


@pytest.mark.parametrize("way", [noise, None])
def test_on_plain_tensors(way: Any) -> None:
    for dtype, seed, t in ((DOUBLE, 3, 5), (torch.float32, -1, 1)):
        x = torch.zeros(40, 3, dtype=dtype)
        z = noise(x, seed, t) if way else normal(seed, t, 4, x)
        assert (z.shape, z.dtype) == (x.shape, dtype)
        assert_noise(z.flatten(), oracle(seed, t, 0 if way else 4, 120))


LAYOUTS: dict[str, Callable[[], Tensor]] = {
    "channels last": lambda: torch.zeros(4, 3, 5, 2).to(memory_format=torch.channels_last),
    "transposed": lambda: torch.zeros(5, 40).t(),
    "three dimensions": lambda: torch.zeros(5, 4, 3).permute(2, 0, 1),
    "with a dimension of one": lambda: torch.zeros(5, 1, 3).permute(1, 2, 0),
    "gaps": lambda: torch.zeros(30, 8)[:, ::2],
    "gaps, transposed": lambda: torch.zeros(30, 8)[:, ::2].t(),
    "an empty matrix": lambda: torch.zeros(0, 3).t(),
    "half precision": lambda: torch.zeros(30, dtype=torch.float16),
    "complex": lambda: torch.zeros(6, 5, dtype=torch.complex64),
    "complex, transposed": lambda: torch.zeros(6, 5, dtype=torch.complex128).t(),
}


def in_memory(x: Tensor) -> Tensor:
    """Return the numbers of a dense tensor in the order in which they are stored."""
    size = torch.view_as_real(x).numel() if x.is_complex() else x.numel()
    real = torch.view_as_real(x) if x.is_complex() else x
    return real.as_strided((size,), (1,))


@each_engine
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_elements_count_as_they_are_stored(layout: str, engine: str) -> None:
    w = LAYOUTS[layout]()
    params = [Parameter(torch.zeros(3)), Parameter(w)]
    for t, (_, z) in enumerate(steps_of(params, engine, 2, seed=9), start=1):
        dense = z if "gaps" not in layout else torch.empty_like(z).copy_(z)
        stored = in_memory(dense)
        tolerance = 2.0**-9 if w.dtype == torch.float16 else 1e-3
        torch.testing.assert_close(
            stored.double(), oracle(9, t, 1, stored.numel()), rtol=tolerance, atol=tolerance
        )


@each_engine
def test_a_parameter_that_is_transposed_in_its_memory(engine: str) -> None:
    """The numbers in memory get the noise they would have had."""
    w = Parameter(torch.zeros(3, 3, dtype=DOUBLE))

    @thalweg.rule
    def drifting(g, *, t):
        return g + noise(g, 1, t)

    optimizer = thalweg.Optimizer([w], drifting, lr=1.0, engine=engine)
    for t in (1, 2, 3):
        w.grad = None
        w.data = w.data.t() if t == 2 else w.data
        w.data.zero_()
        w.grad = torch.zeros_like(w)
        optimizer.step()
        torch.testing.assert_close(in_memory(w.detach()), -oracle(1, t, 0, 9))


@each_engine
def test_a_parameter_keeps_its_noise_beside_any_others(engine: str) -> None:
    """Its number is its place in the optimizer, whether or not the others have gradients; t is its own."""

    def run(present: Iterable[tuple[int, ...]]) -> list[list[Tensor]]:
        params = [Parameter(torch.zeros(6, dtype=DOUBLE)) for _ in range(3)]
        groups = [{"params": params[:2]}, {"params": params[2:]}]
        optimizer = thalweg.Optimizer(groups, noisy(seed=4), lr=0.1, engine=engine)
        seen: list[list[Tensor]] = [[], [], []]
        for turn in present:
            for p, on in zip(params, turn, strict=True):
                p.grad = torch.zeros_like(p) if on else None
            optimizer.step()
            for k, (p, on) in enumerate(zip(params, turn, strict=True)):
                if on:
                    seen[k].append(optimizer.state[p]["kept"].clone())
        return seen

    for k, drawn in enumerate(run([(0, 1, 1), (1, 0, 1), (0, 1, 1), (1, 1, 1), (0, 0, 1)])):
        assert len(drawn) == (2, 3, 5)[k]
        for t, z in enumerate(drawn, start=1):
            assert_noise(z, oracle(4, t, k, 6))


@each_engine
def test_a_group_that_is_added_later_and_a_resumed_run(engine: str) -> None:
    params = [Parameter(torch.zeros(6)) for _ in range(2)]
    first = thalweg.Optimizer(params[:1], noisy(seed=4), lr=0.1, engine=engine)
    optimizers = [first]
    for k in range(4):
        if k == 1:
            first.add_param_group({"params": params[1:], "seed": 5})
        if k == 2:
            again = [Parameter(p.detach().clone()) for p in params]
            groups = [{"params": again[:1], "seed": 0}, {"params": again[1:]}]
            optimizers.append(thalweg.Optimizer(groups, noisy, lr=0.1, engine=engine))
            optimizers[1].load_state_dict(first.state_dict())
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                for p in group["params"]:
                    p.grad = torch.zeros_like(p)
            optimizer.step()
    same(params, again, because=RESUMED)
    assert_noise(first.state[params[0]]["kept"], oracle(4, 4, 0, 6))
    assert_noise(first.state[params[1]]["kept"], oracle(5, 3, 1, 6))


@pytest.mark.parametrize("dtype", [DOUBLE, torch.float32, torch.bfloat16], ids=str)
def test_the_same_on_any_number_of_threads(dtype: torch.dtype) -> None:
    seen = []
    for count in (1, 2, 3, 2):
        torch.set_num_threads(count)
        params = [Parameter(torch.zeros(n, dtype=dtype)) for n in (5 * CHUNK + 3, 70, CHUNK)]
        seen.append([z for step in steps_of(params, "fused", 2) for z in step])
    for one in seen[1:]:
        same(
            one,
            seen[0],
            because="noise is computed from the number of the element, and no element from another",
        )


@each_engine
def test_noise_over_every_kind_of_tensor_in_several_passes(engine: str) -> None:
    """Drawn again in each pass, it is the same: a reduction of it and the step agree."""

    @thalweg.rule
    def scaled(g, kept, *, t, seed=2):
        z = noise(g, seed, t)
        return 0 * g, z / norm(z) + 0 * norm(z, scope="all")

    params, gradients = of_every_kind()
    optimizer = thalweg.Optimizer(params, scaled, lr=1.0, engine=engine)
    optimizer.step()
    for p, g in zip(params, gradients, strict=True):
        kept = optimizer.state[p]["kept"]
        real = torch.view_as_real(kept) if kept.is_complex() else kept
        length = real.double().norm().item()
        assert length == pytest.approx(1.0 if g.numel() else 0.0, rel=2e-2)


# -- the functional face ----------------------------------------------------------------------------------


def test_the_functional_face_draws_the_same() -> None:
    chain = thalweg.chain(noisy(seed=6))
    p: Any = {"a": torch.zeros(3, dtype=DOUBLE), "b": torch.zeros(2, 2, dtype=DOUBLE)}
    state = chain.init(p)
    for t in (1, 2):
        p, state = chain.step(p, {k: torch.zeros_like(x) for k, x in p.items()}, state, lr=0.1)
        for ordinal, z in enumerate(state["kept"].values()):
            assert_noise(z.flatten(), oracle(6, t, ordinal, z.numel()))
    one = torch.zeros(5, dtype=DOUBLE)
    for lr in (0.5, torch.tensor(0.5, dtype=DOUBLE)):
        after, _ = chain.step(one, one, chain.init(one), lr=lr)
        torch.testing.assert_close(after, -0.5 * oracle(6, 1, 0, 5))


def test_noise_for_each_of_many_models() -> None:
    """Under vmap a model has the noise of its seed, as if it were alone."""
    seeds = torch.tensor([0.0, 1.0, 7.0], dtype=DOUBLE)
    chain = thalweg.chain(noisy)

    def run(p: Tensor, seed: Tensor) -> Tensor:
        state = chain.init(p)
        for _ in range(3):
            p, state = chain.step(p, 0 * p, state, lr=1.0, seed=seed)
        return p

    p = draw(3, 4, 2)
    together = torch.func.vmap(run)(p, seeds)
    for k, seed in enumerate((0, 1, 7)):
        drawn = sum(oracle(seed, t, 0, 8) for t in (1, 2, 3))
        torch.testing.assert_close(together[k], p[k] - drawn.reshape(4, 2))


def test_noise_has_no_gradient() -> None:
    chain = thalweg.chain(noisy)

    def end(p: Tensor, g: Tensor) -> Tensor:
        return chain.step(p, g * p, chain.init(p), lr=0.3)[0]

    p, g = draw(4).requires_grad_(), draw(4, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(end, [p, g])
    (slope,) = torch.autograd.grad(end(p, g).sum(), p)
    torch.testing.assert_close(slope, 1 - 0.3 * g)


@each_engine
def test_what_a_seed_may_be(engine: str) -> None:
    """A number of any kind, of which the whole part counts; the step may be any number, too."""

    @thalweg.rule
    def phased(g, kept, count: thalweg.Scalar = 3.0, *, t, seed=0):
        return g, noise(g, seed + 1, 10 * count + t), count + 2

    for seed, whole in ((5, 5), (5.9, 5), (-0.5, 0), (torch.tensor(5.0), 5), (np.int64(-9), -9)):
        seen = steps_of([Parameter(torch.zeros(4))], engine, 2, phased, seed=seed)
        assert_noise(seen[0][0], oracle(int(float(seed) + 1), 31, 0, 4))
        assert_noise(seen[1][0], oracle(int(float(seed) + 1), 52, 0, 4))
        assert int(float(seed)) == whole


REFUSED: dict[str, Callable[..., Any]] = {
    "the gradient": lambda g, p: noise(g, g, 0),
    "an element": lambda g, p: noise(g, 0, p * 2),
    "a reduction": lambda g, p: noise(g, norm(p), 1),
    "a count": lambda g, p: noise(g, 0, g.numel()),
    "noise": lambda g, p: noise(g, noise(g, 0, 0), 0),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_seed_is_no_tensor(name: str) -> None:
    with pytest.raises(
        RuleError, match=r"noise depends on a tensor: noise\(u, seed, t\) takes hyp"
    ):
        thalweg.rule(REFUSED[name])


@each_engine
def test_every_call_is_a_draw_of_its_own(engine: str) -> None:
    """Two calls with one seed differ, in one rule and in two; so does another seed."""

    @thalweg.rule
    def twice(g, a, b, c, *, t, seed=0):
        return g, noise(g, seed, t), noise(2 * g, seed, t), noise(g, seed + 1, t)

    w = Parameter(torch.zeros(8, dtype=DOUBLE))
    w.grad = torch.ones_like(w)
    optimizer = thalweg.Optimizer([w], thalweg.chain(twice, noisy), lr=0.1, engine=engine)
    optimizer.step()
    a, b, c, kept = (optimizer.state[w][name] for name in ("a", "b", "c", "kept"))
    draws = [a, b, c, kept]
    for k, one in enumerate(draws):
        for other in draws[k + 1 :]:
            assert not (one == other).any()
    expected = [normal(0, 1, 0, w.detach(), draw) for draw in (0, 1)]
    torch.testing.assert_close([a, b], expected, rtol=1e-14, atol=1e-15)
