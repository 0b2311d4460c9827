"""`python -O` and `python -OO`, which takes docstrings away: all works, and cards say why they are bare."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROGRAM = """
import torch, thalweg, thalweg.race, thalweg.testing
from thalweg import meta, optim
from thalweg.optim.cards.by_name import card
from thalweg.optim.cards.known import OPTIMIZERS
from thalweg.rules import ema

@thalweg.rule
def own(g, v, *, mu=0.9):
    v = mu * v + g
    return v, v

p = torch.nn.Parameter(torch.ones(3, 1))  # a matrix: some step no vectors
for name, kind in OPTIMIZERS.items():
    assert kind.__doc__
    p.grad = torch.ones(3, 1).to_sparse() if name == "SparseAdam" else torch.ones(3, 1)
    kind([p]).step()
p.grad = torch.ones(3, 1)
meta.NonFinite(thalweg.Optimizer([p], thalweg.chain(own, ema(0.9)))).step()
print(card("lion").title)
"""


@pytest.mark.parametrize(
    ("flag", "title"),
    [
        pytest.param("-O", "Lion (Chen et al. 2023", marks=pytest.mark.full),
        ("-OO", "No description: python -OO"),
    ],
)
def test_without_assertions_and_docstrings(flag: str, title: str) -> None:
    done = subprocess.run(
        [sys.executable, flag, "-c", PROGRAM],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(title)
