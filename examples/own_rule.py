"""An optimizer of your own: write the update as its equation, and it is fused.

Lion (Chen et al. 2023) keeps one state, the momentum m, and steps by a sign. A chain then gives it a global
clip before and decoupled weight decay after.

    python examples/own_rule.py
"""

from __future__ import annotations

import torch
from torch import nn

from thalweg import Optimizer, chain, rule
from thalweg.rules import clip_by_global_norm, decay


@rule
def lion(g, m, *, beta1=0.9, beta2=0.99):
    """Lion (Chen et al. 2023, algorithm 2): update = sign(β₁·m + (1 − β₁)·g)."""
    update = torch.sign(beta1 * m + (1 - beta1) * g)
    m = beta2 * m + (1 - beta2) * g
    return update, m


def main() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 1))
    x = torch.randn(512, 8)
    y = torch.sin(x[:, :1]) + x[:, 1:2] ** 2
    optimizer = Optimizer(model, chain(clip_by_global_norm(1.0), lion(), decay(0.01)), lr=3e-3)
    losses = []
    for _ in range(300):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    print(f"loss {losses[0]:.3f} at the first step, {losses[-1]:.3f} at the last")
    print(optimizer.plan())
    # the same rule by hand, on one tensor, with nothing hidden
    w, state = torch.ones(1), chain(lion()).init(torch.ones(1))
    for _ in range(3):
        w, state = chain(lion()).step(w, 2 * w, state, lr=0.1)
    print(f"three steps down w² from 1: {float(w):.1f}")
    if not losses[-1] < 0.1 * losses[0]:
        raise SystemExit("the model should have learned")


if __name__ == "__main__":
    main()
