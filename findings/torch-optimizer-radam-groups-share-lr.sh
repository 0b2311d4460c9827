#!/usr/bin/env bash
# What: torch_optimizer 0.3.0 with torch 2.13.0: RAdam with two param groups.
# Guess: Each group trains with its own learning rate.
# Seen: Groups share one buffer of computed step sizes, since it lies in the defaults and is not copied:
#   whichever group comes first in a step sets the rate of the others. A second group with lr 0.001 behind one
#   with 0.1 moves 100 times too far.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python=${FINDINGS_PYTHON:-}
if [ -z "$python" ]; then
  python3 -m venv "$folder/venv"
  python=$folder/venv/bin/python
  "$python" -m pip install --quiet torch==2.13.0 numpy==2.4.6 torch_optimizer==0.3.0
fi

cd "$folder"
"$python" - <<'PY'
import warnings
from importlib.metadata import version

import torch
import torch_optimizer

warnings.simplefilter("ignore")  # on an old signature of add_
print("torch", torch.__version__, "torch_optimizer", version("torch_optimizer"))


def way(together: bool) -> float:
    a, b = (torch.nn.Parameter(torch.ones(3)) for _ in range(2))
    groups = [{"params": [a], "lr": 0.1}, {"params": [b], "lr": 0.001}]
    optimizers = [torch_optimizer.RAdam(g) for g in ([groups] if together else [[g] for g in groups])]
    for _ in range(10):
        a.grad, b.grad = torch.ones(3), torch.ones(3)
        for optimizer in optimizers:
            optimizer.step()
    return 1 - b[0].item()


alone, together = way(False), way(True)
print(f"10 steps with lr=0.001: {alone:.5f} in an optimizer of its own, {together:.5f} in the second group")


if not (together > 90 * alone):
    raise SystemExit("The behaviour has changed.")
PY
