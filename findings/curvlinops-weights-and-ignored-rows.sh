#!/usr/bin/env bash
# What: curvlinops-for-pytorch 3.0.1, KFACLinearOperator and FisherMCLinearOperator of a linear model under
#   CrossEntropyLoss with class weights and reduction="sum", and KFAC where every target is ignored.
# Guess: At one row K-FAC is the Gauss-Newton matrix, whatever the loss weighs: the row counts 3 times by its class.
#   Rows with ignore_index count nothing.
# Seen: K-FAC (type-2) and the Monte Carlo Fisher matrix leave the weight out: both are a third of what they should be,
#   67 % off, while GGNLinearOperator is right. Of rows that are all ignored K-FAC is a matrix with norm 1.3, the
#   Gauss-Newton matrix 0. Nothing is said.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python=${FINDINGS_PYTHON:-}
if [ -z "$python" ]; then
  python3 -m venv "$folder/venv"
  python=$folder/venv/bin/python
  "$python" -m pip install --quiet torch==2.13.0 numpy==2.4.6 scipy==1.17.1 curvlinops-for-pytorch==3.0.1
fi

cd "$folder"
"$python" -W ignore - <<'PY'
import torch
from curvlinops import FisherMCLinearOperator, GGNLinearOperator, KFACLinearOperator
from torch import nn

torch.set_default_dtype(torch.float64)
torch.manual_seed(0)
model = nn.Linear(3, 3, bias=False)
params, unit = list(model.parameters()), torch.eye(9)
x = torch.randn(1, 3)


def off(found, true):
    return float((found - true).norm() / true.norm())


loss = nn.CrossEntropyLoss(weight=torch.tensor([0.2, 1.0, 3.0]), reduction="sum")
data = [(x, torch.tensor([2]))]
given = params[0].detach()
true = torch.autograd.functional.hessian(lambda w: loss(x @ w.T, data[0][1]), given).reshape(9, 9)
ggn = off(GGNLinearOperator(model, loss, params, data) @ unit, true)
kfac = off(KFACLinearOperator(model, loss, params, data, fisher_type="type-2") @ unit, true)
fisher = off(FisherMCLinearOperator(model, loss, params, data, mc_samples=5000) @ unit, true)
print(f"weight 3, one row: off by {ggn:.2g} (GGN), {kfac:.4g} (K-FAC), {fisher:.4g} (Monte Carlo)")

plain, ignored = nn.CrossEntropyLoss(reduction="sum"), [(x.repeat(2, 1), torch.tensor([-100, -100]))]
size = float((KFACLinearOperator(model, plain, params, ignored, fisher_type="type-2") @ unit).norm())
zero = float((GGNLinearOperator(model, plain, params, ignored) @ unit).norm())
print(f"all rows ignored: norm {zero:.3g} (GGN), {size:.3g} (K-FAC)")

if not (ggn < 1e-12 and abs(kfac - 2 / 3) < 1e-6 and 0.6 < fisher < 0.73 and zero == 0 and size > 1):
    raise SystemExit("The behaviour has changed.")
PY
