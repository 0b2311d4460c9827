"""The methods by name: which direction goes with which search, and which trust region."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from thalweg.errors import suggest
from thalweg.numeric import is_real
from thalweg.solvers.direction.bfgs import BroydenDirection
from thalweg.solvers.direction.broyden import FAMILIES
from thalweg.solvers.direction.cg import ConjugateGradient
from thalweg.solvers.direction.direction import Direction
from thalweg.solvers.direction.lbfgs import LBFGSDirection
from thalweg.solvers.direction.newton import Newton, NewtonCGDirection
from thalweg.solvers.direction.steepest import Steepest
from thalweg.solvers.given import as_count, as_positive
from thalweg.solvers.objectives.unit import Unit
from thalweg.solvers.preconditioner import Preconditioner, as_preconditioner
from thalweg.solvers.search.armijo import Armijo
from thalweg.solvers.search.hager_zhang import HagerZhang
from thalweg.solvers.search.search import LineSearch
from thalweg.solvers.search.wolfe import Wolfe
from thalweg.solvers.trust.exact import Exact
from thalweg.solvers.trust.gauss_newton import GaussNewton
from thalweg.solvers.trust.steihaug import Steihaug
from thalweg.solvers.trust.subproblem import Subproblem


@dataclass(frozen=True)
class AlongLines:
    """A direction and the search along it."""

    direction: Direction
    search: LineSearch


@dataclass(frozen=True)
class TrustRegion:
    """A subproblem, and the first radius."""

    subproblem: Subproblem
    radius: float | None = None


Method = AlongLines | TrustRegion

SEARCHES = ("wolfe", "hager-zhang", "armijo")


def search_named(name: str, c1: float, c2: float) -> LineSearch:
    """Return the line search `name` with its two constants, of the decrease and of the slope.

    A c2 below c1 asks for a nearly exact search. Raises ValueError for an unknown name, and for constants
    that are not between 0 and 1.
    """
    if not all(is_real(c) and 0 < c < 1 for c in (c1, c2)):
        raise ValueError(
            f"A line search needs c1 and c2 between 0 and 1; got c1={c1!r}, c2={c2!r}."
        )
    if name == "wolfe":
        return Wolfe(c1, c2)
    if name == "hager-zhang":
        return HagerZhang(c1, c2)
    if name == "armijo":
        return Armijo(c1)
    raise ValueError(
        f"There is no line search {name!r}.{suggest(str(name), SEARCHES)} Known: {', '.join(SEARCHES)}."
    )


def steepest(*, c1: float = 1e-4, c2: float = 0.1, search: str = "wolfe") -> Method:
    """Steepest descent."""
    return AlongLines(Steepest(), search_named(search, c1, c2))


def cg(
    *,
    beta: str = "pr+",
    preconditioner: Preconditioner | None = None,
    c1: float = 1e-4,
    c2: float = 0.1,
    search: str = "wolfe",
) -> Method:
    """Nonlinear conjugate gradients; `beta` is fr, pr+ or hz."""
    return AlongLines(ConjugateGradient(beta, preconditioner), search_named(search, c1, c2))


def bfgs(*, c1: float = 1e-4, c2: float = 0.9, search: str = "wolfe") -> Method:
    """BFGS with a full matrix."""
    return AlongLines(BroydenDirection(FAMILIES["bfgs"]), search_named(search, c1, c2))


def ssbfgs(*, c1: float = 1e-4, c2: float = 0.9, search: str = "wolfe") -> Method:
    """Self-scaled BFGS."""
    return AlongLines(BroydenDirection(FAMILIES["ssbfgs"]), search_named(search, c1, c2))


def ssbroyden(*, c1: float = 1e-4, c2: float = 0.9, search: str = "wolfe") -> Method:
    """Self-scaled Broyden."""
    return AlongLines(BroydenDirection(FAMILIES["ssbroyden"]), search_named(search, c1, c2))


def lbfgs(*, history: int = 10, c1: float = 1e-4, c2: float = 0.9, search: str = "wolfe") -> Method:
    """Limited-memory BFGS."""
    return AlongLines(LBFGSDirection(as_count(history, "history")), search_named(search, c1, c2))


def newton(
    *, remedy: str = "saddle-free", c1: float = 1e-4, c2: float = 0.9, search: str = "wolfe"
) -> Method:
    """Newton with a line search; `remedy` is damped or saddle-free."""
    return AlongLines(Newton(remedy), search_named(search, c1, c2))


def newton_cg(
    *,
    most: int | None = None,
    preconditioner: Preconditioner | None = None,
    c1: float = 1e-4,
    c2: float = 0.9,
    search: str = "wolfe",
) -> Method:
    """Newton by conjugate gradients, at most `most` products a step."""
    direction = NewtonCGDirection(_most(most), preconditioner)
    return AlongLines(direction, search_named(search, c1, c2))


def trust_exact(*, radius: float | None = None) -> Method:
    """A trust region solved exactly."""
    return TrustRegion(Exact(), _radius(radius))


def trust_ncg(
    *,
    radius: float | None = None,
    most: int | None = None,
    preconditioner: Preconditioner | None = None,
) -> Method:
    """A trust region solved by conjugate gradients."""
    return TrustRegion(Steihaug(_most(most), preconditioner), _radius(radius))


def levenberg_marquardt(*, radius: float | None = None) -> Method:
    """Levenberg-Marquardt."""
    return TrustRegion(GaussNewton(), _radius(radius))


def _most(given: int | None) -> int | None:
    return None if given is None else as_count(given, "most")


def _radius(given: float | None) -> float | None:
    return None if given is None else as_positive(given, "radius")


METHODS: dict[str, Callable[..., Method]] = {
    "steepest": steepest,
    "cg": cg,
    "bfgs": bfgs,
    "ssbfgs": ssbfgs,
    "ssbroyden": ssbroyden,
    "lbfgs": lbfgs,
    "newton": newton,
    "newton-cg": newton_cg,
    "trust-exact": trust_exact,
    "trust-ncg": trust_ncg,
}
"""Of an objective."""

SECOND_ORDER = ("newton", "newton-cg", "trust-exact", "trust-ncg")
"""Those that use a second-order model."""

RESIDUAL_METHODS: dict[str, Callable[..., Method]] = {
    "lm": levenberg_marquardt,
    "trust-ncg": trust_ncg,
}
"""Of residuals."""


def method_named(
    name: str,
    options: dict[str, Any],
    known: dict[str, Callable[..., Method]],
    start: Tensor,
    unit: Unit,
) -> Method:
    """Return the method `name` with its options, for points like `start` and an objective in this unit.

    Raises:
        ValueError: for an unknown name.
        TypeError: for an unknown option.

    >>> import torch
    >>> method_named("trust-exact", {"raduis": 5}, METHODS, torch.zeros(2), Unit())
    Traceback (most recent call last):
    TypeError: The method 'trust-exact' has no option 'raduis'. Did you mean 'radius'? It has: radius.
    """
    if not isinstance(name, str) or name not in known:
        raise ValueError(
            f"There is no method {name!r}.{suggest(str(name), known)} Known: {', '.join(known)}."
        )
    allowed = inspect.signature(known[name]).parameters
    for option in options:
        if option not in allowed:
            raise TypeError(
                f"The method {name!r} has no option {option!r}.{suggest(option, allowed)} It has: "
                f"{', '.join(allowed)}."
            )
    if "preconditioner" in options:
        m = as_preconditioner(options["preconditioner"], start)
        options = options | {"preconditioner": None if m is None else unit.inverse(m)}
    return known[name](**options)
