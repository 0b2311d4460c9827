#!/usr/bin/env bash
# What: flax 0.12.8 with jax 0.10.2, linen.LayerNorm with its defaults, in float32, of rows with mean 10000 and standard
#   deviation 1.
# Guess: Rows with standard deviation 1, within a percent: the numbers themselves are known to 0.001.
# Seen: Rows from 0.24 to a thousand. By default the variance is the mean of squares less the square of the mean, two
#   numbers near 1e8 that are known to 8; where nothing is left, eps alone divides the row. use_fast_variance=False is
#   right.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python=${FINDINGS_PYTHON:-}
if [ -z "$python" ]; then
  python3 -m venv "$folder/venv"
  python=$folder/venv/bin/python
  "$python" -m pip install --quiet flax==0.12.8 jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6
fi

cd "$folder"
JAX_PLATFORMS=cpu "$python" - <<'PY'
import flax
import jax
import jax.numpy as jnp
import numpy as np
from flax import linen

print("flax", flax.__version__, "jax", jax.__version__)
noise = np.random.default_rng(0).standard_normal((64, 512))


def row_sizes(mean, **options):
    """Return the standard deviations of the normalized rows, in float64."""
    x = jnp.asarray(mean + noise, jnp.float32)
    layer = linen.LayerNorm(**options)
    return np.asarray(layer.apply(layer.init(jax.random.key(0), x), x), np.float64).std(axis=1)


centred, large, careful = row_sizes(0), row_sizes(10000), row_sizes(10000, use_fast_variance=False)
print(f"mean 0: rows of {centred.min():.3f} to {centred.max():.3f}")
print(f"mean 10000: rows of {large.min():.3g} to {large.max():.3g}")
print(f"mean 10000, use_fast_variance=False: rows of {careful.min():.3f} to {careful.max():.3f}")

right = all(abs(sizes - 1).max() < 0.02 for sizes in (centred, careful))
if not (right and large.max() > 100):
    raise SystemExit("The behaviour has changed.")
PY
