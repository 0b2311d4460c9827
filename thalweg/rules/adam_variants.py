"""Adam's kin: other scales under the same momentum, and other libraries' readings of Adam."""

from __future__ import annotations

import torch

from thalweg.engine import Scalar, rule

__all__ = [
    "adabelief",
    "adabound",
    "adam_hat",
    "amsgrad_hat",
    "amsgrad_paper",
    "amsgrad_unbiased",
    "laprop",
    "nadam_constant",
    "yogi",
]


@rule
def adabelief(g, m, s, *, t, beta1=0.9, beta2=0.999, eps=1e-16):
    """AdaBelief (Zhuang et al. 2020): Adam scaled by how far gradients stray from their mean.

        m ← β₁·m + (1 − β₁)·g                  m̂ = m / (1 − β₁ᵗ)
        s ← β₂·s + (1 − β₂)·(g − m)² + ε       ŝ = s / (1 − β₂ᵗ)
        update = m̂ / (√ŝ + ε)

    Paper: Zhuang et al. 2020, "AdaBelief Optimizer: Adapting Stepsizes by the Belief in Observed Gradients",
    algorithm 2, arXiv:2010.07468.
    Defaults: β₁ and β₂ of the paper; ε = 1e-16 of the authors' package, in the paper 1e-8.
    Use: instead of Adam; where gradients hardly change its steps are far longer than Adam's.
    Deviations: none. The authors' package also rectifies as RAdam does, unless told otherwise.
    """
    m = beta1 * m + (1 - beta1) * g
    s = beta2 * s + (1 - beta2) * (g - m) * (g - m) + eps
    m_hat = m / (1 - beta1**t)
    s_hat = s / (1 - beta2**t)
    return m_hat / (torch.sqrt(s_hat) + eps), m, s


@rule
def yogi(g, m, v, *, t, beta1=0.9, beta2=0.999, eps=1e-3, initial=1e-6, bias_correction=False):
    """Yogi (Zaheer et al. 2018): Adam whose scale changes by no more than a gradient's square at a step.

        m ← β₁·m + (1 − β₁)·g
        v ← v − (1 − β₂)·sign(v − g²)·g²       v starts at `initial`
        update = m / (√v + ε),  or m̂ / (√v̂ + ε) with `bias_correction`, as in Adam

    Adam forgets a large v within some 1/(1 − β₂) steps of small gradients, and its steps grow; Yogi forgets
    it slowly.

    Paper: Zaheer et al. 2018, "Adaptive Methods for Nonconvex Optimization", NeurIPS 2018, algorithm 2.
    Defaults: β₁, β₂ and ε = 1e-3 of the paper; `initial` = 1e-6 as in Optax.
    Use: when gradients are sparse or their scale jumps, and Adam becomes unstable.
    Deviations: v starts at a constant; the paper proposes squares of gradients of a first large batch. Optax
    has `bias_correction`, the paper has not.
    """
    v = torch.where(t == 1, initial, v)
    m = beta1 * m + (1 - beta1) * g
    v = v - (1 - beta2) * torch.sign(v - g * g) * g * g
    if bias_correction:
        return m / (1 - beta1**t) / (torch.sqrt(v / (1 - beta2**t)) + eps), m, v
    return m / (torch.sqrt(v) + eps), m, v


@rule
def laprop(g, m, v, *, t, beta1=0.9, beta2=0.999, eps=1e-15):
    """LaProp (Ziyin, Wang and Ueda 2020): Adam that scales each gradient before averaging.

        v ← β₂·v + (1 − β₂)·g²                 v̂ = v / (1 − β₂ᵗ)
        m ← β₁·m + (1 − β₁)·g / (√v̂ + ε)
        update = m / (1 − β₁ᵗ)

    Paper: Ziyin, Wang and Ueda 2020, "LaProp: Separating Momentum and Adaptivity in Adam", algorithm 1,
    arXiv:2002.04839.
    Defaults: β₁, β₂, ε of the authors' code.
    Use: instead of Adam where β₁ is large for β₂, as Adam then may diverge.
    Deviations: none at a constant learning rate. The authors' code keeps the learning rate inside m, so that
    a change of it takes effect over some 1/(1 − β₁) steps; here it takes effect at once.
    """
    v = beta2 * v + (1 - beta2) * g * g
    v_hat = v / (1 - beta2**t)
    m = beta1 * m + (1 - beta1) * g / (torch.sqrt(v_hat) + eps)
    return m / (1 - beta1**t), m, v


@rule(lr_inside=True)
def adabound(
    g,
    m,
    v,
    base_lr: Scalar = 0.0,
    *,
    t,
    lr,
    beta1=0.9,
    beta2=0.999,
    eps=1e-8,
    final_lr=0.1,
    gamma=1e-3,
):
    """AdaBound (Luo et al. 2019): Adam whose learning rates are clipped to bounds that close in on SGD's.

        m ← β₁·m + (1 − β₁)·g,   v ← β₂·v + (1 − β₂)·g²
        f = final_lr·lr/lr₁,                   lr₁ the first learning rate that is not 0
        rate = clamp(lr·√(1 − β₂ᵗ)/(1 − β₁ᵗ)/(√v + ε), f·(1 − 1/(γ·t + 1)), f·(1 + 1/(γ·t)))
        p ← p − rate·m

    It begins as Adam and ends as momentum with the learning rate `final_lr`.

    Paper: Luo et al. 2019, "Adaptive Gradient Methods with Dynamic Bound of Learning Rate", algorithm 2,
    arXiv:1902.09843.
    Defaults: of the authors' code; the paper's γ is 1 − β₂.
    Use: when Adam is quick at first and SGD ends better; `final_lr` then is SGD's learning rate, which must
    be known.
    Deviations: as the authors' code, and not as printed: Adam's bias corrections, no division by √t, and
    bounds that follow a schedule of lr. Their code takes lr₁ when the optimizer is made; here it is that of
    the parameter's first step that is not 0, so with a warm-up from a small one `final_lr` must be small too.
    """
    base_lr = torch.where(base_lr == 0, lr, base_lr)
    f = torch.where(base_lr > 0, final_lr * lr / base_lr, 0.0)
    lower = f * (1 - 1 / (gamma * t + 1))
    upper = f * (1 + 1 / (gamma * t))
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    rate = lr * torch.sqrt(1 - beta2**t) / (1 - beta1**t) / (torch.sqrt(v) + eps)
    return torch.clamp(rate, lower, upper) * m, m, v, base_lr


@rule
def nadam_constant(g, m, v, *, t, beta1=0.9, beta2=0.999, eps=1e-8, ahead=True):
    """NAdam with a constant momentum (Dozat 2016).

        m ← β₁·m + (1 − β₁)·g
        v ← β₂·v + (1 − β₂)·g²                 v̂ = v / (1 − β₂ᵗ)
        m̂ = β₁·m / (1 − β₁ᵗ⁺¹) + (1 − β₁)·g / (1 − β₁ᵗ)
        update = m̂ / (√v̂ + ε)

    Without `ahead` both terms of m̂ are divided by 1 − β₁ᵗ, which differs at the first steps only.

    Paper: Dozat 2016, "Incorporating Nesterov Momentum into Adam", ICLR 2016 workshop, algorithm 2.
    Defaults: β₁, β₂, ε of Adam.
    Use: instead of AdamW; NAdamW is the baseline of the AlgoPerf benchmark (Dahl et al. 2023).
    Deviations: β₁ stays constant, as in Optax; Dozat, and `nadam`, let it grow. AlgoPerf's code, and timm's,
    is the dialect "algoperf", which is without `ahead`.
    """
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    momentum = beta1 * m / (1 - beta1 ** (t + 1 if ahead else t))
    m_hat = momentum + (1 - beta1) * g / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    return m_hat / (torch.sqrt(v_hat) + eps), m, v


@rule
def amsgrad_unbiased(g, m, v, v_max, *, t, beta1=0.9, beta2=0.999, eps=1e-8):
    """AMSGrad that keeps the largest scale after its bias correction, as Optax reads it.

    m ← β₁·m + (1 − β₁)·g              m̂ = m / (1 − β₁ᵗ)
    v ← β₂·v + (1 − β₂)·g²             v̂ = v / (1 − β₂ᵗ)
    v_max ← max(v_max, v̂),  update = m̂ / (√v_max + ε)
    """
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    m_hat = m / (1 - beta1**t)
    v_max = torch.maximum(v_max, v / (1 - beta2**t))
    return m_hat / (torch.sqrt(v_max) + eps), m, v, v_max


@rule
def amsgrad_paper(g, m, v, v_max, *, beta1=0.9, beta2=0.999, eps=1e-8):
    """AMSGrad (Reddi, Kale and Kumar 2018, algorithm 2) as printed: without bias corrections.

    m ← β₁·m + (1 − β₁)·g
    v ← β₂·v + (1 − β₂)·g²
    v_max ← max(v_max, v),  update = m / (√v_max + ε)

    The ε, which the paper has not, keeps 0/0 away.
    """
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    v_max = torch.maximum(v_max, v)
    return m / (torch.sqrt(v_max) + eps), m, v, v_max


@rule
def adam_hat(g, m, v, *, t, beta1=0.9, beta2=0.999, eps=1e-7):
    """Adam with the ε of the end of its section 2, "epsilon hat" (Kingma and Ba 2015), as in Keras.

    m ← β₁·m + (1 − β₁)·g
    v ← β₂·v + (1 − β₂)·g²
    update = √(1 − β₂ᵗ)/(1 − β₁ᵗ) · m / (√v + ε)

    The ε of `adam` is added to √v̂ and so weighs less at the first steps: there ε̂ = ε·√(1 − β₂ᵗ).
    """
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    scale = torch.sqrt(1 - beta2**t) / (1 - beta1**t)
    return scale * m / (torch.sqrt(v) + eps), m, v


@rule
def amsgrad_hat(g, m, v, v_max, *, t, beta1=0.9, beta2=0.999, eps=1e-7):
    """AMSGrad with ε before the bias correction, as in Keras.

    m ← β₁·m + (1 − β₁)·g
    v ← β₂·v + (1 − β₂)·g²
    v_max ← max(v_max, v),  update = √(1 − β₂ᵗ)/(1 − β₁ᵗ) · m / (√v_max + ε)
    """
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    v_max = torch.maximum(v_max, v)
    scale = torch.sqrt(1 - beta2**t) / (1 - beta1**t)
    return scale * m / (torch.sqrt(v_max) + eps), m, v, v_max
