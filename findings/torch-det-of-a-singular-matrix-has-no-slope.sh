#!/usr/bin/env bash
# What: torch 2.13.0 on the CPU, the gradient of torch.linalg.det at diag(0, 1) and at [[1, 1], [1, 1]], in float64.
# Guess: the transposed adjugate, diag(1, 0) and [[1, -1], [-1, 1]]: a determinant is a polynomial of the entries.
# Seen: all zeros, with no warning. A regular matrix next to it, diag(1e-200, 1), has the gradient diag(1, 1e-200).
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


def slope(rows):
    matrix = torch.tensor(rows, dtype=torch.float64, requires_grad=True)
    torch.linalg.det(matrix).backward()
    return matrix.grad.tolist()


singular = {"diag(0, 1)": [[0.0, 0.0], [0.0, 1.0]], "[[1, 1], [1, 1]]": [[1.0, 1.0], [1.0, 1.0]]}
found = []
for name, rows in singular.items():
    (a, b), (c, d) = rows
    seen, right = slope(rows), [[d, -c], [-b, a]]
    print(f"at {name}: {seen}, the transposed adjugate is {right}")
    found.append(all(x == 0 for row in seen for x in row))
beside = slope([[1e-200, 0.0], [0.0, 1.0]])
print(f"at diag(1e-200, 1): {beside}")
found.append(beside[0][0] == 1.0)

if not all(found):
    raise SystemExit("The behaviour has changed.")
PY
