"""Noise that a rule may use: a pure function of a seed, the step, the tensor and the element.

No generator is advanced, so every engine draws the same numbers, on any number of threads, and a resumed run
goes on as if it had not stopped. The element's bits are a 64-bit counter mixed as in SplitMix64 (Steele, Lea
and Flood 2014), keyed by the other three; two 32-bit halves u, v of them make one normal by Box and Muller
(1958):

    z = √(−2·log((u + 1)/2³²)) · cos(2π·v/2³²)
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function

GOLDEN = 0x9E3779B97F4A7C15
MIX = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, None))
"""Shift right and xor, then multiply, three times (the last without the product)."""
SCALE = 2.0**-32
HALF = 32


def noise(u: Tensor, seed: Any, t: Any) -> Tensor:
    """Return standard normal noise of the shape of a tensor, the same for the same seed and step.

    In a rule, every parameter, every step and every call has noise of its own. Optimizers with the same seed
    draw the same.

    >>> x = torch.zeros(1000)
    >>> z = noise(x, 0, 1)
    >>> bool(abs(z.mean()) < 0.1), bool(abs(z.std() - 1) < 0.1), bool((z == noise(x, 0, 1)).all())
    (True, True, True)
    """
    if has_torch_function((u, seed, t)):
        return handle_torch_function(noise, (u, seed, t), u, seed, t)
    return normal(seed, t, 0, u)


def normal(seed: Any, t: Any, ordinal: Any, like: Tensor, draw: int = 0) -> Tensor:
    """Return the noise of one tensor, in the order in which its elements are stored.

    `ordinal` is the place of the tensor in its optimizer, `draw` the number of the call in its chain.
    """
    key = signed_word(0)
    for part in (seed, t, ordinal, *((draw,) if draw else ())):
        # a number is written on the device: one of the host would be copied there
        whole = (
            part.to(like.device).long()
            if isinstance(part, Tensor)
            else torch.full((), int(part), dtype=torch.int64, device=like.device)
        )
        key = mixed((key ^ whole) + signed_word(GOLDEN))
    counter = torch.arange(like.numel(), device=like.device)
    bits = mixed(key + (counter + 1) * signed_word(GOLDEN))
    dtype = torch.float64 if like.dtype == torch.float64 else torch.float32
    u = (_shifted(bits, HALF) + 1).to(dtype) * SCALE
    v = (bits & 0xFFFFFFFF).to(dtype) * SCALE
    z = torch.sqrt(-2.0 * torch.log(u)) * torch.cos((2.0 * math.pi) * v)
    if like.is_contiguous():
        return z.reshape(like.shape)
    order = torch.empty_like(like, dtype=dtype)  # dense, with the order of dimensions of `like`
    return z.as_strided(like.shape, order.stride())


def mixed(x: Any) -> Any:
    """Mix the bits of 64-bit integers; tensors wrap around as unsigned numbers do."""
    for shift, factor in MIX:
        x = x ^ _shifted(x, shift)
        if factor is not None:
            x = x * signed_word(factor)
    return x


def _shifted(x: Any, by: int) -> Any:
    """Shift right and fill with zeros; the shift of a tensor copies the sign."""
    return (x >> by) & ((1 << (64 - by)) - 1)


def signed_word(x: int) -> int:
    """Return the signed number with the same 64 bits."""
    return x - (1 << 64) if x >= 1 << 63 else x
