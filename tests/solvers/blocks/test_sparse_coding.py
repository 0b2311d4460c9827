from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.exact import RERUN, same
from thalweg.solvers import Status, lasso, sparse_coding


def patches(rows: int = 80, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    atoms = torch.randn(6, 9, generator=generator, dtype=torch.float64)
    codes = torch.randn(rows, 6, generator=generator, dtype=torch.float64)
    used = torch.rand(rows, 6, generator=generator) < 0.3
    return (codes * used) @ atoms


@pytest.mark.parametrize("atoms", [3, 6, 30])
def test_the_objective_never_rises_and_atoms_have_length_one(atoms: int) -> None:
    data = patches()
    found = sparse_coding(data, atoms, 0.1, max_rounds=min(60, 600 // atoms))
    rises = [b - a for a, b in zip(found.history, found.history[1:], strict=False)]
    assert max(rises) <= 1e-13 * found.history[0]  # rounding
    assert (found.dictionary.norm(dim=1) - 1).abs().max() < 1e-14
    assert found.dictionary.shape == (atoms, 9)
    assert found.codes.shape == (80, atoms)
    residual = data - found.codes @ found.dictionary
    fun = (residual.square().sum() / 2 + 0.1 * found.codes.abs().sum()) / 80
    assert abs(float(fun) - found.fun) < 1e-12


def test_codes_of_a_fixed_dictionary_are_lassos() -> None:
    data = patches(5)
    given = torch.randn(4, 9, generator=torch.Generator().manual_seed(1)).double()
    given = given / given.norm(dim=1, keepdim=True)
    found = sparse_coding(data, 4, 0.2, dictionary=given, code_sweeps=300, max_rounds=1)
    for row, codes in zip(data, found.codes, strict=True):
        expected = lasso(given.mT, row, 0.2 / 9).x  # which divides the squares by 9
        assert (codes - expected).abs().max() < 1e-9


def test_a_seed_gives_a_run_and_it_ends() -> None:
    first, again = (sparse_coding(patches(), 6, 0.1, seed=2, tol=1e-3) for _ in range(2))
    same(first.codes, again.codes, because=RERUN)
    assert first.success
    assert first.message.startswith("Converged")
    cut = sparse_coding(patches(), 6, 0.1, max_rounds=1)
    assert (cut.status, cut.nit) == (Status.ITERATIONS, 1)


def test_data_of_zeros() -> None:
    found = sparse_coding(torch.zeros(3, 4), 2, 0.1)
    assert found.success
    assert found.fun == 0
    assert not found.codes.any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"data": torch.ones(3)}, "data must be a matrix"),
        ({"atoms": 0}, "atoms must be an integer of at least 1"),
        ({"penalty": -1}, "penalty must be"),
        ({"code_sweeps": 0}, "code_sweeps must be an integer"),
        ({"dictionary": torch.ones(2, 3)}, r"dictionary must be \[atoms, features\], \(2, 4\)"),
        ({"dictionary": torch.zeros(2, 4)}, "a row of zeros"),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sparse_coding(**{"data": torch.ones(3, 4), "atoms": 2, "penalty": 0.1, **arguments})
