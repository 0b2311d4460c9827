#!/usr/bin/env bash
# What: keras 3.15.1 on jax 0.10.2, SGD(use_ema=True, ema_momentum=0.9) with gradient_accumulation_steps=4.
# Guess: The average is over updates, as learning-rate schedules and bias corrections count them: four batches
#   accumulated are one update, and give the average that a batch of four gives.
# Seen: It moves in every call, also in the three of four that only accumulate, so a momentum of 0.9 acts as 0.9⁴ = 0.66
#   an update: of 20 updates by 1 the average is 2.6 behind, not 7.8.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python=${FINDINGS_PYTHON:-}
if [ -z "$python" ]; then
  python3 -m venv "$folder/venv"
  python=$folder/venv/bin/python
  "$python" -m pip install --quiet keras==3.15.1 numpy==2.4.6 jax==0.10.2 jaxlib==0.10.2
fi

cd "$folder"
KERAS_BACKEND=jax KERAS_HOME="$folder" JAX_PLATFORMS=cpu "$python" - <<'PY'
import keras
import numpy as np

print("keras", keras.__version__, "backend", keras.backend.backend())


def lag(accumulated):
    """Return the weight after 20 updates of 1, how far its average is behind, and the count of updates."""
    weight = keras.Variable(np.zeros(1), dtype="float32", name="kernel")
    optimizer = keras.optimizers.SGD(
        1.0, use_ema=True, ema_momentum=0.9, gradient_accumulation_steps=accumulated
    )
    optimizer.build([weight])
    gradient = keras.ops.convert_to_tensor([-1.0], dtype="float32")
    for _ in range(20 * (accumulated or 1)):
        optimizer.apply([gradient], [weight])
    last = keras.ops.convert_to_numpy(weight).item()
    optimizer.finalize_variable_values([weight])  # puts the average into the weight
    return last, last - keras.ops.convert_to_numpy(weight).item(), int(optimizer.iterations)


plain, accumulated = lag(None), lag(4)
for name, (last, behind, updates) in (("no accumulation", plain), ("4 batches an update", accumulated)):
    print(f"{name}: after {updates} updates the weight is {last:g}, its average {behind:.3f} behind")

if not (plain[0] == accumulated[0] == 20 and plain[2] == accumulated[2] == 20 and plain[1] > 2.5 * accumulated[1]):
    raise SystemExit("The behaviour has changed.")
PY
