#!/usr/bin/env bash
# What: ReduceLROnPlateau of torch 2.13.0 and optax.contrib.reduce_on_plateau of optax 0.2.8, with patience 3 and the
#   defaults of both, over 50 epochs of a loss that does not change.
# Guess: The learning rate falls, whatever the constant: a loss of −100, say a negative log-likelihood or an ELBO, is as
#   flat as one of 100.
# Seen: At 100 it falls, at −100 never. Better means below (1 − threshold) times the best, which lies above the best
#   where the best is negative: −100 < −99.99, so every epoch is an improvement, and in torch so are 50 epochs of which
#   each is worse than the last by 0.005.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python=${FINDINGS_PYTHON:-}
if [ -z "$python" ]; then
  python3 -m venv "$folder/venv"
  python=$folder/venv/bin/python
  "$python" -m pip install --quiet torch==2.13.0 numpy==2.4.6 optax==0.2.8 jax==0.10.2 jaxlib==0.10.2
fi

cd "$folder"
JAX_PLATFORMS=cpu "$python" - <<'PY'
import jax
import jax.numpy as jnp
import optax
import torch

print("torch", torch.__version__, "optax", optax.__version__, "jax", jax.__version__)


def in_torch(losses):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=3)
    for loss in losses:
        scheduler.step(loss)
    return optimizer.param_groups[0]["lr"]


def in_optax(losses):
    scheduler = optax.contrib.reduce_on_plateau(patience=3)
    updates = jnp.ones(1)
    state = scheduler.init(updates)
    for loss in losses:
        _, state = scheduler.update(updates, state, value=loss)
    return float(state.scale)


rates = {(run.__name__, level): run([level] * 50) for run in (in_torch, in_optax) for level in (100.0, -100.0)}
for (name, level), rate in rates.items():
    print(f"{name}: a constant loss of {level:g} leaves {rate:.3g} of the learning rate")
worse = [in_torch([level + 0.005 * epoch for epoch in range(50)]) for level in (100.0, -100.0)]
print(f"in_torch: a loss that rises by 0.005 an epoch leaves {worse[0]:.3g} from 100 on, {worse[1]:.3g} from -100 on")

falls = all(rate < 1e-2 for (_, level), rate in rates.items() if level > 0)
stays = all(rate == 1 for (_, level), rate in rates.items() if level < 0)
if not (falls and stays and worse[0] < 1e-2 and worse[1] == 1):
    raise SystemExit("The behaviour has changed.")
PY
