#!/usr/bin/env bash
# What: torch 2.13.0, SGD with momentum, differentiable=True and a weight decay that requires a gradient.
# Guess: The gradient of the weight decay is the derivative of where the steps lead.
# Seen: The first momentum buffer is detached, so what the first step owes to the decay is lost in all steps
#   that follow: after three steps the gradient is about half of the derivative. No error, no warning.
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

torch.set_default_dtype(torch.float64)
print("torch", torch.__version__)


def end(decay):
    p = torch.tensor([0.5]).requires_grad_().clone()
    optimizer = torch.optim.SGD(
        [p], lr=0.1, momentum=0.9, weight_decay=decay, differentiable=True
    )
    for _ in range(3):
        p.grad = torch.tensor([0.2])
        optimizer.step()
    return p.sum()


decay = torch.tensor(0.1, requires_grad=True)
end(decay).backward()
h = 1e-6
derivative = (end(0.1 + h) - end(0.1 - h)).item() / (2 * h)
ratio = decay.grad.item() / derivative
print(f"gradient {decay.grad.item():.4f}, central difference {derivative:.4f}, ratio {ratio:.2f}")


if not ratio < 0.7:
    raise SystemExit("The behaviour has changed.")
PY
