"""Adafactor, Shampoo and SOAP, from their papers: second moments of rows and columns."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from ..reference import Array, State, Step
from .decay import decayed


def rms(x: Array) -> float:
    """Root of the mean square."""
    return float(np.sqrt(np.mean(np.square(x)))) if x.size else 0.0


def adafactor_step(
    w: Array,
    g: Array,
    s: State,
    *,
    t: int,
    lr: float,
    beta2_decay: float = -0.8,
    eps: tuple[float | None, float] = (None, 1e-3),
    d: float = 1.0,
    beta1: float = 0.0,
    inside: bool = False,
    constant: bool = False,
) -> Array:
    """Shazeer & Stern 2018, algorithm 4 (matrices) and 5 (vectors), relative steps of section 8."""
    least = eps[0] if eps[0] is not None else 1e-30 if inside else float(np.finfo(np.float64).eps)
    beta2 = 1.0 - t**beta2_decay
    square = g * g + least if inside else g * g
    if w.ndim < 2:
        v = s["v"] = beta2 * s.get("v", 0.0) + (1.0 - beta2) * square
    else:
        rows, columns = np.mean(square, axis=-1, keepdims=True), np.mean(square, -2, keepdims=True)
        r = s["r"] = beta2 * s.get("r", 0.0) + (1.0 - beta2) * rows
        c = s["c"] = beta2 * s.get("c", 0.0) + (1.0 - beta2) * columns
        whole = np.mean(r, axis=-2, keepdims=True)
        v = r * c / (whole if inside else np.maximum(whole, least))
    u = g / np.sqrt(v if inside else np.maximum(v, least * least))
    u = u / max(1.0, rms(u) / d)
    rho = lr if constant else min(lr, 1.0 / np.sqrt(t))
    step = max(eps[1], rms(w)) * rho * u
    if beta1:
        step = s["m"] = beta1 * s.get("m", 0.0) + (1.0 - beta1) * step
    return np.asarray(w - step)


@decayed("decoupled")
def adafactor(
    w: Array,
    g: Array,
    s: State,
    *,
    t: int,
    lr: float,
    beta2_decay: float = -0.8,
    eps: tuple[float | None, float] = (None, 1e-3),
    d: float = 1.0,
    beta1: float = 0.0,
) -> Array:
    """PyTorch's: ε₁ bounds the scale from below."""
    options: dict[str, Any] = {"beta2_decay": beta2_decay, "eps": eps, "d": d, "beta1": beta1}
    return adafactor_step(w, g, s, t=t, lr=lr, **options)


@decayed("decoupled")
def adafactor_paper(
    w: Array,
    g: Array,
    s: State,
    *,
    t: int,
    lr: float,
    beta2_decay: float = -0.8,
    eps: tuple[float | None, float] = (None, 1e-3),
    d: float = 1.0,
    beta1: float = 0.0,
) -> Array:
    """The paper's: ε₁ is added to g²."""
    options: dict[str, Any] = {"beta2_decay": beta2_decay, "eps": eps, "d": d, "beta1": beta1}
    return adafactor_step(w, g, s, t=t, lr=lr, inside=True, **options)


@decayed("decoupled")
def adafactor_optax(
    w: Array,
    g: Array,
    s: State,
    *,
    t: int,
    lr: float,
    beta2_decay: float = -0.8,
    eps: tuple[float | None, float] = (None, 1e-3),
    d: float = 1.0,
    beta1: float = 0.0,
) -> Array:
    """Optax': the paper's ε₁, and a rate that does not fall by itself."""
    options: dict[str, Any] = {"beta2_decay": beta2_decay, "eps": eps, "d": d, "beta1": beta1}
    return adafactor_step(w, g, s, t=t, lr=lr, inside=True, constant=True, **options)


def as_matrix(x: Array) -> Array:
    """See an array as a matrix: its first dimension by the rest."""
    return x.reshape(x.shape[0] if x.ndim else 1, -1) if x.size else x.reshape(0, 1)


def eigenvectors(a: Array) -> Array:
    """Eigenvectors as columns, that of the largest eigenvalue first."""
    return np.asarray(np.linalg.eigh(a)[1][:, ::-1])


def sides_of(w: Array, x: Array, max_dim: float, precondition_1d: bool) -> list[int]:
    """Return which sides of a matrix have a matrix of their own."""
    has = w.ndim > 1 or precondition_1d
    return [k for k, n in enumerate(x.shape) if has and 1 < n <= max_dim]


def turned(y: Array, q: dict[int, Array], back: bool = False) -> Array:
    """Turn into the bases, or back; a side without one keeps the identity, too large for a matrix."""
    left, right = q.get(0), q.get(1)
    if left is not None:
        y = (left if back else left.T) @ y
    if right is not None:
        y = y @ (right.T if back else right)
    return np.asarray(y)


@decayed("decoupled")
def soap(
    w: Array,
    g: Array,
    s: State,
    *,
    t: int,
    lr: float,
    betas: tuple[float, float] = (0.95, 0.95),
    eps: float = 1e-8,
    every: int = 10,
    shampoo_beta: float = -1.0,
    correct_bias: bool = True,
    normalize_grads: bool = False,
    max_dim: float = 10_000,
    precondition_1d: bool = False,
) -> Array:
    """Vyas et al. 2024, algorithms 3 and 4; bases are the identity in step 1, then eigenvectors.

    After step 1 V is what it would be in the eigenvectors.
    """
    b1, b2 = betas
    b = shampoo_beta if shampoo_beta >= 0 else b2
    x = as_matrix(g)
    sides = sides_of(w, x, max_dim, precondition_1d)
    q = {k: s.get(f"q{k}", np.eye(x.shape[k])) for k in sides}
    m = s["m"] = b1 * s.get("m", 0.0) + (1.0 - b1) * x
    v = s["v"] = b2 * s.get("v", 0.0) + (1.0 - b2) * turned(x, q) ** 2
    c1, c2 = (1.0 - b1**t, 1.0 - b2**t) if correct_bias else (1.0, 1.0)
    n = turned(m, q) / c1 / (np.sqrt(v / c2) + eps)
    update = turned(n, q, back=True)
    if normalize_grads:
        update = update / rms(update)
    for k in sides:
        product = x @ x.T if k == 0 else x.T @ x
        a = s[f"a{k}"] = b * s.get(f"a{k}", 0.0) + (1.0 - b) * product
        if t == 1:
            s[f"q{k}"] = eigenvectors(a)
            q[k] = s[f"q{k}"]
        elif t % every == 0:
            s[f"q{k}"] = np.linalg.qr(a @ q[k])[0]
    if t == 1:
        s["v"] = (1.0 - b2) * turned(x, q) ** 2
    return np.asarray(w - lr * update.reshape(w.shape))


@decayed("decoupled")
def soap_of_authors(
    w: Array,
    g: Array,
    s: State,
    *,
    t: int,
    lr: float,
    betas: tuple[float, float] = (0.95, 0.95),
    eps: float = 1e-8,
    every: int = 10,
    shampoo_beta: float = -1.0,
    correct_bias: bool = True,
    normalize_grads: bool = False,
    max_dim: float = 10_000,
    precondition_1d: bool = False,
) -> Array:
    """nikhilvyas/SOAP at f42d296: the momentum is kept in the bases, and turned out of them and back."""
    b1, b2 = betas
    b = shampoo_beta if shampoo_beta >= 0 else b2
    x, step = as_matrix(g), t - 1
    sides = sides_of(w, x, max_dim, precondition_1d)
    products = {k: x @ x.T if k == 0 else x.T @ x for k in sides}
    if step == 0:
        s["m"], s["v"] = np.zeros_like(x), np.zeros_like(x)
        s["a"] = {k: (1.0 - b) * products[k] for k in sides}
        s["q"] = {k: eigenvectors(s["a"][k]) for k in sides}
        return w
    q, a = s["q"], s["a"]
    g_in = turned(x, q)
    m = b1 * s["m"] + (1.0 - b1) * g_in
    v = b2 * s["v"] + (1.0 - b2) * g_in**2
    size = lr
    if correct_bias:
        size = lr * np.sqrt(1.0 - b2**step) / (1.0 - b1**step)
    update = turned(m / (np.sqrt(v) + eps), q, back=True)
    if normalize_grads:
        update = update / (1e-30 + rms(update))
    m = turned(m, q, back=True)
    for k in sides:
        a[k] = b * a[k] + (1.0 - b) * products[k]
        if step % every == 0:
            order = np.argsort(-np.diag(q[k].T @ a[k] @ q[k]))
            v = np.take(v, order, axis=k)
            q[k] = np.linalg.qr(a[k] @ q[k][:, order])[0]
    s["m"], s["v"] = turned(m, q), v
    return np.asarray(w - size * update.reshape(w.shape))


def inverse_root(a: Array, exponent: float, eps: float) -> Array:
    """Return (a + ε·‖a‖·I)^(−exponent)."""
    values, vectors = np.linalg.eigh(a + eps * np.linalg.norm(a) * np.eye(len(a)))
    return np.asarray((vectors * values**-exponent) @ vectors.T)


@decayed("decoupled")
def shampoo(
    w: Array,
    g: Array,
    s: State,
    *,
    t: int,
    lr: float,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-6,
    every: int = 10,
    exponent: float = 0.25,
    graft_eps: float = 1e-8,
    grafting: str = "adam",
    newton: bool = False,
    sums: bool = False,
    max_dim: float = 2048,
) -> Array:
    """Gupta et al. 2018, algorithm 1, with averages, grafting and intervals of Shi et al. 2023."""
    b1, b2 = betas
    x = as_matrix(g)
    sides = [k for k, n in enumerate(x.shape) if w.ndim > 1 and 1 < n <= max_dim]
    power = exponent if len(sides) == 2 else 2.0 * exponent
    m = s["m"] = b1 * s.get("m", 0.0) + (1.0 - b1) * x
    v = s["v"] = b2 * s.get("v", 0.0) + (1.0 - b2) * x**2
    mean = m / (1.0 - b1**t)
    grafted = mean
    if grafting == "adam":
        grafted = mean / (np.sqrt(v / (1.0 - b2**t)) + graft_eps)
    direction = mean
    for k in sides:
        product = x @ x.T if k == 0 else x.T @ x
        if sums:
            a = s[f"a{k}"] = s.get(f"a{k}", eps * np.eye(x.shape[k])) + product
        else:
            a = s[f"a{k}"] = b2 * s.get(f"a{k}", 0.0) + (1.0 - b2) * product
        if t % every == 0:
            s[f"x{k}"] = inverse_root(a, power, 0.0 if sums else eps)
        root = s.get(f"x{k}", np.zeros_like(a))
        direction = root @ direction if k == 0 else direction @ root
    if not sides or not np.any(direction):
        return np.asarray(w - lr * grafted.reshape(w.shape))
    if grafting != "none":
        direction = direction * (np.linalg.norm(grafted) / np.linalg.norm(direction))
    return np.asarray(w - lr * direction.reshape(w.shape))


def in_blocks(step: Step) -> Step:
    """Step the blocks of a matrix each as a matrix of its own: the fewest, as equal as they can be."""

    @functools.wraps(step)
    def wrapped(
        w: Array, g: Array, s: State, *, block_size: float = math.inf, **options: Any
    ) -> Array:
        x, y = as_matrix(w), as_matrix(g)
        if w.ndim < 2 or min(x.shape) < 2 or max(x.shape) <= block_size:
            return step(w, g, s, **options)
        rows, columns = (np.array_split(np.arange(n), math.ceil(n / block_size)) for n in x.shape)
        found = np.empty_like(x)
        for r in rows:
            for c in columns:
                at = np.ix_(r, c)
                own = s.setdefault(f"block {r[0]} {c[0]}", State())
                found[at] = step(x[at], y[at], own, **options)
        return found.reshape(w.shape)

    wrapped.options = {**getattr(step, "options", {}), "block_size": math.inf}
    return wrapped
