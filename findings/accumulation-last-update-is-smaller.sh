#!/usr/bin/env bash
# What: accelerate 1.15.0 and pytorch-lightning 2.6.6 with torch 2.13.0, gradient accumulation over 4 batches, in an
#   epoch of 6 batches with a gradient of 1 each.
# Guess: The last update of the epoch takes the mean over the 2 batches that it has: a gradient of 1, as the first.
# Seen: A gradient of 0.5 in both. Each loss is divided by 4 before it is known how many come, so the update at the end
#   of every epoch is too small by what is missing, and rows that come last weigh as much less.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python=${FINDINGS_PYTHON:-}
if [ -z "$python" ]; then
  python3 -m venv "$folder/venv"
  python=$folder/venv/bin/python
  "$python" -m pip install --quiet torch==2.13.0 numpy==2.4.6 accelerate==1.15.0 pytorch-lightning==2.6.6
fi

cd "$folder"
"$python" -W ignore - <<'PY'
import logging

import accelerate
import pytorch_lightning as lightning
import torch
from torch.utils.data import DataLoader

print("torch", torch.__version__, "accelerate", accelerate.__version__, "pytorch-lightning", lightning.__version__)
logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)


def in_accelerate():
    accelerator = accelerate.Accelerator(cpu=True, gradient_accumulation_steps=4)
    model = torch.nn.Linear(1, 1, bias=False)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model, optimizer, loader = accelerator.prepare(model, optimizer, DataLoader(torch.ones(6, 1)))
    gradients = []
    for batch in loader:
        with accelerator.accumulate(model):
            accelerator.backward(model(batch).mean())
            if accelerator.sync_gradients:
                gradients.append(model.weight.grad.item())
            optimizer.step()
            optimizer.zero_grad()
    return gradients


class Model(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(1, 1, bias=False)
        self.gradients = []

    def training_step(self, batch):
        return self.linear(batch).mean()

    def on_before_optimizer_step(self, optimizer):
        self.gradients.append(self.linear.weight.grad.item())

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def in_lightning():
    trainer = lightning.Trainer(
        max_epochs=1, accumulate_grad_batches=4, accelerator="cpu", devices=1, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )
    model = Model()
    trainer.fit(model, DataLoader(torch.ones(6, 1)))
    return model.gradients


seen = {run.__name__: run() for run in (in_accelerate, in_lightning)}
for name, gradients in seen.items():
    print(f"{name}: gradients of the updates of an epoch: {gradients}")

if not all(gradients == [1.0, 0.5] for gradients in seen.values()):
    raise SystemExit("The behaviour has changed.")
PY
