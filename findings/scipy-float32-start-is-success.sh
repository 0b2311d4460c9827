#!/usr/bin/env bash
# What: SciPy 1.17.1, minimize with BFGS or CG from a float32 start, without jac.
# Guess: The start is made float64, or the minimization works a little less precisely.
# Seen: The finite differences are taken in float32 with float64's step, give a gradient of 0, and the result
#   says success=True after 0 iterations, at the start. The same numbers as float64 take 32 iterations to the
#   minimum.
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
import numpy as np
import scipy
from scipy.optimize import minimize, rosen

print("scipy", scipy.__version__, "numpy", np.__version__)
results = {}
for method in ("BFGS", "CG"):
    for dtype in (np.float64, np.float32):
        found = minimize(rosen, np.array([-1.2, 1.0], dtype=dtype), method=method)
        results[method, dtype] = found
        print(f"{method} from {dtype.__name__}: success={found.success}, {found.nit} iterations, f={found.fun:.3g}")


if not (all(r.success for r in results.values())
    and all(r.nit == 0 and r.fun > 20 for (_, d), r in results.items() if d is np.float32)
    and all(r.fun < 1e-8 for (_, d), r in results.items() if d is np.float64)):
    raise SystemExit("The behaviour has changed.")
PY
