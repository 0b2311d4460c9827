#!/usr/bin/env bash
# What: SciPy 1.17.1, minimize with trust-ncg or trust-exact on 100 x − 10 log x from 0.5 (minimum at 0.1).
# Guess: A trial point where the function is NaN is a bad one: the radius shrinks, and the next trial is
#   nearer.
# Seen: The ratio of gains is NaN, which is not below 0.25: the radius stays, the same point is tried again
#   200 times without a call of the function, and the result is the start, with "maximum number of
#   iterations".
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python=${FINDINGS_PYTHON:-}
if [ -z "$python" ]; then
  python3 -m venv "$folder/venv"
  python=$folder/venv/bin/python
  "$python" -m pip install --quiet numpy==2.4.6 scipy==1.17.1
fi

cd "$folder"
"$python" - <<'PY'
import warnings

import numpy as np
import scipy
from scipy.optimize import minimize

warnings.simplefilter("ignore")  # log of a negative number
print("scipy", scipy.__version__, "numpy", np.__version__)
results = {}
for method in ("trust-ncg", "trust-exact"):
    found = minimize(
        lambda x: 100 * x[0] - 10 * np.log(x[0]),
        [0.5],
        jac=lambda x: np.array([100 - 10 / x[0]]),
        hess=lambda x: np.array([[10 / x[0] ** 2]]),
        method=method,
    )
    results[method] = found
    print(f"{method}: x={found.x[0]}, {found.nit} iterations, {found.nfev} evaluations; {found.message}")


if not (all(r.x[0] == 0.5 and r.nit == 200 and r.nfev == 2 for r in results.values())):
    raise SystemExit("The behaviour has changed.")
PY
