#!/usr/bin/env bash
# What: SciPy 1.17.1, minimize with BFGS, CG and L-BFGS-B, default options, of Rosenbrock's function times 1e-8.
# Guess: The unit of the objective does not matter: the minimum is found as it is found without the factor.
# Seen: All three report success at or near the start, (-1.2, 1), where the gradient is below the absolute
#   tolerance 1e-5: a loss that is a small number has converged before it began.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python=${FINDINGS_PYTHON:-}
if [ -z "$python" ]; then
  python3 -m venv "$folder/venv"
  python=$folder/venv/bin/python
  "$python" -m pip install --quiet scipy==1.17.1 numpy==2.4.6
fi

cd "$folder"
"$python" - <<'PY'
import numpy as np
import scipy
from scipy.optimize import minimize, rosen, rosen_der

print("scipy", scipy.__version__)
start = np.array([-1.2, 1.0])
stays = []
for method in ("BFGS", "CG", "L-BFGS-B"):
    plain = minimize(rosen, start, jac=rosen_der, method=method)
    small = minimize(lambda x: 1e-8 * rosen(x), start, jac=lambda x: 1e-8 * rosen_der(x), method=method)
    print(method, "plain:", plain.x.round(3), "times 1e-8:", small.x.round(3), small.success, small.nit)
    stays.append(bool(np.allclose(plain.x, 1, atol=1e-2) and small.success and abs(small.x - 1).max() > 1))


if not all(stays):
    raise SystemExit("The behaviour has changed.")
PY
