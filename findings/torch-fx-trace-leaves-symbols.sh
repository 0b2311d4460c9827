#!/usr/bin/env bash
# What: torch 2.13.0, torch.fx.symbolic_trace of a module whose forward keeps something in an attribute.
# Guess: tracing makes a graph and leaves the module as it was.
# Seen: forward runs on the module itself, so afterwards the attribute holds the symbol (a torch.fx Proxy) instead of
#   the tensor of the last call, and the module, which could be saved before, cannot be pickled any more.
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
import io

import torch

print("torch", torch.__version__)


class Keeping(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.last = None

    def forward(self, x):
        self.last = 2 * x
        return self.last


model = Keeping()
model(torch.ones(2))
torch.save(model, io.BytesIO())
before = type(model.last).__name__
torch.fx.symbolic_trace(model)
after = type(model.last).__name__
try:
    torch.save(model, io.BytesIO())
    saved = "saved"
except TypeError as error:
    saved = f"TypeError: {error}"

print(f"the attribute was a {before}, and is a {after}; saving the module again: {saved}")
if (before, after) != ("Tensor", "Proxy") or not saved.startswith("TypeError"):
    raise SystemExit("The behaviour has changed.")
PY
