#!/usr/bin/env bash
# What: torch 2.13.0, load_state_dict of NAdam on bfloat16 parameters.
# Guess: load_state_dict(state_dict()) gives back the state that was saved.
# Seen: Every floating state but one called "step" is cast to the parameter's dtype: the float32 product of
#   momenta comes back in bfloat16, with an error of up to 0.4 %, and the resumed run is another one.
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
p = torch.nn.Parameter(torch.ones(3, dtype=torch.bfloat16))
first = torch.optim.NAdam([p], lr=0.01)
for _ in range(5):
    p.grad = torch.ones_like(p)
    first.step()
second = torch.optim.NAdam([p], lr=0.01)
second.load_state_dict(first.state_dict())
saved, loaded = (o.state[p]["mu_product"] for o in (first, second))
print(f"mu_product: saved {saved.item():.8f} ({saved.dtype}), loaded {loaded.item():.8f} ({loaded.dtype})")


if not (saved.dtype == torch.float32 and loaded.dtype == torch.bfloat16 and saved.item() != loaded.item()):
    raise SystemExit("The behaviour has changed.")
PY
