#!/usr/bin/env bash
# What: torch 2.13.0, FlopCounterMode around scaled_dot_product_attention on a CPU.
# Guess: the two products of attention are counted, 4·(batch·heads)·rows·rows·width FLOPs, as on a GPU and as in
#   an attention that is written out.
# Seen: 0. On a CPU the call becomes an operator (_scaled_dot_product_flash_attention_for_cpu) that the counter has
#   no formula for, and what has no formula counts as nothing. With SDPBackend.MATH, which runs the products
#   themselves, it counts them.
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
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

print("torch", torch.__version__)

batch, heads, rows, width = 2, 4, 8, 8
q = torch.randn(batch, heads, rows, width)
attend = torch.nn.functional.scaled_dot_product_attention

with FlopCounterMode(display=False) as usual:
    attend(q, q, q)
with FlopCounterMode(display=False) as products, sdpa_kernel(SDPBackend.MATH):
    attend(q, q, q)

expected = 4 * batch * heads * rows * rows * width
print(f"counted {usual.get_total_flops()}, by products {products.get_total_flops()} of {expected}")
if (usual.get_total_flops(), products.get_total_flops()) != (0, expected):
    raise SystemExit("The behaviour has changed.")
PY
