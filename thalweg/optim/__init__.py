"""Optimizers: PyTorch's by name, and `Optimizer` for any chain of rules.

What `torch.optim` has and this package has not (`lr_scheduler`, `swa_utils`, …) is
PyTorch's own, so that one import can take the place of the other.
"""

from typing import Any

import torch

from thalweg.optim import family
from thalweg.optim.family import *  # noqa: F403 — the list of names is that file's
from thalweg.optim.kronecker.kfac import KFAC
from thalweg.optim.muon import Muon
from thalweg.optim.optimizer import Optimizer
from thalweg.optim.solvers.descents import BFGS, NewtonCG, SSBroyden
from thalweg.optim.solvers.lbfgs import LBFGS
from thalweg.optim.solvers.levenberg import LevenbergMarquardt
from thalweg.optim.torch_adafactor import Adafactor
from thalweg.optim.torch_adam import Adam, Adamax, AdamW, NAdam, RAdam
from thalweg.optim.torch_basic import ASGD, SGD, Adadelta, Adagrad, RMSprop, Rprop
from thalweg.optim.torch_sparse import SparseAdam

__all__ = [
    *family.__all__,
    "ASGD",
    "BFGS",
    "KFAC",
    "LBFGS",
    "SGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "LevenbergMarquardt",
    "Muon",
    "NAdam",
    "NewtonCG",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "Rprop",
    "SSBroyden",
    "SparseAdam",
]


def __getattr__(name: str) -> Any:
    if name.startswith("_") or not hasattr(torch.optim, name):
        from thalweg.errors import suggest

        known = [*__all__, *(n for n in dir(torch.optim) if not n.startswith("_"))]
        raise AttributeError(
            f"module {__name__!r} has no attribute {name!r}.{suggest(name, known)}"
        )
    return getattr(torch.optim, name)
