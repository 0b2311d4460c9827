#!/usr/bin/env bash
# What: torch.optim.LBFGS of torch 2.13.0 with line_search_fn="strong_wolfe" and max_eval.
# Guess: A step evaluates the closure at most max_eval times.
# Seen: The number is looked at between iterations alone. A line search goes on to its own limit of 25, so a step
#   with max_eval=2 may evaluate the closure eight times and more.
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
x = torch.nn.Parameter(torch.tensor([1.0], dtype=torch.float64))
optimizer = torch.optim.LBFGS([x], lr=1e-7, max_iter=20, max_eval=2, line_search_fn="strong_wolfe")
calls = 0


def closure():
    global calls
    calls += 1
    optimizer.zero_grad()
    loss = x.square().sum() / 2
    loss.backward()
    return loss


optimizer.step(closure)
print("max_eval 2, evaluations of the closure:", calls)
if not calls > 4:
    raise SystemExit("The behaviour has changed.")
PY
