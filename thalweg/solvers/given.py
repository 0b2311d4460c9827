"""What a user gives a solver: starts, budgets, tolerances and options, checked."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from thalweg.numeric import as_whole, is_real


def as_start(x0: Any) -> Tensor:
    """Return a start as a contiguous tensor of its own, in float64 if it was integers or no tensor.

    Raises:
        ValueError: for what holds no real numbers, for NaN and infinities, and for a type of less than
            float32's precision.
        TypeError: if it is not a tensor, array or numbers.

    >>> as_start([1, 2])
    tensor([1., 2.], dtype=torch.float64)
    """
    start = x0 if isinstance(x0, Tensor) else _tensor(x0)
    if start.is_complex():
        raise ValueError("x0 is complex: minimize over torch.view_as_real(x0).")
    if start.layout is not torch.strided or start.is_meta:
        raise ValueError(
            f"x0 is {'on the meta device' if start.is_meta else 'sparse'}: a solver needs all its numbers, "
            "in a dense tensor."
        )
    if not start.is_floating_point():
        start = start.double()
    if start.dtype not in (torch.float32, torch.float64):
        raise ValueError(
            f"x0 is of {str(start.dtype).removeprefix('torch.')}, whose rounding hides what a solver "
            "looks for: pass x0.float() or x0.double(), and a model in that type."
        )
    if not start.numel():
        raise ValueError("x0 has no numbers: there is nothing to minimize over.")
    start = start.detach().contiguous().clone()
    if not bool(torch.isfinite(start).all()):
        at = int((~torch.isfinite(start.reshape(-1))).nonzero()[0])
        raise ValueError(
            f"x0 holds {start.reshape(-1)[at].item()} at entry {at}: a solver starts from finite numbers."
        )
    return start


def as_count(given: Any, name: str, least: int = 1) -> int:
    """Return an integer: of iterations, of evaluations, of atoms.

    Raises:
        ValueError: for what is not an integer of at least `least`.

    >>> as_count(1.5, "max_iter", 0)
    Traceback (most recent call last):
    ValueError: max_iter must be an integer of at least 0; got 1.5.
    """
    count = as_whole(given)
    if count is None or count < least:
        raise ValueError(f"{name} must be an integer of at least {least}; got {given!r}.")
    return count


def as_tolerance(given: Any) -> float | None:
    """Return a relative tolerance, None for the one of the precision.

    Raises:
        ValueError: if it is not a number from 0 to below 1.

    >>> as_tolerance(-1.0)
    Traceback (most recent call last):
    ValueError: tol must be a number of at least 0 and below 1, or None; got -1.0.
    """
    if given is None:
        return None
    if isinstance(given, Tensor) and given.numel() == 1 and not given.is_complex():
        given = given.item()
    if not is_real(given) or not 0 <= given < 1:
        raise ValueError(f"tol must be a number of at least 0 and below 1, or None; got {given!r}.")
    return float(given)


def as_positive(given: Any, name: str) -> float:
    """Return a positive finite number.

    Raises:
        ValueError: if it is not one.
    """
    if not is_real(given) or not (given > 0 and math.isfinite(given)):
        raise ValueError(f"{name} must be a finite number above 0; got {given!r}.")
    return float(given)


def check_function(fun: Any, name: str, takes: str) -> None:
    """Refuse what cannot be called.

    Raises TypeError.
    """
    if not callable(fun):
        raise TypeError(f"{name} must be a function of {takes}; got {type(fun).__name__}.")


def _tensor(x0: Any) -> Tensor:
    try:
        if getattr(x0, "dtype", None) is not None:
            return torch.as_tensor(x0)  # an array, whose type says whether it is complex
        return torch.as_tensor(x0, dtype=torch.float64)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        if "not complex" in str(error):
            raise ValueError("x0 is complex: minimize over its real and imaginary parts.") from None
        advice = ""
        if isinstance(x0, torch.nn.Module):
            advice = " For a model use thalweg.solvers.flat_objective(model, loss)."
        raise TypeError(
            f"x0 must be a tensor, an array, a number or lists of numbers; got {type(x0).__name__} "
            f"({error}).{advice}"
        ) from None
