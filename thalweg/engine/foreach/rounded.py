"""Numbers in fewer bits, over lists: the functions of `program/narrow.py` and `coded.py`, tensor by tensor.

Random bits are counted in the order in which a parameter stores its elements, as in every engine, and so are
the blocks of 256 numbers that have one scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from thalweg.engine.program import narrow
from thalweg.engine.program.coded import decode, encode


class RoundedPlace(Protocol):
    """What these functions ask about the tensors that they are called for."""

    dtype: torch.dtype
    ordinals: list[int]


Lists = Sequence[Tensor]


def bits(part: RoundedPlace, like: Lists, t: Any, draw: int) -> list[Tensor]:
    """Return 32 random bits for each element; the step is a number, or a list of them."""
    steps = t if isinstance(t, list) else [t] * len(like)
    drawn = zip(steps, part.ordinals, like, strict=True)
    return [narrow.bits(step, k, x, draw) for step, k, x in drawn]


def narrowed(xs: Lists, drawn: Lists, shift: int) -> list[Tensor]:
    """Round to bfloat16 stochastically."""
    return [narrow.narrowed(x, d, shift, x) for x, d in zip(xs, drawn, strict=True)]


def coded(part: RoundedPlace, params: Lists, xs: Lists, drawn: Lists, shift: int) -> list[Tensor]:
    """Return what numbers are after they were stored in 8 bits, rounded stochastically."""
    found = []
    for p, x, d in zip(params, xs, drawn, strict=True):
        found.append(decode(*encode(x, p, narrow.share(d, shift)), p).to(part.dtype))
    return found


def joined(xs: Lists, remainders: Lists) -> list[Tensor]:
    """Return the float32 numbers of which bfloat16 and remainders are the halves."""
    return [narrow.joined(x, y) for x, y in zip(xs, remainders, strict=True)]


def upper(xs: Lists) -> list[Tensor]:
    """Round to the nearest bfloat16."""
    return [narrow.upper(x, x) for x in xs]


def lower(xs: Lists) -> list[Tensor]:
    """Return what `upper` left."""
    return [narrow.lower(x, x) for x in xs]


def decoded(part: RoundedPlace, params: Lists, codes: Lists, scales: Lists) -> list[Tensor]:
    """Return the numbers that codes stand for."""
    return [decode(q, s, p).to(part.dtype) for p, q, s in zip(params, codes, scales, strict=True)]


def encode_into(params: Lists, codes: Lists, scales: Lists, xs: Lists) -> None:
    """Write numbers as codes with their scales; each is one that a code stands for."""
    for p, q, s, x in zip(params, codes, scales, xs, strict=True):
        new, most = encode(x, p)
        q.copy_(new)
        s.copy_(most)


ROUNDED = {
    "bits": bits,
    "narrowed": narrowed,
    "coded": coded,
    "joined": joined,
    "upper": upper,
    "lower": lower,
    "decoded": decoded,
    "encode_into": encode_into,
}
"""By the names that they have in printed functions."""
