#!/usr/bin/env bash
# What: keras 3.15.1 on jax 0.10.2, AdamW.exclude_from_weight_decay(var_names=["layer_norm", "bias"]).
# Guess: Variables of the layer called layer_norm are left out, as their paths (layer_norm/gamma) say and as Keras 2,
#   where the path was the name, did it.
# Seen: They decay. Only the last part of the path is searched: "bias" is found, "layer_norm" is part of no name, and a
#   pattern that matches nothing is no error. "gamma" and "beta" do it.
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


def decaying(excluded):
    """Return the paths of the variables that a step with gradients of 0 changes."""
    keras.utils.clear_session()
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(4, name="dense"), keras.layers.LayerNormalization(name="layer_norm")]
    )
    variables = model.trainable_variables
    for variable in variables:
        variable.assign(np.ones(variable.shape))
    optimizer = keras.optimizers.AdamW(learning_rate=0.1, weight_decay=0.1)
    optimizer.exclude_from_weight_decay(var_names=excluded)
    optimizer.apply([keras.ops.zeros(variable.shape) for variable in variables], variables)
    changed = [variable for variable in variables if np.any(keras.ops.convert_to_numpy(variable) != 1)]
    return ["/".join(variable.path.split("/")[-2:]) for variable in changed]


by_layer, by_variable = decaying(["layer_norm", "bias"]), decaying(["gamma", "beta", "bias"])
print("decay without layer_norm, bias:", by_layer)
print("decay without gamma, beta, bias:", by_variable)

if not (by_layer == ["dense/kernel", "layer_norm/gamma", "layer_norm/beta"] and by_variable == ["dense/kernel"]):
    raise SystemExit("The behaviour has changed.")
PY
