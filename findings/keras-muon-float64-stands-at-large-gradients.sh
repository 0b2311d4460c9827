#!/usr/bin/env bash
# What: keras 3.15.1 on torch 2.13.0, one step of keras.optimizers.Muon, weights and gradient of float64.
# Guess: the step does not depend on the gradient's scale, which orthogonalisation divides out, up to float64's range.
# Seen: at gradients of about 1e25 the weights do not move: the norm is taken in float32, where the squares overflow, and
#   what is divided by an infinite norm is zero. At 1 and 1e15 the step is the same, to float32's precision.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python=${FINDINGS_PYTHON:-}
if [ -z "$python" ]; then
  python3 -m venv "$folder/venv"
  python=$folder/venv/bin/python
  "$python" -m pip install --quiet keras==3.15.1 torch==2.13.0 numpy==2.4.6
fi

cd "$folder"
KERAS_BACKEND=torch KERAS_HOME="$folder" "$python" - <<'PY'
import keras
import numpy as np
import torch

print("keras", keras.__version__, "torch", torch.__version__)
gradient = np.random.default_rng(0).standard_normal((4, 3))


def step(scale):
    weights = keras.Variable(np.zeros((4, 3)), dtype="float64", name="kernel")
    optimizer = keras.optimizers.Muon(learning_rate=1.0, weight_decay=0.0)
    optimizer.build([weights])
    optimizer.apply([keras.ops.convert_to_tensor(scale * gradient, dtype="float64")], [weights])
    return np.abs(keras.ops.convert_to_numpy(weights)).max()


moved = {scale: step(scale) for scale in (1.0, 1e15, 1e25)}
for scale, most in moved.items():
    print(f"gradients of about {scale:g}: the largest change is {most:.6f}")

if not (abs(moved[1.0] / moved[1e15] - 1) < 1e-5 and moved[1.0] > 0.1 and moved[1e25] == 0):
    raise SystemExit("The behaviour has changed.")
PY
