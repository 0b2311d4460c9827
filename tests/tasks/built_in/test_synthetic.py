"""Synthetic data sets: what they ask for, by formulas of their own."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from tests.exact import same
from thalweg.tasks import Task, load_task
from thalweg.tasks.built_in.matrix_factorisation import Factors
from thalweg.tasks.sources.source import ArraySource


def arrays(task: Task, name: str = "train") -> tuple[np.ndarray, np.ndarray]:
    source = task.data.split(name)
    assert isinstance(source, ArraySource)
    return source.inputs.numpy().astype("float64"), source.targets.numpy()


@pytest.mark.parametrize(("bits", "relevant"), [(16, 5), (12, 3), (8, 8), (5, 1)])
def test_parity_is_a_product_of_signs(bits: int, relevant: int) -> None:
    for name in ("train", "validation"):
        x, y = arrays(load_task("parity", bits=bits, relevant=relevant), name)
        assert set(np.unique(x)) == {-1.0, 1.0}
        # a product of n signs is −1 to the number of minuses, n less the number of pluses
        same(
            1.0 - 2 * y,
            np.prod(x[:, :relevant], axis=1) * (-1) ** relevant,
            because="products of ones and minus ones",
        )


def test_no_bit_and_no_pair_of_bits_tells_of_the_parity() -> None:
    x, y = arrays(load_task("parity"))
    signs = 1 - 2 * y
    pairs = [x[:, i] * x[:, j] for i, j in itertools.combinations(range(16), 2)]
    shown = np.abs(np.stack([*x.T, *pairs]) @ signs) / len(y)
    assert shown.max() < 5 / np.sqrt(len(y))


@pytest.mark.parametrize("length", [30, 7, 2])
def test_the_answer_of_the_adding_problem(length: int) -> None:
    x, y = arrays(load_task("adding", length=length))
    values, marks = x[..., 0], x[..., 1]
    assert x.shape[1:] == (length, 2)
    same(marks[:, : length // 2].sum(1), np.ones(len(x)), because="sums of ones and zeros")
    same(marks[:, length // 2 :].sum(1), np.ones(len(x)), because="sums of ones and zeros")
    assert np.all(marks.sum(0) > 0)  # each place is marked in some row
    np.testing.assert_allclose((values * marks).sum(1), y[:, 0], rtol=1e-6)
    assert np.mean((y - 1) ** 2) == pytest.approx(1 / 6, rel=0.1)


def test_deep_linear_data_come_from_a_matrix_of_condition_ten() -> None:
    task = load_task("deep_linear")
    x, y = arrays(task)
    found, residual, _, _ = np.linalg.lstsq(x, y.astype("float64"), rcond=None)
    assert residual.max() < 1e-9
    np.testing.assert_allclose(
        np.linalg.svd(found, compute_uv=False), np.logspace(0, -1, 16), rtol=1e-5
    )
    model = task.build()
    inputs = task.data.train.first(3)[0]
    product = torch.eye(16)
    for weight in model.parameters():
        product = weight @ product
    torch.testing.assert_close(model(inputs), inputs @ product.T)
    assert len(list(load_task("deep_linear", layers=2).build().parameters())) == 2


def test_the_matrix_has_the_rank_and_its_entries_are_enough() -> None:
    """Alternating least squares finds the entries kept for validation, at this rank, not below."""
    task = load_task("matrix_factorisation")
    (index, seen), (held_index, held) = arrays(task), arrays(task, "validation")
    i, j = index.astype(int).T
    pairs = {tuple(pair) for pair in [*index, *held_index]}
    assert len(pairs) == len(index) + len(held_index)
    assert 0.8 < seen.var() < 1.2
    assert als(i, j, seen, held_index.astype(int), held, rank=4) < 1e-8
    assert als(i, j, seen, held_index.astype(int), held, rank=3) > 1e-2


def als(
    i: np.ndarray, j: np.ndarray, seen: np.ndarray, at: np.ndarray, held: np.ndarray, rank: int
) -> float:
    rng = np.random.default_rng(0)
    left, right = rng.normal(size=(96, rank)), rng.normal(size=(64, rank))
    small = 1e-9 * np.eye(rank)
    for _ in range(60):
        for one, other, of, by in ((left, right, i, j), (right, left, j, i)):
            for row in range(len(one)):
                known = other[by[of == row]]
                one[row] = np.linalg.solve(known.T @ known + small, known.T @ seen[of == row])
    return float(np.mean((np.sum(left[at[:, 0]] * right[at[:, 1]], axis=1) - held) ** 2))


def test_factors_look_up_the_product() -> None:
    model = Factors(5, 4, 2)
    index = torch.tensor([[4, 0], [0, 3], [4, 0]])
    whole = model.left @ model.right.T
    torch.testing.assert_close(model(index), torch.stack([whole[4, 0], whole[0, 3], whole[4, 0]]))
