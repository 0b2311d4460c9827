#!/usr/bin/env bash
# What: NumPy 2.4.6, sum, mean and std of 1000 ones in bfloat16 of ml_dtypes 0.6.0, the dtype that np.asarray gives to a
#   bfloat16 array of JAX.
# Guess: 1000, 1 and 0, as in float16: a short type is summed in a longer one, or at least in pairs.
# Seen: 256, 0.256 and 0.504. The running sum is itself bfloat16, where 256 + 1 is 256. With dtype=np.float32 the mean
#   is 1, and the product of the ones with themselves is 1000.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python=${FINDINGS_PYTHON:-}
if [ -z "$python" ]; then
  python3 -m venv "$folder/venv"
  python=$folder/venv/bin/python
  "$python" -m pip install --quiet numpy==2.4.6 ml_dtypes==0.6.0
fi

cd "$folder"
"$python" - <<'PY'
import ml_dtypes
import numpy as np

print("numpy", np.__version__, "ml_dtypes", ml_dtypes.__version__)

seen = {}
for dtype in (np.float16, ml_dtypes.bfloat16):
    ones = np.ones(1000, dtype)
    seen[dtype] = [float(value) for value in (ones.sum(), ones.mean(), ones.std())]
    print(f"{np.dtype(dtype).name}: sum {seen[dtype][0]:g}, mean {seen[dtype][1]:.3g}, std {seen[dtype][2]:.3g}")
in_float32, product = float(ones.mean(dtype=np.float32)), float(ones @ ones)
print(f"bfloat16: mean with dtype=np.float32 {in_float32:g}, product with itself {product:g}")

total, mean, std = seen[ml_dtypes.bfloat16]
if not (seen[np.float16] == [1000, 1, 0] and total == 256 and mean < 0.26 and std > 0.5 and in_float32 == 1):
    raise SystemExit("The behaviour has changed.")
PY
