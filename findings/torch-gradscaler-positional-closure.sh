#!/usr/bin/env bash
# What: torch 2.13.0, torch.amp.GradScaler.step(optimizer, closure).
# Guess: A closure is refused (the documentation says that it is not supported), or its gradients are
#   unscaled.
# Seen: Only the keyword closure=... is refused. By position it reaches the optimizer, which calls it: the
#   fresh gradients are still scaled. With a scale of 1024, SGD goes from 1 to −203.8 instead of 0.8.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python=${FINDINGS_PYTHON:-}
if [ -z "$python" ]; then
  python3 -m venv "$folder/venv"
  python=$folder/venv/bin/python
  "$python" -m pip install --quiet torch==2.13.0 numpy==2.4.6
fi

cd "$folder"
"$python" - <<'PY'
import torch

print("torch", torch.__version__)
p = torch.nn.Parameter(torch.tensor([1.0]))
optimizer = torch.optim.SGD([p], lr=0.1)
scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)


def closure() -> torch.Tensor:
    optimizer.zero_grad()
    loss = (p * p).sum()
    scaler.scale(loss).backward()
    return loss


closure()
try:
    scaler.step(optimizer, closure=closure)
    refused = False
except RuntimeError as error:
    print("by keyword:", error)
    refused = True
scaler.step(optimizer, closure)
print(f"by position: p goes from 1 to {p.item():.4g}; a step on the gradient 2 leads to 0.8")


if not (refused and abs(p.item() + 203.8) < 0.1):
    raise SystemExit("The behaviour has changed.")
PY
