#!/usr/bin/env bash
# What: torch 2.13.0, Adam(fused=True) on the CPU.
# Guess: The gradient's strides do not matter: p.grad[i, j] updates p[i, j].
# Seen: A gradient that is not laid out as its parameter (a transposed one, as torch.func or an assignment may
#   give) is read in the order of memory. Elements take each other's gradients, in silence; AdamW, Adagrad and
#   SGD with fused=True do the same. Without fused all is well.
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
gradient = torch.tensor([[1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])


def step(fused: bool, grad: torch.Tensor) -> torch.Tensor:
    p = torch.nn.Parameter(torch.zeros(3, 2))
    optimizer = torch.optim.Adam([p], lr=0.1, fused=fused)
    p.grad = grad
    optimizer.step()
    return p.detach().sign()


transposed = gradient.t().contiguous().t()  # the same numbers, other strides
right = {fused: bool((step(fused, transposed) == -gradient).all()) for fused in (False, True)}
print("every element goes against its gradient:", {f"fused={k}": v for k, v in right.items()})


if not (torch.equal(transposed, gradient) and right == {False: True, True: False}):
    raise SystemExit("The behaviour has changed.")
PY
