"""What other libraries compute where it is not ours: each deviation as an equation.

The rules are for the runs of this folder alone: the options of those runs are their defaults.
"""

from __future__ import annotations

import math

import torch

from thalweg.engine import Scalar, dimensions, norm, rule, total

from .problem import STEPS, rate

# -- Adam and its kin ---------------------------------------------------------------------------------


@rule
def adam_root(g, m, v, *, t, beta1=0.9, beta2=0.999, eps=1e-3):
    m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g * g
    return m / (1 - beta1**t) / torch.sqrt(v / (1 - beta2**t) + eps), m, v


@rule
def yogi_both_start(g, m, v, *, t, beta1=0.9, beta2=0.999, eps=1e-3, initial=1e-6):
    m, v = torch.where(t == 1, initial, m), torch.where(t == 1, initial, v)
    m, v = beta1 * m + (1 - beta1) * g, v - (1 - beta2) * torch.sign(v - g * g) * g * g
    return m / (1 - beta1**t) / (torch.sqrt(v / (1 - beta2**t)) + eps), m, v


@rule(lr_inside=True)
def laprop_gathering(
    g, m, v, rates: Scalar = 0.0, *, t, lr, beta1=0.9, beta2=0.999, eps=1e-3, hat=False
):
    v = beta2 * v + (1 - beta2) * g * g
    root = torch.sqrt(1 - beta2**t)
    scale = (torch.sqrt(v + 1e-15) + eps) / root if hat else torch.sqrt(v) / root + eps
    m = beta1 * m + (1 - beta1) * lr * g / scale
    rates = beta1 * rates + (1 - beta1) * lr
    return m * lr / rates, m, v, rates


@rule
def adopt_clipping_to_t(g, m, v, *, t, beta1=0.9, beta2=0.99, eps=1e-6):
    c = t**0.25
    n = torch.clamp(g / torch.clamp(torch.sqrt(v), min=eps), -c, c)
    m = torch.where(t == 1, 0.0, beta1 * m + (1 - beta1) * n)
    return m, m, torch.where(t == 1, g * g, beta2 * v + (1 - beta2) * g * g)


@rule(after_step=True)
def decay_from_second(x, p, *, t, lr, weight_decay=0.1):
    return torch.where(t == 1, x, x - lr * weight_decay * p)


@rule
def adabelief_rectified(g, m, s, *, t, beta1=0.9, beta2=0.999, eps=1e-4):
    m = beta1 * m + (1 - beta1) * g
    s = beta2 * s + (1 - beta2) * (g - m) * (g - m) + eps
    most = 2 / (1 - beta2) - 1
    rho = most - 2 * t * beta2**t / (1 - beta2**t)
    r = torch.sqrt((rho - 4) * (rho - 2) * most / ((most - 4) * (most - 2) * rho))
    scale = r * torch.sqrt(1 - beta2**t) / (torch.sqrt(s) + eps)
    return m / (1 - beta1**t) * torch.where(rho >= 5, scale, 1.0), m, s


@rule
def adan_weighted(g, previous, m, v, n, *, t, beta1=0.98, beta2=0.92, beta3=0.99, eps=1e-8):
    d = torch.where(t == 1, 0.0, g - previous)
    m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * d
    ahead = g + (1 - beta2) * d
    n = beta3 * n + (1 - beta3) * ahead * ahead
    update = m / (1 - beta1**t) + (1 - beta2) * v / (1 - beta2**t)
    return update / (torch.sqrt(n / (1 - beta3**t)) + eps), g, m, v, n


@rule
def adan_late(g, previous, m, v, n, *, t, beta1=0.98, beta2=0.92, beta3=0.99, eps=1e-8):
    d = g - previous
    ahead = g + beta2 * d
    m = torch.where(t == 1, 0.0, beta1 * m + (1 - beta1) * g)
    v = torch.where(t == 1, 0.0, beta2 * v + (1 - beta2) * d)
    n = torch.where(t == 1, 0.0, beta3 * n + (1 - beta3) * ahead * ahead)
    update = m / (1 - beta1**t) + beta2 * v / (1 - beta2**t)
    return update / (torch.sqrt(n / (1 - beta3**t)) + eps), g, m, v, n


@rule
def mars_from_zero(g, previous, m, v, *, t, beta1=0.95, beta2=0.99, gamma=0.025, eps=1e-8):
    c = g + gamma * beta1 / (1 - beta1) * (g - previous)
    c = c / torch.clamp(norm(c), min=1.0)
    m, v = beta1 * m + (1 - beta1) * c, beta2 * v + (1 - beta2) * c * c
    hat = torch.sqrt(1 - beta2**t) / (1 - beta1**t)
    return hat * m / (torch.sqrt(v + 1e-15) + eps), g, m, v


@rule
def mars_of_matrices(g, previous, m, v, *, t, beta1=0.95, beta2=0.99, gamma=0.025, eps=1e-8):
    corrected = torch.where(t == 1, g, g + gamma * beta1 / (1 - beta1) * (g - previous))
    c = torch.where(dimensions(g) > 1, corrected / torch.clamp(norm(corrected), min=1.0), g)
    m, v = beta1 * m + (1 - beta1) * c, beta2 * v + (1 - beta2) * c * c
    return m / (1 - beta1**t) / (torch.sqrt(v / (1 - beta2**t)) + eps), g, m, v


# -- norms and masks ----------------------------------------------------------------------------------


@rule
def cautious_by_mean(u, gradient):
    mask = torch.where(u * gradient > 0, 1.0, 0.0)
    return u * mask / torch.clamp(total(mask) / u.numel(), min=1e-3)


@rule
def lars_jointly(g, p, *, weight_decay=0.1, trust_coefficient=0.05):
    u = g + weight_decay * p
    return trust_coefficient * norm(p) / norm(u) * u


@rule
def lars_of_matrices(g, p, *, weight_decay=0.1, trust_coefficient=0.05):
    ratio = trust_coefficient * norm(p) / (norm(g) + weight_decay * norm(p))
    return torch.where(dimensions(g) > 1, ratio * (g + weight_decay * p), g)


@rule
def lamb_clamped(g, p, m, v, *, t, beta1=0.9, beta2=0.999, eps=1e-6, weight_decay=0.1):
    m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g * g
    u = m / (torch.sqrt(v) + eps) + weight_decay * p
    return u * torch.clamp(norm(p), max=10.0) / (norm(u) + eps) / (1 - beta1**t), m, v


@rule(lr_inside=True)
def decayed_trust_ratio(u, p, *, lr, weight_decay=0.1):
    decayed = (1 - lr * weight_decay) * p
    return lr * weight_decay * p + lr * norm(decayed) / norm(u) * u


@rule(after_step=True)
def lookahead_late(x, slow, *, t, every=3, alpha=0.4):
    slow = torch.where(t == every, x, slow)
    now = t % every == 0
    slow = torch.where(now, slow + alpha * (x - slow), slow)
    return torch.where(now, slow, x), slow


# -- free of a learning rate --------------------------------------------------------------------------


@rule(lr_inside=True)
def prodigy_of_authors(
    g,
    p,
    start,
    m,
    v,
    s,
    d: Scalar = 0.0,
    r: Scalar = 0.0,
    d_max: Scalar = 0.0,
    *,
    t,
    lr,
    eps=1e-30,
    growth_rate=math.inf,
    weight_decay=0.0,
    corrected=False,
):
    beta1, beta2, beta3, d0 = 0.9, 0.999, math.sqrt(0.999), 1e-2
    start, d = torch.where(t == 1, p, start), torch.where(t == 1, d0, d)
    m, v = beta1 * m + (1 - beta1) * d * g, beta2 * v + (1 - beta2) * d * d * g * g
    if corrected:
        lr = lr * torch.sqrt(1 - beta2**t) / (1 - beta1**t)
    r = beta3 * r + lr * d * d * total(g * (start - p), scope="all")
    s = beta3 * s + lr * d * d * g
    d_hat = r / total(torch.abs(s), scope="all")
    d_max = torch.maximum(torch.where(t == 1, d0, d_max), d_hat)
    grown = torch.where(d == d0, torch.maximum(d, d_hat), d)
    new = torch.minimum(d_max, grown * growth_rate)
    step = lr * d * (m / (torch.sqrt(v) + new * eps) + weight_decay * p)
    return step, start, m, v, s, new, r, d_max


@rule(lr_inside=True)
def d_adapt_by_older_v(
    g,
    p,
    m,
    v,
    s,
    d: Scalar = 0.0,
    r: Scalar = 0.0,
    *,
    t,
    lr,
    beta1=0.9,
    beta2=0.999,
    growth_rate=math.inf,
    weight_decay=0.0,
    corrected=False,
):
    eps, d0, beta3 = 1e-8, 1e-2, torch.sqrt(beta2)
    d = torch.where(t == 1, d0, d)
    if corrected:
        lr = lr * torch.sqrt(1 - beta2**t) / (1 - beta1**t)
    r = beta3 * r + (1 - beta3) * d * lr * total(g * s / (torch.sqrt(v) + eps), scope="all")
    m, v = beta1 * m + (1 - beta1) * d * lr * g, beta2 * v + (1 - beta2) * g * g
    s = beta3 * s + (1 - beta3) * d * lr * g
    d_hat = r / ((1 - beta3) * total(torch.abs(s), scope="all"))
    new = torch.maximum(d, torch.minimum(d_hat, growth_rate * d))
    step = m / (torch.sqrt(v) + eps) + d * lr * weight_decay * p
    return step, m, v, s, new, r


@rule(lr_inside=True)
def schedule_free_ahead(u, p, z, weights: Scalar = 0.0, most: Scalar = 0.0, *, t, lr, beta=0.9):
    z = torch.where(t == 1, p, z)
    later = lr
    for step in range(1, STEPS + 1):
        ratio = rate(step + 1, 1.0, "changing") / rate(step, 1.0, "changing")
        later = torch.where(t == step, lr * ratio, later)
    most = torch.maximum(most, later)
    weights = weights + most**2
    c = most**2 / weights
    return c * (p - z) + lr * (1 - beta * (1 - c)) * u, z - lr * u, weights, most


@schedule_free_ahead.evaluated_at
def _(p, z, beta):
    return p + (1 - 1 / beta) * (z - p)
