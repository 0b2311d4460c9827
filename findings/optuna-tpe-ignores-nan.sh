#!/usr/bin/env bash
# What: Optuna 5.0.0, TPESampler(seed=0), an objective that returns NaN where training diverges.
# Guess: A trial that diverged tells the sampler to keep away from there.
# Seen: NaN makes the trial a failed one, which TPE does not see: the last 30 of 60 trials all go where it
#   diverges. With infinity in place of NaN 13 do.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python=${FINDINGS_PYTHON:-}
if [ -z "$python" ]; then
  python3 -m venv "$folder/venv"
  python=$folder/venv/bin/python
  "$python" -m pip install --quiet optuna==5.0.0 numpy==2.4.6
fi

cd "$folder"
"$python" - <<'PY'
import math

import optuna

optuna.logging.set_verbosity(optuna.logging.CRITICAL)
print("optuna", optuna.__version__)


def diverging(bad: float) -> int:
    """Return how many of the last 30 of 60 trials diverge."""

    def objective(trial: optuna.Trial) -> float:
        lr = trial.suggest_float("lr", 1e-4, 1e4, log=True)
        return bad if lr > 1 else abs(math.log10(lr))  # best just before the edge, as it often is

    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0))
    study.optimize(objective, n_trials=60)
    return sum(trial.params["lr"] > 1 for trial in study.trials[30:])


with_nan, with_infinity = diverging(math.nan), diverging(math.inf)
print(f"diverging trials of the last 30: {with_nan} with NaN, {with_infinity} with infinity")


if not (with_nan >= 25 and with_infinity <= 18):
    raise SystemExit("The behaviour has changed.")
PY
