#!/usr/bin/env bash
# What: torch 2.13.0, ASGD with a learning rate that a scheduler changes.
# Guess: A learning rate set before a step is the learning rate of that step.
# Seen: The step uses eta, which was computed at the end of the step before: every change of lr acts one step
#   late, and not at all on the first step of a warm-up.
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
p = torch.nn.Parameter(torch.zeros(1))
optimizer = torch.optim.ASGD([p], lr=0.1)
steps = []
for k in range(6):
    if k == 3:
        optimizer.param_groups[0]["lr"] = 0.01
    p.grad = torch.ones(1)
    before = p.item()
    optimizer.step()
    steps.append(round(before - p.item(), 3))
print("lr is 0.1 for three steps, then 0.01; the steps are", steps)


if not (steps == [0.1, 0.1, 0.1, 0.1, 0.01, 0.01]):
    raise SystemExit("The behaviour has changed.")
PY
