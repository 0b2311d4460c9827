#!/usr/bin/env bash
# What: keras 3.15.1 with the backends torch 2.13.0 and jax 0.10.2, BatchNormalization in training, in float32, of 64
#   features with mean 10000 and standard deviation 1.
# Guess: Both backends give features with standard deviation 1, as torch's own BatchNorm1d does.
# Seen: jax does. On torch none of the features is right, and some are NaN: there the variance is the mean of squares
#   less the square of the mean, two numbers near 1e8 that are known to 8, and one below 0 has no root.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python=${FINDINGS_PYTHON:-}
if [ -z "$python" ]; then
  python3 -m venv "$folder/venv"
  python=$folder/venv/bin/python
  "$python" -m pip install --quiet keras==3.15.1 torch==2.13.0 jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6
fi

cd "$folder"
cat >normalize.py <<'PY'
import keras
import numpy as np
import torch

x = (10000 + np.random.default_rng(0).standard_normal((512, 64))).astype("float32")


def right(y):
    """Return how many of the features have standard deviation 1, within 10 %."""
    return int((abs(np.asarray(y, np.float64).std(axis=0) - 1) < 0.1).sum())


y = keras.ops.convert_to_numpy(keras.layers.BatchNormalization(epsilon=1e-5)(x, training=True))
own = right(torch.nn.BatchNorm1d(64)(torch.from_numpy(x)).detach().numpy())
backend = keras.backend.backend()
nan = np.isnan(y).any(axis=0).sum()
print(f"keras {keras.__version__} on {backend}: {right(y)} of 64 features are right, {nan} are NaN")
print(f"torch {torch.__version__}, BatchNorm1d: {own} of 64 are right")
if own != 64 or right(y) != {"jax": 64, "torch": 0}[backend]:
    raise SystemExit("The behaviour has changed.")
PY

for backend in jax torch; do
  KERAS_BACKEND=$backend KERAS_HOME=$folder JAX_PLATFORMS=cpu "$python" normalize.py
done
