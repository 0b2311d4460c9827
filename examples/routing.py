"""One optimizer for a whole model: Muon for hidden matrices, AdamW for the rest.

python examples/routing.py
"""

from __future__ import annotations

import torch
from torch import nn

from thalweg import Optimizer, chain, load_task, route
from thalweg.rules import clip_by_global_norm, decay, muon
from thalweg.rules.adam import adamw
from thalweg.schedules import cosine

STEPS = 200


def main() -> None:
    task = load_task("digits")
    torch.manual_seed(0)
    model = nn.Sequential(
        *(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    )
    routes = route(
        hidden=chain(muon(adjust="match_rms_adamw"), decay(0.1)),
        rest=adamw(weight_decay=0.1),
        before=clip_by_global_norm(1.0),  # the norm is that of the whole model
    )
    optimizer = Optimizer(model, routes, lr=cosine(3e-3, steps=STEPS))
    print(optimizer.routes())
    x, y = task.data.train.first(10_000)
    for _ in range(STEPS):
        optimizer.zero_grad()
        rows = torch.randint(len(x), (128,))
        nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
        optimizer.step()

    x, y = task.data.validation.first(10_000)
    accuracy = (model(x).argmax(1) == y).float().mean().item()
    print(f"validation accuracy {accuracy:.3f}")
    assert accuracy > 0.9


if __name__ == "__main__":
    main()
