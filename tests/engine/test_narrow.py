"""Numbers in fewer bits: what rounding does on average, what survives it, and how far a code may be off."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.exact import same
from thalweg.engine.program.coded import blocks_of, decode, encode
from thalweg.engine.program.formats import BLOCK
from thalweg.engine.program.narrow import bits, joined, lower, narrowed, upper

WIDE = st.floats(width=32, allow_nan=False, allow_infinity=False)
COUNT = 2**16
DEVIATIONS = 5.0
"""Standard deviations that a mean may be off: the seeds are fixed, and one in two million would be."""


def drawn(t: int, like: Tensor, ordinal: int = 0, draw: int = 0) -> Tensor:
    return bits(t, ordinal, like, draw)


@pytest.mark.parametrize("shift", [0, 16])
@pytest.mark.parametrize("share", [0.001, 0.25, 0.5, 0.93])
def test_bfloat16_is_rounded_without_bias(share: float, shift: int) -> None:
    below, above = 1.0, 1.0 + 2.0**-7
    x = torch.full((COUNT,), below + share * (above - below))
    found = narrowed(x, drawn(3, x), shift, x).double()
    assert set(found.tolist()) <= {below, above}
    error = (found.mean() - x[0].double()).item()
    spread = math.sqrt(share * (1 - share) / COUNT) * (above - below)
    assert abs(error) < DEVIATIONS * spread + 2.0**-16 * (above - below)


def test_an_average_that_moves_by_less_than_a_spacing_moves() -> None:
    """To the nearest, an average of β = 0.999 in bfloat16 hardly leaves 1; stochastically it decays."""
    average = torch.ones(1024)
    nearest = average.clone()
    for t in range(1, 201):
        average = narrowed(0.999 * average, drawn(t, average), 0, average)
        nearest = (0.999 * nearest).bfloat16().float()
    # each step adds at most half a spacing of spread; 200 steps, mean over 1024 elements
    bound = DEVIATIONS * math.sqrt(200 / 1024) * 2.0**-9
    assert abs(average.mean().item() - 0.999**200) < bound
    assert nearest.mean().item() > 0.98


def test_what_bfloat16_holds_stays_as_it_is() -> None:
    held = torch.tensor([0.0, -0.0, 1.0, -3.5, 2.0**-130, math.inf, -math.inf])
    found = narrowed(held, torch.full((7,), 2**32 - 1), 0, held)
    same(found, held, because="there is nothing to round")
    payload = torch.tensor([0x7FFFFFFF, 0x7F800001], dtype=torch.int32).view(torch.float32)
    assert narrowed(payload, torch.full((2,), 2**32 - 1), 0, payload).isnan().all()
    assert upper(payload, payload).isnan().all()


@settings(deadline=None, max_examples=40)
@given(st.lists(WIDE, min_size=1, max_size=20))
def test_a_bfloat16_and_its_remainder_are_the_number(numbers: list[float]) -> None:
    x = torch.tensor(numbers, dtype=torch.float32)
    top, left = upper(x, x), lower(x, x)
    same(top.bfloat16().float(), top, because="its lower half is zero")
    same(left.to(torch.int16).float(), left, because="it is an integer of 16 bits")
    same(joined(top, left) + 0.0, x + 0.0, because="bits are moved, nothing is rounded")


def test_draws_differ_and_are_even() -> None:
    like = torch.empty(COUNT)
    draws = [drawn(1, like), drawn(2, like), drawn(1, like, ordinal=1), drawn(1, like, draw=1)]
    for k, one in enumerate(draws):
        # of each of the 32 bits half are set, and no two draws agree on more
        for bit in range(32):
            share = (one >> bit & 1).double().mean().item()
            assert abs(share - 0.5) < DEVIATIONS * 0.5 / math.sqrt(COUNT)
        for other in draws[:k]:
            share = ((one ^ other) & 1).double().mean().item()
            assert abs(share - 0.5) < DEVIATIONS * 0.5 / math.sqrt(COUNT)


@settings(deadline=None, max_examples=25)
@given(st.lists(WIDE, min_size=1, max_size=20), st.integers(0, 2**31), st.booleans())
def test_a_code_is_off_by_a_bounded_share(numbers: list[float], seed: int, absolute: bool) -> None:
    once = torch.tensor(numbers, dtype=torch.float32)
    x = torch.cat([once * 2.0**-k for k in range(30)])[: BLOCK + 40]
    x = x.abs() if absolute else x
    random = torch.randint(0, 2**16, x.shape, generator=torch.Generator().manual_seed(seed))
    for given_bits in (None, random):
        codes, scales = encode(x, x, given_bits)
        found = decode(codes, scales, x)
        for k in range(blocks_of(x.numel())):
            block = slice(k * BLOCK, (k + 1) * BLOCK)
            most = x[block].abs().max().item()
            if most < 2.0**-126:  # a block of numbers that have no reciprocal is zero
                assert not found[block].any()
                continue
            signed = bool(torch.signbit(x[block]).any())
            zero = 1 / 240 if signed else 1 / 61680
            # codes are a sixteenth of an octave apart, measured from −V(0): 6.25 % of |x| + V(0)·s
            spacing = (x[block].abs().double() + zero * most) * 2.0**-4
            error = (found[block].double() - x[block].double()).abs()
            # to the nearest, save that what is above zero in a block of squares does not become zero
            share = 0.53 if given_bits is None and signed else 1.0
            assert (error <= spacing * share * (1 + 1e-5) + 2.0**-149).all()
            exact = x[block] == 0
            assert (found[block][exact] == 0).all()
            if not signed:
                assert (found[block][(x[block] > 2.0**-100 * most)] > 0).all()
        again = decode(*encode(found, x), x)
        same(again + 0.0, found + 0.0, because="what a code stands for has that code")


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_block_that_is_not_finite_is_seen(bad: float) -> None:
    x = torch.ones(3 * BLOCK)
    x[BLOCK + 7] = bad
    found = decode(*encode(x, x), x)
    assert found[BLOCK : 2 * BLOCK].isnan().all()
    same(found[:BLOCK], x[:BLOCK], because="the largest number of a block is kept")
    same(found[2 * BLOCK :], x[2 * BLOCK :], because="the largest number of a block is kept")


@pytest.mark.parametrize("absolute", [False, True])
def test_8_bits_are_rounded_without_bias(absolute: bool) -> None:
    values = torch.logspace(-5, -0.01, 251)
    row = torch.cat((values if absolute else -values, torch.tensor([1.0, 1.0, 1.0, 1.0, 1.0])))
    x = row.repeat(1024, 1)
    found = decode(*encode(x, x, drawn(1, x) & 0xFFFF), x).double()
    error = (found.mean(0) - row.double()).abs()
    zero = 1 / 61680 if absolute else 1 / 240
    spacing = (row.double().abs() + zero) * 2.0**-4
    # a share of 6 % with a sign (see `coded.py`), and half a spacing of spread over 1024 rows
    share = (0.001 if absolute else 0.06) + DEVIATIONS * 0.5 / math.sqrt(1024)
    assert (error <= spacing * share).all()


def test_the_order_in_memory_is_that_of_the_blocks() -> None:
    like = torch.empty(32, 48).t()
    x = torch.randn(48, 32, generator=torch.Generator().manual_seed(0))
    found = decode(*encode(x, like), like)
    turned = decode(*encode(x.t().contiguous(), torch.empty(32, 48)), torch.empty(32, 48))
    same(found.t(), turned, because="the same numbers in the same order")
