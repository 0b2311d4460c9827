"""Numbers stored in fewer bits: the reference for every engine, as PyTorch calls on one tensor.

Stochastic rounding takes one of the two neighbours, each as often as it is near: E[rounded x] = x. So an
average that moves by less than the spacing of its dtype still moves, on average. The random bits are a
function of step, tensor and element, as noise is (see `noise.py`), so every engine rounds alike and no
generator is kept. An element has 32 bits a draw, which serve two states of 16 bits each:

    x ← element + low(key);   x ← mix(x, high(key))          two 32-bit products (Wellons 2018, lowbias32)
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from thalweg.engine.program.formats import MIX32, SEED, SHARE, WORD
from thalweg.engine.program.noise import GOLDEN, mixed, signed_word


def bits(t: Any, ordinal: Any, like: Tensor, draw: int) -> Tensor:
    """Return 32 random bits for each element, in the order in which its elements are stored."""
    key = signed_word(0)
    for part in (SEED, t, ordinal, draw):
        whole = (
            part.to(like.device).long()
            if isinstance(part, Tensor)
            else torch.full((), int(part), dtype=torch.int64, device=like.device)
        )
        key = mixed((key ^ whole) + signed_word(GOLDEN))
    low, high = key & WORD, (key >> 32) & WORD
    x = (torch.arange(like.numel(), device=like.device) + low) & WORD
    for turn, (shift, factor) in enumerate(MIX32):
        if turn == 1:
            x = x ^ high
        x = x ^ (x >> shift)
        if factor is not None:
            x = (x * factor) & WORD
    return in_order(x, like)


def in_order(flat: Tensor, like: Tensor) -> Tensor:
    """Return numbers in the order of memory as a tensor of the shape of another."""
    if like.is_contiguous():
        return flat.reshape(like.shape)
    return flat.as_strided(like.shape, torch.empty_like(like).stride())


def flattened(x: Tensor, like: Tensor) -> Tensor:
    """Return the elements of a tensor in the order in which another one stores its own."""
    if like.is_contiguous():
        return x.contiguous().view(-1)
    stored = torch.empty_like(like, dtype=x.dtype).copy_(x)
    return stored.as_strided((x.numel(),), (1,))


def share(drawn: Tensor, shift: int) -> Tensor:
    """Return the random bits of one state."""
    return (drawn >> shift) & ((1 << SHARE) - 1)


def narrowed(x: Any, drawn: Tensor, shift: int, like: Tensor) -> Tensor:
    """Round to bfloat16 stochastically; the numbers stay as wide as they were. A NaN stays one."""
    wide = _spread(x, like).float()
    added = (wide.view(torch.int32) + share(drawn, shift).int()) & ~0xFFFF
    rounded = added.view(torch.float32).to(like.dtype)
    return torch.where(torch.isnan(wide), wide.to(like.dtype), rounded)


def joined(upper_half: Tensor, lower_half: Tensor) -> Tensor:
    """Return the float32 whose upper half is a bfloat16, and whose lower half is what its rounding left."""
    whole = upper_half.float().view(torch.int32) + lower_half.int()
    return whole.view(torch.float32)


def upper(x: Any, like: Tensor) -> Tensor:
    """Round to the nearest bfloat16, away from zero where two are as near. A NaN stays one."""
    wide = _spread(x, like).float()
    rounded = ((wide.contiguous().view(torch.int32) + 0x8000) & ~0xFFFF).view(torch.float32)
    return torch.where(torch.isnan(wide), wide, rounded)


def lower(x: Any, like: Tensor) -> Tensor:
    """Return what `upper` left, an integer of 16 bits with its sign."""
    wide = _spread(x, like).float().contiguous()
    left = wide.view(torch.int32) - upper(wide, like).view(torch.int32)
    return torch.where(torch.isnan(wide), 0, left).float()


def _spread(x: Any, like: Tensor) -> Tensor:
    whole = x if isinstance(x, Tensor) else torch.as_tensor(x, dtype=like.dtype, device=like.device)
    return whole.expand(like.shape) if whole.shape != like.shape else whole
