"""The squared modulus, for real and complex numbers."""

from __future__ import annotations

from torch import Tensor


def squares(w: Tensor) -> Tensor:
    """Return |w|² of each element: a real number, for a complex one too.

    >>> import torch
    >>> float(squares(torch.tensor(3 + 4j)))
    25.0
    """
    return (w * w.conj()).real if w.is_complex() else w.square()
