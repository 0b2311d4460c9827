"""Rules with matrix functions, and what they compute by NumPy, as the papers write it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

import thalweg
from thalweg import ColumnsByColumns, EachColumn, EachRow, RowsByRows, gram, gram_of_columns, rule
from thalweg.engine import mean_of_columns, mean_of_rows

Array = np.ndarray[Any, np.dtype[np.float64]]


@thalweg.matrix_function
def polar(x: Tensor) -> Tensor:
    """The nearest matrix with orthonormal rows or columns."""
    u, _, v = torch.linalg.svd(x, full_matrices=False)
    return torch.matmul(u, v)


@thalweg.matrix_function
def inverse_root(x: Tensor, order: float, eps: float) -> Tensor:
    """A root of a symmetric matrix, inverted."""
    values, vectors = torch.linalg.eigh(x)
    powers: Tensor = (values.clamp(min=0.0) + eps) ** (-1 / order)
    return torch.matmul(vectors * powers.unsqueeze(-2), vectors.mT)


@rule
def nearest(g: Any, m: Any, *, momentum: float = 0.9) -> Any:
    m = momentum * m + (1 - momentum) * g
    return 0.2 * polar(m), m


@rule
def roots(
    g: Any, L: RowsByRows, R: ColumnsByColumns, *, t: Any, beta: float = 0.9, eps: float = 1e-3
) -> Any:
    L = beta * L + (1 - beta) * gram(g)
    R = torch.where(t == 1, gram_of_columns(g), beta * R + (1 - beta) * gram_of_columns(g))
    return inverse_root(L, 4, eps) @ g @ inverse_root(R, 4, eps), L, R


@rule
def factored(
    g: Any,
    p: Any,
    r: EachRow,
    c: EachColumn,
    *,
    beta: float = 0.9,
    eps: float = 1e-6,
    least: float = 1e-3,
) -> Any:
    squares = g * g + eps
    r = beta * r + (1 - beta) * mean_of_rows(squares)
    c = beta * c + (1 - beta) * mean_of_columns(squares)
    update = g / torch.sqrt(r * c / thalweg.mean(r))
    update = update / torch.clamp(thalweg.norm(update), min=1.0)
    return torch.clamp(thalweg.norm(p), min=least) * update, r, c


def _power(x: Array, power: float, eps: float) -> Array:
    values, vectors = np.linalg.eigh(x)
    return np.asarray((vectors * (np.maximum(values, 0.0) + eps) ** power) @ vectors.T)


def nearest_by_numpy(p: Array, gradients: list[Array], lr: float) -> tuple[Array, list[Array]]:
    m = np.zeros_like(p)
    for g in gradients:
        m = 0.9 * m + (1 - 0.9) * g
        u, _, v = np.linalg.svd(m, full_matrices=False)
        p = p - lr * 0.2 * (u @ v)
    return p, [m]


def roots_by_numpy(p: Array, gradients: list[Array], lr: float) -> tuple[Array, list[Array]]:
    rows, columns = p.shape
    left, right = np.zeros((rows, rows)), np.zeros((columns, columns))
    for k, g in enumerate(gradients):
        left = 0.9 * left + (1 - 0.9) * (g @ g.T)
        right = g.T @ g if k == 0 else 0.9 * right + (1 - 0.9) * (g.T @ g)
        p = p - lr * _power(left, -1 / 4, 1e-3) @ g @ _power(right, -1 / 4, 1e-3)
    return p, [left, right]


def factored_by_numpy(p: Array, gradients: list[Array], lr: float) -> tuple[Array, list[Array]]:
    r, c = np.zeros((p.shape[0], 1)), np.zeros((1, p.shape[1]))
    for g in gradients:
        squares = g * g + 1e-6
        r = 0.9 * r + (1 - 0.9) * squares.mean(1, keepdims=True)
        c = 0.9 * c + (1 - 0.9) * squares.mean(0, keepdims=True)
        update = g / np.sqrt(r * c / r.mean())
        update = update / max(1.0, float(np.sqrt((update * update).sum())))
        p = p - lr * max(1e-3, float(np.linalg.norm(p))) * update
    return p, [r, c]


BY_NUMPY = {
    nearest: nearest_by_numpy,
    roots: roots_by_numpy,
    factored: factored_by_numpy,
}
