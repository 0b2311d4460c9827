"""Change one import of a PyTorch program, and nothing else: same numbers, same checkpoints, faster.

python examples/drop_in.py
"""

from __future__ import annotations

import torch
from torch import nn

from thalweg import optim


def train(adam: type[torch.optim.Adam]) -> tuple[nn.Module, torch.optim.Adam]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 1)).double()
    x = torch.randn(256, 8, dtype=torch.float64)
    y = x[:, :1] * x[:, 1:2]
    optimizer = adam(model.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=100)
    for _ in range(100):
        optimizer.zero_grad()
        nn.functional.mse_loss(model(x), y).backward()
        optimizer.step()
        schedule.step()
    return model, optimizer


def main() -> None:
    model, optimizer = train(optim.Adam)
    reference, _ = train(torch.optim.Adam)
    pairs = zip(model.parameters(), reference.parameters(), strict=True)
    gap = max(float((a - b).detach().abs().max()) for a, b in pairs)
    print(f"after 100 steps the parameters differ from torch.optim.Adam's by {gap:.1e}")
    print(optimizer.plan())
    if gap > 1e-12:
        raise SystemExit("the two runs should be the same")


if __name__ == "__main__":
    main()
