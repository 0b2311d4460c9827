from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import examples
from thalweg.train.lr_finder.sweep import Sweep
from thalweg.train.lr_finder.valley import find_valley


def curves(
    depth: Callable[[float], float], start: float = 3.0, noise: float = 0.0, seeds: int = 5
) -> tuple[list[float], list[Sweep]]:
    rates = np.geomspace(1e-6, 10, 141).tolist()
    rng = np.random.default_rng(0)
    sweeps = [
        Sweep(
            seed,
            start,
            tuple(start - depth(math.log10(rate)) + noise * rng.normal() for rate in rates),
            (),
            "highest",
        )
        for seed in range(seeds)
    ]
    return rates, sweeps


def test_the_middle_of_a_symmetric_valley() -> None:
    valley = find_valley(*curves(lambda u: math.exp(-((u + 2.5) ** 2))))
    assert valley.suggestion == float(f"{0.4 * 10**-2.5:.2g}")
    noisy = find_valley(*curves(lambda u: math.exp(-((u + 2.5) ** 2)), noise=0.05))
    assert noisy.suggestion == pytest.approx(0.4 * 10**-2.5, rel=0.1)


def test_the_centre_is_that_of_the_squared_depth() -> None:
    """A triangle from −4 (depth 0) to −1 (depth 1): ∫u·d² / ∫d² lies at −4 + 3·3/4."""
    valley = find_valley(*curves(lambda u: (u + 4) / 3 if -4 <= u <= -1 else 0.0))
    assert valley.suggestion == pytest.approx(0.4 * 10**-1.75, rel=0.1)


@given(scale=st.sampled_from([1e-8, 1e-3, 7.0, 1e8]), shift=st.sampled_from([-5.0, 0.0, 3.0]))
@settings(max_examples=12 * examples.MORE)
def test_scaling_and_shifting_the_loss_changes_nothing(scale: float, shift: float) -> None:
    rates, sweeps = curves(lambda u: math.exp(-((u + 2.5) ** 2)), noise=0.02)
    moved = [
        Sweep(s.seed, scale * (s.start + shift), tuple(scale * (x + shift) for x in s.losses), (), s.stopped)
        for s in sweeps
    ]  # fmt: skip
    expected = find_valley(rates, sweeps).suggestion
    assert find_valley(rates, moved).suggestion == pytest.approx(expected, rel=1e-6)


def test_noise_alone_is_no_valley() -> None:
    for depth in (lambda u: 0.0, lambda u: -max(u, 0.0)):
        valley = find_valley(*curves(depth, noise=0.1))
        assert valley.suggestion is None


def test_a_sweep_that_ended_counts_as_infinite_and_half_of_them_end_the_curve() -> None:
    rates, sweeps = curves(lambda u: math.exp(-((u + 2.5) ** 2)))
    cut = [
        Sweep(s.seed, s.start, s.losses[: 100 + 5 * k], (), "risen") for k, s in enumerate(sweeps)
    ]
    valley = find_valley(rates, cut)
    assert len(valley.curve) == 110
    assert math.isinf(valley.median[110])
    assert math.isfinite(valley.median[109])


def test_what_explodes_does_not_reach_back_over_the_rates_before() -> None:
    rates, sweeps = curves(lambda u: math.exp(-((u + 2.5) ** 2)))
    cliff = 90
    mild, wild = (
        [Sweep(s.seed, s.start, (*s.losses[:cliff], *[high] * 5), (), "risen") for s in sweeps]
        for high in (100.0, 1e30)
    )
    assert find_valley(rates, mild).suggestion == find_valley(rates, wild).suggestion


def test_one_low_batch_at_the_start_does_not_hide_the_valley() -> None:
    rates, sweeps = curves(lambda u: math.exp(-((u + 2.5) ** 2)), noise=0.1)
    low = [Sweep(s.seed, s.start - 0.5, s.losses, (), "highest") for s in sweeps]
    valley = find_valley(rates, low)
    assert valley.suggestion == pytest.approx(0.4 * 10**-2.5, rel=0.15)
