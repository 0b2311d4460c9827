"""Numbers in 8 bits: blocks of 256, each with a scale (after Dettmers et al. 2022).

A block is 256 numbers that follow one another in memory. Its scale s is the largest |x|. A code q stands for

    x = ±s·(V(q) − V(0)),   V(q): the float32 with the bits of V(0), plus q·2¹⁹

Codes are as far apart as 4 bits of a mantissa, 3 to 6 %, down to x ≈ s·V(0), and evenly spaced below: near
zero a second moment needs relative precision, or small ones become 0 and the step s/√0. It is a dynamic code
without a table: kernels compute it by adding and shifting bits.

    block                       codes           V(0)        least x above 0
    with numbers below zero     −127 … 127      1/240       2.6·10⁻⁴ s
    without (squares)           0 … 255         1/61680     1.0·10⁻⁶ s

Bit 7 of a code is the sign in a block with numbers below zero. Rounding is to the nearest code, or stochastic
by adding random bits below bit 19: E[decoded x] = x, up to 6 % of a code's spacing with a sign, where an
octave ends between two codes, and to 0.03 % without. In a block without negatives what is above zero never
becomes zero. The scale of such a block is kept with a minus sign. A block in which something is not finite is
NaN as a whole.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from thalweg.engine.program.formats import (
    BLOCK,
    SHARE,
    SIGNED,
    SIGNED_ZERO,
    SMALLEST,
    STEP,
    UNSIGNED,
    UNSIGNED_ZERO,
)
from thalweg.engine.program.narrow import flattened, in_order, share


def blocks_of(count: int) -> int:
    """Return how many scales so many numbers have."""
    return -(-count // BLOCK)


def coded(x: Any, drawn: Tensor, shift: int, like: Tensor) -> Tensor:
    """Return what numbers are after they were stored in 8 bits, rounded stochastically."""
    wide = x if isinstance(x, Tensor) else torch.as_tensor(x, dtype=like.dtype, device=like.device)
    wide = wide.expand(like.shape) if wide.shape != like.shape else wide
    codes, scales = encode(wide, like, share(drawn, shift))
    return decode(codes, scales, like).to(like.dtype)


def encode(x: Tensor, like: Tensor, random: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return codes of the shape and order of `like`, and the scale of each block.

    Without random bits, 16 for each element, it rounds to the nearest code.
    """
    rows = _rows(flattened(x.detach().float(), like))
    most = rows.abs().amax(1)  # a NaN stays one
    whole = torch.isfinite(most)
    signed = torch.signbit(rows).any(1)
    usable = whole & (most >= SMALLEST)
    inverse = torch.where(usable, 1.0 / most, 0.0)[:, None]
    part = rows.abs() * inverse
    zero = _zero(signed)
    moved = (part + zero.view(torch.float32)).view(torch.int32) - zero
    below = (
        torch.full_like(moved, 1 << (STEP - 1))
        if random is None
        else _rows(flattened(random, like)).int() << (STEP - SHARE)
    )
    most_code = torch.where(signed, SIGNED, UNSIGNED)[:, None].int()
    code = torch.minimum(moved + below >> STEP, most_code)
    code = torch.where(~signed[:, None] & (part > 0), code.clamp_min(1), code)
    code = code | torch.where(signed[:, None] & torch.signbit(rows), 0x80, 0).int()
    scales = torch.where(whole, torch.where(signed, most, -most), torch.nan)
    flat = code.reshape(-1)[: like.numel()]
    codes = torch.where(flat > 127, flat - 256, flat).to(torch.int8)
    return torch.empty_like(like, dtype=torch.int8).copy_(in_order(codes, like)), scales


def decode(codes: Tensor, scales: Tensor, like: Tensor) -> Tensor:
    """Return the float32 numbers that codes of the shape of `like` stand for."""
    rows = _rows(flattened(codes, like).int())
    signed = ~torch.signbit(scales)
    size = rows & torch.where(signed, SIGNED, UNSIGNED)[:, None].int()
    x = _value(size, _zero(signed)) * scales.abs()[:, None]
    x = torch.where(signed[:, None] & (rows < 0), -x, x)
    return in_order(x.reshape(-1)[: like.numel()], like)


def _rows(flat: Tensor) -> Tensor:
    """Return numbers in blocks, the last one filled with zeros."""
    count = flat.numel()
    spare = blocks_of(count) * BLOCK - count
    return torch.nn.functional.pad(flat, (0, spare)).view(-1, BLOCK)


def _zero(signed: Tensor) -> Tensor:
    """Return the bits of V(0) for each block."""
    zero = torch.where(signed, SIGNED_ZERO, UNSIGNED_ZERO)
    return zero.to(torch.int32)[:, None]


def _value(q: Tensor, zero: Tensor) -> Tensor:
    """Return V(q) − V(0)."""
    return (zero + (q << STEP)).view(torch.float32) - zero.view(torch.float32)
