#!/usr/bin/env bash
# What: torch 2.13.0, Muon with nesterov=False and a bfloat16 weight.
# Guess: The momentum buffer is an average of gradients, whatever the dtype. After the gradient changes sign,
#   the average follows within some 1/(1 − momentum) = 20 steps.
# Seen: In bfloat16 the buffer itself is divided by its norm in every step (orthogonalization works on it in
#   place), so that it has norm 1 and gradients of a norm below 19 never turn it. In float32 it turns after 13
#   steps.
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


def steps_until_it_turns(dtype: torch.dtype) -> tuple[int | None, float]:
    torch.manual_seed(0)
    p = torch.nn.Parameter(torch.zeros(8, 8, dtype=dtype))
    gradient = (0.1 * torch.randn(8, 8)).to(dtype)  # of norm 0.84
    optimizer = torch.optim.Muon([p], lr=0.01, momentum=0.95, nesterov=False, weight_decay=0.0)
    for k in range(240):
        p.grad = gradient.clone() if k < 40 else -gradient
        optimizer.step()
        buffer = optimizer.state[p]["momentum_buffer"].float()
        if k >= 40 and float((buffer * gradient.float()).sum()) < 0:
            return k - 39, float(buffer.norm())
    return None, float(buffer.norm())


fine, _ = steps_until_it_turns(torch.float32)
coarse, norm = steps_until_it_turns(torch.bfloat16)
print(f"float32: the buffer turns after {fine} steps")
print(f"bfloat16: it has not turned after 200 steps (norm {norm:.3f})" if coarse is None else f"bfloat16: {coarse}")


if not (fine is not None and fine <= 20 and coarse is None and abs(norm - 1) < 0.01):
    raise SystemExit("The behaviour has changed.")
PY
