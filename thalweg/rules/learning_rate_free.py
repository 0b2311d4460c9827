"""Learning-rate-free descent: the step size is estimated from the distance travelled, or from gradients."""

from __future__ import annotations

import math

import torch

from thalweg.engine import Scalar, norm, rule, total
from thalweg.engine.program.reductions import Scope

__all__ = ["d_adapt_adam", "dog", "prodigy"]


@rule
def dog(
    g,
    p,
    start,
    distance: Scalar = 0.0,
    squares: Scalar = 0.0,
    *,
    t,
    relative=1e-6,
    eps=1e-8,
    layerwise=False,
):
    """DoG (Ivgi, Hinder and Carmon 2023): the distance from the start over the gradients so far.

        squares ← squares + ‖g‖²
        distance ← max(distance, ‖p − p₁‖),    relative·(1 + ‖p₁‖) at the first step
        update = distance / √(squares + ε) · g

    Norms are over all tensors, or of each tensor with `layerwise`, which is LDoG.

    Paper: Ivgi, Hinder and Carmon 2023, "DoG is SGD's Best Friend: A Parameter-Free Dynamic Step Size
    Schedule", arXiv:2302.12022.
    Defaults: lr = 1, `relative` and ε of the authors' code, which advises 1e-4 for models with batch
    normalization.
    Use: for fine-tuning and for SGD without a search for its learning rate, together with an average of the
    points, which the paper evaluates (there with polynomial weights); not where Adam is needed.
    Deviations: the authors' code takes the norms over one parameter group; here they are over all.
    """
    scope: Scope = "tensor" if layerwise else "all"
    start = torch.where(t == 1, p, start)
    squares = squares + total(g * g, scope=scope)
    first = relative * (1 + norm(start, scope=scope))
    distance = torch.where(t == 1, first, torch.maximum(distance, norm(p - start, scope=scope)))
    return distance / torch.sqrt(squares + eps) * g, start, distance, squares


@rule
def prodigy(
    g,
    p,
    start,
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
    eps=1e-8,
    d0=1e-6,
    d_coef=1.0,
    growth_rate=math.inf,
    weight_decay=0.0,
):
    """Prodigy (Mishchenko and Defazio 2023): Adam that estimates the distance to the solution as it goes.

        m ← β₁·m + (1 − β₁)·d·g
        v ← β₂·v + (1 − β₂)·d²·g²
        r ← √β₂·r + (1 − √β₂)·lr·d²·⟨g, p₁ − p⟩
        s ← √β₂·s + (1 − √β₂)·lr·d²·g
        update = d·m / (√v + d·ε) + d·λ·p
        d ← max(d, min(d_coef·r/‖s‖₁, growth_rate·d)),    d₀ at first

    ⟨·,·⟩ and ‖·‖₁ are over all tensors. The estimate d of the distance only grows; it takes the place of the
    learning rate.

    Paper: Mishchenko and Defazio 2023, "Prodigy: An Expeditiously Adaptive Parameter-Free Learner",
    algorithm 4, arXiv:2306.06101.
    Defaults: of the paper and of the authors' package; lr = 1, to be scheduled (the paper anneals it by a
    cosine). To tune it, change `d_coef`.
    Use: when Adam would do and its learning rate is not known; it keeps four states, Adam two.
    Deviations: as printed, the present step uses d as it was; the authors' package uses the new d in d·ε.
    With `growth_rate` their package may let the first estimate jump and grow later towards an estimate of
    before. A parameter whose first gradient comes later starts from d₀.
    """
    start = torch.where(t == 1, p, start)
    d = torch.where(t == 1, d0, d)
    beta3 = torch.sqrt(beta2)
    m = beta1 * m + (1 - beta1) * d * g
    v = beta2 * v + (1 - beta2) * d * d * g * g
    # lr within the sum, so that groups of different lr agree on one r, and so on one d
    r = beta3 * r + (1 - beta3) * d * d * total(lr * g * (start - p), scope="all")
    s = beta3 * s + (1 - beta3) * lr * d * d * g
    update = d * m / (torch.sqrt(v) + d * eps) + d * weight_decay * p
    length = total(torch.abs(s), scope="all")
    d_hat = torch.where(length > 0, d_coef * r / length, d)
    d = torch.maximum(d, torch.minimum(d_hat, growth_rate * d))
    return update, start, m, v, s, d, r


@rule(lr_inside=True)
def d_adapt_adam(
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
    eps=1e-8,
    d0=1e-6,
    growth_rate=math.inf,
    weight_decay=0.0,
):
    """D-Adapted Adam (Defazio and Mishchenko 2023): Adam with a lower bound on the distance as its rate.

        m ← β₁·m + (1 − β₁)·d·lr·g
        v ← β₂·v + (1 − β₂)·g²
        r ← √β₂·r + (1 − √β₂)·d·lr·⟨g, s / (√v + ε)⟩
        s ← √β₂·s + (1 − √β₂)·d·lr·g
        p ← p − m / (√v + ε) − d·lr·λ·p
        d ← max(d, min(r / ((1 − √β₂)·‖s‖₁), growth_rate·d)),    d₀ at first

    ⟨·,·⟩ and ‖·‖₁ are over all tensors, and s in ⟨·,·⟩ is that of before.

    Paper: Defazio and Mishchenko 2023, "Learning-Rate-Free Learning by D-Adaptation", algorithm 5,
    arXiv:2301.07733.
    Defaults: of the authors' package; lr = 1, to be scheduled.
    Use: when Adam would do and its learning rate is not known; Prodigy, of the same authors, adapts faster.
    Deviations: as printed, ⟨·,·⟩ is scaled by the new v; the authors' package takes v of before. A parameter
    whose first gradient comes later starts from d₀.
    """
    d = torch.where(t == 1, d0, d)
    beta3 = torch.sqrt(beta2)
    m = beta1 * m + (1 - beta1) * d * lr * g
    v = beta2 * v + (1 - beta2) * g * g
    scale = torch.sqrt(v) + eps
    step = m / scale + d * lr * weight_decay * p
    # lr within the sum, so that groups of different lr agree on one r, and so on one d
    r = beta3 * r + (1 - beta3) * d * total(lr * g * s / scale, scope="all")
    s = beta3 * s + (1 - beta3) * d * lr * g
    length = total(torch.abs(s), scope="all")
    d_hat = torch.where(length > 0, r / ((1 - beta3) * length), d)
    d = torch.maximum(d, torch.minimum(d_hat, growth_rate * d))
    return step, m, v, s, d, r
