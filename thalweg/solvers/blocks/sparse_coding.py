"""Sparse coding: a dictionary and sparse codes, in alternation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from thalweg.solvers.blocks.arguments import as_matrix, as_penalty
from thalweg.solvers.blocks.shrink import sweep
from thalweg.solvers.given import as_count
from thalweg.solvers.stop import Status


@dataclass(frozen=True)
class SparseCoding:
    """A dictionary of unit vectors and the codes of the data.

    `dictionary` is [atoms, features], `codes` [rows, atoms]; `fun` is the objective. `nit` counts rounds, and
    `history` holds the objective at the start and after each. `success` is whether `status` is "converged";
    `message` says it in a sentence.
    """

    dictionary: Tensor
    codes: Tensor
    fun: float
    nit: int
    success: bool
    status: Status
    message: str
    history: tuple[float, ...]


def sparse_coding(
    data: Any,
    atoms: int,
    penalty: float,
    *,
    dictionary: Any = None,
    code_sweeps: int = 5,
    tol: float = 1e-6,
    max_rounds: int = 500,
    seed: int = 0,
) -> SparseCoding:
    """Return unit atoms D and sparse codes C that lower the mean over rows of ½‖x − cD‖² + penalty·‖c‖₁.

    A round sweeps `code_sweeps` times over the codes, each coefficient to its exact minimum (a soft
    threshold), then once over the atoms, each to its exact minimum on the unit sphere: the direction of
    Σ_i c_ij·(x_i − the other atoms' part). So the objective never rises. An atom that no row uses is replaced
    by the direction of the row that is explained worst, which changes nothing until a code uses it. Jointly
    the problem is not convex: another `seed` may find another dictionary. It starts with rows of the data,
    or with `dictionary`, [atoms, features], whose rows are brought to length 1.

    It has converged where a round lowers the objective by at most `tol` of it.

    Raises ValueError for shapes that do not fit, values that are not finite, and a negative penalty.

    Source: Goodfellow, Bengio and Courville, Deep Learning, section 8.7.2; Olshausen and Field (1996).

    >>> import torch
    >>> from thalweg.solvers import sparse_coding
    >>> found = sparse_coding(torch.eye(3, dtype=torch.float64).repeat(4, 1), 3, penalty=0.1)
    >>> found.success, found.dictionary.abs().amax(0).tolist()
    (True, [1.0, 1.0, 1.0])
    """
    x = as_matrix(data, "data")
    count, penalty = as_count(atoms, "atoms"), as_penalty(penalty)
    sweeps, most = as_count(code_sweeps, "code_sweeps"), as_count(max_rounds, "max_rounds", 0)
    d = _beginning(x, count, seed) if dictionary is None else _given(dictionary, x, count)
    codes = x.new_zeros(count, len(x))
    history = [_objective(x, d, codes, penalty)]
    status = Status.ITERATIONS
    for _ in range(most):
        residual = x - codes.mT @ d
        for _ in range(sweeps):
            sweep(d, residual, codes, penalty)
        _sweep_atoms(x, d, codes)
        history.append(_objective(x, d, codes, penalty))
        if history[-2] - history[-1] <= tol * abs(history[-2]):
            status = Status.CONVERGED
            break
    return SparseCoding(
        dictionary=d,
        codes=codes.mT.contiguous(),
        fun=history[-1],
        nit=len(history) - 1,
        success=status is Status.CONVERGED,
        status=status,
        message=_sentence(status, history),
        history=tuple(history),
    )


def _beginning(x: Tensor, count: int, seed: int) -> Tensor:
    """Return rows of the data that are not zero, as unit vectors; random ones where they are too few."""
    generator = torch.Generator().manual_seed(as_count(seed, "seed", 0))
    rows = x[(x != 0).any(1)]
    chosen = rows[torch.randperm(len(rows), generator=generator)[:count].to(x.device)]
    more = torch.randn(count - len(chosen), x.shape[1], generator=generator, dtype=torch.float64)
    return torch.nn.functional.normalize(torch.cat([chosen, more.to(x)]), dim=1)


def _given(dictionary: Any, x: Tensor, count: int) -> Tensor:
    d = as_matrix(dictionary, "dictionary").to(x)
    if tuple(d.shape) != (count, x.shape[1]):
        raise ValueError(
            f"dictionary must be [atoms, features], ({count}, {x.shape[1]}); got shape {tuple(d.shape)}."
        )
    if bool((d == 0).all(1).any()):
        raise ValueError("dictionary has a row of zeros, which has no direction.")
    return torch.nn.functional.normalize(d, dim=1)


def _sweep_atoms(x: Tensor, d: Tensor, codes: Tensor) -> None:
    """Move each atom in turn to its exact minimum on the unit sphere, in place."""
    residual = x - codes.mT @ d
    for atom, code in zip(d, codes, strict=True):
        used = bool((code != 0).any())
        worst = residual[residual.square().sum(1).argmax()]
        wanted = code @ residual + code.square().sum() * atom if used else worst
        length = wanted.norm()
        if length > 0:
            new = wanted / length
            residual -= code[:, None] * (new - atom)
            atom.copy_(new)


def _objective(x: Tensor, d: Tensor, codes: Tensor, penalty: float) -> float:
    residual = x - codes.mT @ d
    return (float(residual.square().sum()) / 2 + penalty * float(codes.abs().sum())) / len(x)


def _sentence(status: Status, history: list[float]) -> str:
    if status is Status.CONVERGED:
        return (
            f"Converged: the last round lowered the objective by {history[-2] - history[-1]:.1e}."
        )
    return "All rounds are used up (max_rounds)."
