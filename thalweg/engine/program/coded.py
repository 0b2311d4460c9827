"""Numbers in 8 bits: blocks of 256, each with a scale (after Dettmers et al. 2022).

A block is 256 numbers that follow one another in memory. Its scale s is the largest |x|. A code q stands for

    x = sign(q)·s·(|q|/127)²                 in a block with numbers below zero
    x = s·(q/255)⁴                           in a block without: averages of squares

The powers put the codes where the numbers are: near zero a second moment needs relative precision, or small
ones become 0 and the step s/√0. They need no table, so kernels compute them by products and roots. Rounding
is stochastic, E[decoded x] = x, or to the nearest code; in a block without negatives what is above zero never becomes zero.
The scale of such a block is kept with a minus sign. A block in which something is not finite is NaN as a whole.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from thalweg.engine.program.narrow import SHARE, flattened, in_order, share

BLOCK = 256
"""Numbers with one scale."""
SIGNED, UNSIGNED = 127.0, 255.0
"""The largest codes."""


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
    signed = (torch.signbit(rows) & (rows != 0)).any(1)
    levels = torch.where(signed, SIGNED, UNSIGNED)[:, None]
    divisor = torch.where(whole & (most > 0), most, 1.0)[:, None]
    share_of_most = torch.where(whole[:, None], rows.abs() / divisor, 0.0)
    first = torch.floor(_root(share_of_most, signed) * levels)
    below, above = (_power(first + k, levels, signed) for k in (0.0, 1.0))
    chance = (
        torch.full_like(rows, 0.5)
        if random is None
        else _rows(flattened(random, like)).float() * 2.0**-SHARE
    )
    rounded_up = chance * (above - below) < share_of_most - below
    code = first + rounded_up.float()
    code = torch.where(~signed[:, None] & (share_of_most > 0), code.clamp_min(1.0), code)
    code = torch.where(signed[:, None] & (rows < 0), -code, code).to(torch.int32)
    scales = torch.where(whole, torch.where(signed, most, -most), torch.nan)
    flat = code.reshape(-1)[: like.numel()]
    codes = torch.where(flat > SIGNED, flat - 256, flat).to(torch.int8)
    return torch.empty_like(like, dtype=torch.int8).copy_(in_order(codes, like)), scales


def decode(codes: Tensor, scales: Tensor, like: Tensor) -> Tensor:
    """Return the float32 numbers that codes of the shape of `like` stand for."""
    rows = _rows(flattened(codes, like).int())
    signed = ~torch.signbit(scales)
    size = torch.where(signed[:, None], rows.abs(), rows & 0xFF).float()
    levels = torch.where(signed, SIGNED, UNSIGNED)[:, None]
    x = _power(size, levels, signed) * scales.abs()[:, None]
    x = torch.where(signed[:, None] & (rows < 0), -x, x)
    return in_order(x.reshape(-1)[: like.numel()], like)


def _rows(flat: Tensor) -> Tensor:
    """Return numbers in blocks, the last one filled with zeros."""
    count = flat.numel()
    spare = blocks_of(count) * BLOCK - count
    return torch.nn.functional.pad(flat, (0, spare)).view(-1, BLOCK)


def _root(share_of_most: Tensor, signed: Tensor) -> Tensor:
    root = share_of_most.sqrt()
    return torch.where(signed[:, None], root, root.sqrt())


def _power(q: Tensor, levels: Tensor, signed: Tensor) -> Tensor:
    ratio = q / levels
    square = ratio * ratio
    return torch.where(signed[:, None], square, square * square)
