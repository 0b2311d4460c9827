"""What goes around an optimizer's own rule: clipping before, an average after, schedules for its numbers.

python examples/around_the_step.py
"""

from __future__ import annotations

import torch

from thalweg import load_task, optim, plot_schedules
from thalweg.rules import clip_by_global_norm, ema
from thalweg.schedules import cosine

STEPS = 300


def main() -> None:
    task = load_task("digits")
    torch.manual_seed(0)
    model = task.model()
    x, y = task.data.train.first(10_000)
    rate = cosine(3e-3, steps=STEPS, warmup=20)
    optimizer = optim.AdamW(
        model,
        lr=rate,
        weight_decay=0.01,
        decay="cautious",  # decays a weight only where the step shrinks it too
        before=clip_by_global_norm(1.0),
        after=ema(0.99),
    )
    for _ in range(STEPS):
        optimizer.zero_grad()
        rows = torch.randint(len(x), (128,))
        torch.nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
        optimizer.step()

    x, y = task.data.validation.first(10_000)
    last = (model(x).argmax(1) == y).float().mean().item()
    with optimizer.evaluating():  # the model is at the average in here
        average = (model(x).argmax(1) == y).float().mean().item()
    print(f"accuracy at the last point {last:.3f}, at the average {average:.3f}")
    assert min(last, average) > 0.9
    chart = plot_schedules(rate, steps=STEPS)
    print(
        f"the learning rate rises to {max(chart.data[0]['y']):.4f} and falls to {rate(STEPS):.1g}"
    )


if __name__ == "__main__":
    main()
